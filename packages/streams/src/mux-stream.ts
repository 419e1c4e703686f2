import { Duplex } from 'node:stream';
import { type HeaderList, RST, type StateReader, type StateWriter } from '@keymux/frames';
import type { KeyInfo } from '@keymux/session';
import { StreamResetError } from './errors.ts';
import { type Borrower, isFlowing, type Lender } from './lending-socket.ts';
import { SecurityAccount } from './security-account.ts';
import {
  DEFAULT_PRIORITY,
  loadHeaders,
  loadStreamOptions,
  type MuxStreamOptions,
  saveHeaders,
  saveStreamOptions,
} from './stream-options.ts';
import { type Done, StreamOutput } from './stream-output.ts';
import type { StreamSecurity } from './stream-security.ts';

/** What a stream needs from the session that carries it. */
export interface StreamHost {
  send(id: number, chunk: Uint8Array): void;
  headers(id: number, headers: HeaderList): void;
  end(id: number): void;
  reset(id: number, status: number): void;
  consume(id: number, bytes: number): void;
  reply(id: number, headers: HeaderList, options: { fin?: boolean; keyId?: number | undefined }): void;
  switchKey(id: number, keyId: number): void;
  hold(id: number): void;
  letGo(id: number): void;
}

/**
 * One stream of a session as a Duplex with half-close: `end()` ends our direction only. Reading slowly slows the
 * peer, writing returns false while the peer reads slowly. A reset destroys it with StreamResetError.
 *
 * Events beside those of Duplex: `reply` (headers) when the peer answered a stream of ours, `headers` (headers, their protection) when
 * more of them came, `switched` (key) when what is received from here on travels under another key, `timeout`.
 *
 * It has the methods of net.Socket that http.Agent and others call on what they take for a socket.
 */
export class MuxStream extends Duplex implements Lender {
  readonly id: number;
  readonly headers: HeaderList;
  readonly ours: boolean;
  readonly payloadOutside: boolean;
  /** Goes one way only: the side that did not open it cannot answer. */
  readonly unidirectional: boolean;
  /** The ID of the stream that its opener said it belongs to; 0 for none. */
  readonly associatedId: number;
  /** 0 (highest) to 7, as its opener said. */
  readonly priority: number;
  #host: StreamHost | undefined;
  /** Who is told what has been read, also when the session has forgotten the stream. */
  #reader: StreamHost | undefined;
  readonly #account: SecurityAccount;
  readonly #output = new StreamOutput();
  /** The key of the SYN_STREAM, which the answer travels under if nothing else is said. */
  readonly #openKey: KeyInfo | undefined;
  #replied = false;
  #replyHeaders: HeaderList | undefined;
  /** Received bytes that are pushed but not asked for yet; credit for them is withheld. */
  #unread = 0;
  #borrower: Borrower | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  #peerEnded = false;

  constructor(host: StreamHost, options: MuxStreamOptions) {
    super({ allowHalfOpen: true, emitClose: true });
    this.#host = host;
    this.#reader = host;
    this.id = options.id;
    this.ours = options.ours;
    this.headers = options.headers;
    this.payloadOutside = options.payloadOutside;
    this.unidirectional = options.unidirectional ?? false;
    this.associatedId = options.associatedId ?? 0;
    this.priority = options.priority ?? DEFAULT_PRIORITY;
    this.#openKey = options.key;
    this.#account = new SecurityAccount(options);
    if (this.unidirectional && this.ours) {
      this.push(null);
      this.resume(); // nothing will come, so nobody will ask for it
    } else if (this.unidirectional) this.endWithHead();
    // A reset must not kill a process that does not listen; it still shows in pipeline(), finished() and `errored`.
    this.on('error', ignore);
  }

  /** The peer's answer to a stream of ours, once the `reply` event came. */
  get replyHeaders(): HeaderList | undefined {
    return this.#replyHeaders;
  }

  get security(): StreamSecurity {
    return this.#account.security;
  }

  /** Whether `respond` was called. */
  get responded(): boolean {
    return this.#replied;
  }

  /**
   * Answers a stream of the peer; must come before the first write. `key` seals the answer under another key than the request came under.
   * Throws UsageError if the stream was answered already, or the key is not established. If the peer has reset the stream meanwhile, or wants
   * no answer, nothing is sent and the stream is destroyed.
   */
  respond(headers: HeaderList, options: { fin?: boolean; key?: KeyInfo | undefined } = {}): void {
    const { fin = false, key } = options;
    if (!this.#attempt((host) => host.reply(this.id, headers, { fin, keyId: key?.keyId }))) return;
    this.#replied = true;
    this.#account.headSent(key ?? this.#openKey);
    if (fin) this.endWithHead();
  }

  /**
   * Sends more headers after what was written so far, for example trailers. Throws UsageError if they are not valid, or before a stream of the
   * peer was answered.
   */
  sendHeaders(headers: HeaderList): void {
    if (this.#attempt((host) => host.headers(this.id, headers))) this.#account.headersSent();
  }

  /** Seals what is written from here on with `key` (spec 4.5). Throws UsageError if it cannot be done any more. */
  switchKey(key: KeyInfo): void {
    if (this.#attempt((host) => host.switchKey(this.id, key.keyId))) this.#account.sendUnder(key);
  }

  /** Does something to the session's stream; if that is over, which the peer can cause at any time, this stream ends too. */
  #attempt(action: (host: StreamHost) => void): boolean {
    try {
      if (this.#host === undefined) return false;
      action(this.#host);
      return true;
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ERR_KEYMUX_STREAM_CLOSED') throw error;
      this.destroy(error as Error);
      return false;
    }
  }

  /** Ends the stream in both directions at once, telling the peer why. */
  reset(status: number = RST.CANCEL): void {
    this.#host?.reset(this.id, status);
  }

  /**
   * Counts the stream among those that the peer has open until `handling` has settled, even if the peer resets it before (spec 2.4).
   * To be called when the stream comes.
   */
  holdUntil(handling: Promise<unknown>): void {
    const host = this.#host;
    if (host === undefined) return;
    host.hold(this.id);
    const letGo = (): void => host.letGo(this.id);
    handling.then(letGo, letGo);
  }

  lend(to: Borrower): void {
    this.#borrower = to;
    this.on('data', to);
  }

  // From the session

  /** @internal The head that was sent last has ended our direction already. */
  endWithHead(): void {
    this.#output.endedByHead();
    this.end();
  }

  /** @internal */
  receiveReply(headers: HeaderList, key: KeyInfo | undefined): void {
    this.#account.headReceived(key);
    this.#replyHeaders = headers;
    this.emit('reply', headers);
  }

  /** @internal */
  receiveHeaders(headers: HeaderList, key: KeyInfo | undefined): void {
    this.emit('headers', headers, this.#account.headersReceived(key));
  }

  /** @internal */
  receiveSwitch(key: KeyInfo): void {
    this.#account.receiveUnder(key);
    this.emit('switched', key);
  }

  /** @internal `lent` payload may change once this returns. */
  receiveData(payload: Uint8Array, lent: boolean): void {
    this.#idleTimer?.refresh();
    this.#account.payloadReceived();
    if (this.#taken(payload, lent)) this.#reader?.consume(this.id, payload.length);
    else this.#unread += payload.length;
  }

  /** Returns whether somebody has taken it, and not only the buffer. */
  #taken(payload: Uint8Array, lent: boolean): boolean {
    if (this.destroyed) return true;
    const flowing = this.#borrower !== undefined && isFlowing(this);
    const chunk = lent ? (flowing ? payload : Buffer.from(payload)) : compact(payload);
    if (!flowing) return this.push(chunk);
    this.#borrower?.(chunk, lent);
    return true;
  }

  /** @internal */
  receiveEnd(): void {
    this.#peerEnded = true;
    this.push(null);
  }

  /**
   * @internal All that was queued is on its way. If it leaves as it is, not sealed, its buffers are the writer's again only when the
   * carrier has taken them: then what is returned must be called.
   */
  receiveDrain(): (() => void) | undefined {
    return this.#output.sent();
  }

  /** Whether what another process has written waits to be sent; `drain` comes when it is gone. A caller with more does well to wait for it. */
  get inheritsOutput(): boolean {
    return this.#output.inherited;
  }

  /** @internal The session has forgotten the stream; `error` tells why if it ended before its time. */
  detach(error: Error | undefined): void {
    this.#host = undefined;
    const done = this.#output.detach(error !== undefined);
    if (error !== undefined) this.destroy(error);
    done?.(error);
  }

  // To another process

  /**
   * @internal Hands over (spec 13.11): what was written is left to the session, what has come and nobody has taken goes along. This stream ends
   * with `reason`, of which the session and the peer hear nothing.
   */
  handOver(writer: StateWriter, reason: Error): void {
    // Who is told now that there is room would write what nobody takes over.
    for (const event of ['drain', 'data', 'readable']) this.removeAllListeners(event);
    const waits = this.#leaveOutput();
    saveStreamOptions(writer, this, this.#openKey);
    this.#account.save(writer);
    writer.flag(this.#replied);
    writer.optional(this.#replyHeaders, (headers) => saveHeaders(writer, headers));
    this.#output.save(writer, waits);
    const unread = this.#unread;
    this.#unread = 0; // not consumed
    writer.list(this.#takeAll(), (chunk) => writer.bytes(chunk));
    writer.u64(unread);
    writer.flag(this.#peerEnded);
    this.#host = undefined;
    this.destroy(reason);
  }

  /** Gives the session what was written, and the end. Returns whether any of that waits there to be sent. */
  #leaveOutput(): boolean {
    while (this.writableCorked > 0) this.uncork();
    let waits = this.#output.giveAll();
    if (this.writableEnded && this.#output.endNow()) {
      this.#host?.end(this.id);
      waits = true;
    }
    return waits;
  }

  #takeAll(): Uint8Array[] {
    const untaken: Uint8Array[] = [];
    for (let chunk = this.read() as Buffer | string | null; chunk !== null; chunk = this.read())
      untaken.push(
        typeof chunk === 'string' ? Buffer.from(chunk, this.readableEncoding ?? undefined) : chunk,
      );
    return untaken;
  }

  /** @internal Goes on with a stream of another process. */
  static takeOver(host: StreamHost, reader: StateReader): MuxStream {
    const stream = new MuxStream(host, loadStreamOptions(reader));
    stream.#load(reader);
    return stream;
  }

  #load(reader: StateReader): void {
    this.#account.load(reader);
    this.#replied = reader.flag();
    this.#replyHeaders = reader.optional(() => loadHeaders(reader));
    this.#output.load(reader, () => this.emit('drain'));
    reader.list(() => this.push(reader.bytes()));
    this.#unread = reader.u64();
    if (reader.flag()) this.receiveEnd();
    if (this.#output.endSent && !this.writableEnded) this.end();
  }

  // Duplex

  override _read(): void {
    this.#consumeUnread();
  }

  #consumeUnread(): void {
    if (this.#unread === 0) return;
    const bytes = this.#unread;
    this.#unread = 0;
    this.#reader?.consume(this.id, bytes);
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: Done): void {
    this.#sendAll([chunk], done);
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: Done): void {
    this.#sendAll(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  override _final(done: Done): void {
    const host = this.#host;
    if (host === undefined) done();
    else if (this.#output.end(done, this.#account.sendsAsItIs)) host.end(this.id);
  }

  override _destroy(error: Error | null, done: Done): void {
    const host = this.#host;
    this.#host = undefined;
    host?.reset(this.id, statusFor(error));
    this.#consumeUnread();
    clearTimeout(this.#idleTimer);
    done(error);
  }

  #sendAll(chunks: readonly Uint8Array[], done: Done): void {
    const host = this.#host;
    const total = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (host === undefined || total === 0) {
      done(host ? undefined : new StreamResetError(this.id, RST.STREAM_ALREADY_CLOSED, 'local'));
      return;
    }
    this.#output.begin(done, this.#account.sendsAsItIs);
    this.#account.payloadSent();
    this.#idleTimer?.refresh();
    try {
      for (const chunk of chunks) host.send(this.id, chunk);
    } catch (error) {
      this.#output.abandon();
      done(error as Error);
    }
  }

  // What callers of net.Socket expect

  setKeepAlive(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  /** As net.Socket's: emits `timeout` after `ms` without data in either direction. */
  setTimeout(ms: number, listener?: () => void): this {
    clearTimeout(this.#idleTimer);
    this.#idleTimer = ms > 0 ? setTimeout(() => this.emit('timeout'), ms).unref() : undefined;
    if (listener) this.once('timeout', listener);
    return this;
  }
}

function ignore(): void {}

/** What the peer is told about the reason. Aborting is not a failure. */
function statusFor(error: Error | null): number {
  // A status of 0 has no meaning, and cannot be sent on.
  if (error instanceof StreamResetError) return error.status || RST.CANCEL;
  const cancelled = error === null || error.name === 'AbortError' || error.name === 'TimeoutError';
  return cancelled ? RST.CANCEL : RST.INTERNAL_ERROR;
}

/** A small piece must not keep the whole chunk alive that it came in, should nobody read it for long. */
function compact(payload: Uint8Array): Uint8Array {
  return payload.length * 4 < payload.buffer.byteLength ? new Uint8Array(payload) : payload;
}
