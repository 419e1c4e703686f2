import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { performance } from 'node:perf_hooks';
import type { Duplex } from 'node:stream';
import { GOAWAY, type HeaderList, RST } from '@keymux/frames';
import type { Keeper, KeyLog, PeerName } from '@keymux/keys';
import {
  type KeyGoneError,
  type KeyInfo,
  type Role,
  Session,
  type SessionConfig,
  SessionError,
  type SessionEvent,
  UsageError,
} from '@keymux/session';
import { bitSet } from './algorithm-choice.ts';
import { DeadlineTimer } from './deadline-timer.ts';
import { traceSession } from './diagnostics.ts';
import { PeerGoneError, StreamResetError } from './errors.ts';
import { DEFAULT_PRIORITY, MuxStream } from './mux-stream.ts';
import { PendingPings } from './pending-pings.ts';
import type { RenegotiationLimits } from './renegotiation-policy.ts';
import { SessionCarrier } from './session-carrier.ts';
import { type NegotiateOptions, SessionKeys } from './session-keys.ts';

export interface MuxSessionOptions {
  readonly role: Role;
  /** Who holds the long-term keys; without one the session is plain SPDY/3.1. */
  readonly keeper?: Keeper | undefined;
  /** ALG_IDs to announce; by default those that the keeper allows. */
  readonly algorithms?: readonly number[];
  readonly config?: Partial<Omit<SessionConfig, 'algorithms'>>;
  /** On the client's side: the host that the user asked for, whose identity the peer must have if it proves one (spec 9.3). */
  readonly peerName?: PeerName | undefined;
  /** On the server's side: the address that the peer connects from (spec 9.4). */
  readonly peerAddress?: string | undefined;
  /** On the server's side: the carrier is the link of a front, and its FRONT_HELLO has been read (spec 10.5). */
  readonly link?: boolean;
  /** Told of each key, with what opens its envelopes; only where somebody has asked for it. */
  readonly keyLog?: KeyLog | undefined;
  /** When the keys that this side negotiates are renegotiated (spec 3.14); by default after 64 GiB or an hour. `false` leaves it to calls. */
  readonly renegotiate?: RenegotiationLimits | false | undefined;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}

export interface OpenStreamOptions {
  /** The key to seal the stream with; without one it travels in the clear. */
  readonly key?: KeyInfo | undefined;
  readonly fin?: boolean;
  /** 0 (highest) to 7; 3 by default. */
  readonly priority?: number;
  /** DATA travels outside envelopes because what runs inside protects itself (spec 4.6). */
  readonly payloadOutside?: boolean;
  /** The peer is not to answer. */
  readonly unidirectional?: boolean;
  /** The stream that this one belongs to (SPDY/3.1, 3.3: a pushed one to its request). */
  readonly associatedWith?: MuxStream | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface MuxSessionEvents {
  stream: [stream: MuxStream];
  /** A key can be used; comes again when it can be used for more, or its peer is proven. */
  key: [key: KeyInfo];
  /** This side seals under a new generation of the key (spec 3.14). */
  renegotiated: [key: KeyInfo];
  /** Both sides have retired the key. */
  retired: [keyId: number];
  announced: [algorithms: number, depth: number];
  goaway: [status: number];
  /** The host of a key is gone from behind its front (spec 10.3); the session lives on. */
  keyGone: [keyId: number, error: KeyGoneError];
  /** The last event. `error` is undefined if the session ended as agreed. */
  close: [error: Error | undefined];
}

/**
 * Runs a session over a carrier: any Duplex, such as a TCP socket, a WebSocket stream, or a stream of another session.
 *
 * Errors of the session never come as an `error` event: they are what `close` and `closed` tell, and what pending calls and open streams fail with.
 */
export class MuxSession extends EventEmitter<MuxSessionEvents> {
  readonly role: Role;
  readonly carrier: Duplex;
  /** Settles when the session is over; never rejects. */
  readonly closed: Promise<Error | undefined>;
  readonly #session: Session;
  readonly #keys: SessionKeys | undefined;
  readonly #carrier: SessionCarrier;
  readonly #now: () => number;
  readonly #streams = new Map<number, MuxStream>();
  readonly #pings = new PendingPings();
  readonly #timer: DeadlineTimer;
  #flushQueued = false;
  #peerStatus: number = GOAWAY.OK;
  #peerAlgorithms: number | undefined;
  /** A GOAWAY was sent or received. */
  #leaving = false;
  #finished = false;

  constructor(carrier: Duplex, options: MuxSessionOptions) {
    super();
    const { role, keeper } = options;
    this.role = role;
    this.carrier = carrier;
    this.#now = options.now ?? (() => performance.now());
    const { peerName, peerAddress, keyLog } = options;
    this.#keys =
      keeper &&
      new SessionKeys({
        ...{ role, keeper, peerName, peerAddress, keyLog },
        depth: options.config?.depth ?? 0,
        renegotiate: options.renegotiate ?? {},
        now: this.#now,
        onChange: () => this.#queueFlush(),
      });
    const algorithms = keeper ? bitSet(options.algorithms ?? keeper.algorithms) : 0;
    this.#session = new Session({
      role,
      config: { ...options.config, algorithms },
      keys: this.#keys?.registry,
      link: options.link ?? false,
      createHash: () => createHash('sha256'),
      now: this.#now(),
    });
    this.closed = new Promise((resolve) => this.once('close', resolve));
    if (this.#keys)
      this.#keys.registry.onProgress = () => this.#step(() => this.#session.keysProgressed(this.#now()));
    this.#timer = new DeadlineTimer(this.#now, () =>
      this.#step(() => this.#session.handleDeadline(this.#now())),
    );
    this.#carrier = new SessionCarrier(carrier, {
      ready: () => this.#pump(),
      data: (chunk) => this.#receive(chunk),
      end: () => this.#step(() => this.#session.carrierEnded(this.#now())),
      failed: (error) => this.#carrierFailed(error),
      closed: () => this.#carrierClosed(),
    });
    traceSession('open', this);
    this.#queueFlush();
  }

  /** The ALG_IDs that the peer announced as a bit set; undefined until it has. */
  get peerAlgorithms(): number | undefined {
    return this.#peerAlgorithms;
  }

  get streamCount(): number {
    return this.#session.streamCount;
  }

  /** Whether the session still takes streams: it is not over, and neither side is going away. `canOpen` can be false for a while all the same. */
  get takesStreams(): boolean {
    return !this.#finished && !this.#leaving;
  }

  /** Whether `openStream` would be accepted now. */
  get canOpen(): boolean {
    return !this.#finished && this.#session.canOpen;
  }

  /** Whether there is a front between the two sides, each of whose hosts has a process of its own (spec 10). */
  get fronted(): boolean {
    return this.#session.fronted;
  }

  /** The established key with this ID. */
  key(keyId: number): KeyInfo | undefined {
    return this.#keys?.get(keyId);
  }

  /** Opens a stream. Throws UsageError if the session takes none, or the key is not established. */
  openStream(headers: HeaderList, options: OpenStreamOptions = {}): MuxStream {
    options.signal?.throwIfAborted();
    const { key, fin = false, payloadOutside = false, unidirectional = false } = options;
    const { priority = DEFAULT_PRIORITY, associatedWith } = options;
    const head = { payloadOutside, unidirectional, priority, associatedId: associatedWith?.id ?? 0 };
    const id = this.#session.open(headers, { fin, keyId: key?.keyId ?? 0, ...head });
    const stream = this.#adopt({ id, ours: true, headers, key, ...head });
    if (fin) stream.endWithHead();
    const { signal } = options;
    if (signal) {
      const abort = (): void => void stream.destroy(signal.reason as Error);
      signal.addEventListener('abort', abort, { once: true });
      stream.once('close', () => signal.removeEventListener('abort', abort));
    }
    this.#queueFlush();
    return stream;
  }

  /**
   * Negotiates a key inside the running session. Rejects with NegotiationRejectedError if no algorithm suits both sides, with the session's error if the negotiation failed
   * (a failed negotiation ends the session; behind a front only the key, with KeyGoneError), or with the signal's reason. Without a keeper, or when all key IDs are used up, with an error of scope usage.
   */
  async negotiate(options: NegotiateOptions): Promise<KeyInfo> {
    options.signal?.throwIfAborted();
    const keys = this.#requireKeys();
    this.#refuseBehindFront();
    const key = await keys.negotiate(options, this.#peerAlgorithms);
    if (options.replaces && !this.#finished) this.retire(options.replaces);
    return key;
  }

  /**
   * Makes a new generation of an established key (spec 3.14) while its streams go on, or joins the peer in it. Resolves when this side seals under it; at once if it does already and the peer has yet to do so. Rejects with NegotiationRejectedError
   * if the peer does not want to, which changes nothing, with an error of scope usage if the key cannot be renegotiated, or with the session's error.
   */
  async renegotiate(key: KeyInfo, options: { readonly signal?: AbortSignal } = {}): Promise<KeyInfo> {
    options.signal?.throwIfAborted();
    const keys = this.#requireKeys();
    return keys.renegotiate(key.keyId, options.signal);
  }

  /**
   * Opens no more streams under a key, and retires it as soon as no stream needs it; the event `retired` comes when both sides have. Throws UsageError
   * `ERR_KEYMUX_KEY_NEEDED` if it is the only connection key: negotiate another one first.
   */
  retire(key: KeyInfo): void {
    this.#requireKeys();
    this.#step(() => this.#session.retireKey(key.keyId));
  }

  #refuseBehindFront(): void {
    if (this.role === 'server' && this.fronted)
      throw new UsageError('ERR_KEYMUX_FRONT', 'behind a front only the client begins to negotiate');
  }

  #requireKeys(): SessionKeys {
    if (this.#keys !== undefined && !this.#finished) return this.#keys;
    throw new UsageError('ERR_KEYMUX_NO_KEY', 'the session is over, or has no keeper to negotiate with');
  }

  /**
   * The key once what it seals is no early data any more: at once for most, else when the peer's randomness is in it (spec 3.7). Rejects as `negotiate` does.
   */
  async confirmed({ keyId }: KeyInfo, signal?: AbortSignal): Promise<KeyInfo> {
    signal?.throwIfAborted();
    const key = this.#keys?.get(keyId);
    return key !== undefined && !key.early ? key : this.#requireKeys().confirmed(keyId, signal);
  }

  /** Asks the peer for a sign of life; resolves with how long it took, in milliseconds, or rejects with the session's error. */
  async ping(): Promise<number> {
    if (this.#finished) throw new UsageError('ERR_KEYMUX_SESSION_CLOSED', 'the session is over');
    const answer = this.#pings.wait(this.#session.ping(this.#now()));
    this.#queueFlush();
    return answer;
  }

  /** Takes no more streams and resolves when the open ones have ended, or the drain timeout of the configuration has passed. */
  async close(): Promise<void> {
    if (this.#finished) return;
    this.#leaving = true;
    this.#step(() => this.#session.goAway(GOAWAY.OK, this.#now()));
    await this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Ends the session and all its streams now. */
  destroy(error?: Error): void {
    const status = error === undefined ? GOAWAY.OK : GOAWAY.INTERNAL_ERROR;
    const message = error?.message ?? 'the session was destroyed by this side';
    this.#step(() =>
      this.#session.destroy(
        new SessionError('ERR_KEYMUX_DESTROYED', status, 'local', message, { cause: error }),
      ),
    );
  }

  #receive(chunk: Uint8Array): void {
    this.#step(() => this.#session.receive(chunk, this.#now()));
    if (!this.#session.wantsInput && !this.#finished) this.#carrier.read(false);
  }

  /** Does something with the session, then deals with what came of it. */
  #step(action: () => void): void {
    if (this.#finished) return;
    action();
    this.#handleEvents();
    this.#resumeReading();
    this.#queueFlush();
  }

  #resumeReading(): void {
    if (this.#session.wantsInput) this.#carrier.read(true);
  }

  #handleEvents(): void {
    for (let event = this.#session.nextEvent(); event !== undefined; event = this.#session.nextEvent())
      this.#handle(event);
  }

  #handle(event: SessionEvent): void {
    switch (event.type) {
      case 'stream':
        this.#incoming(event);
        return;
      case 'reply':
        this.#streams.get(event.id)?.receiveReply(event.headers, event.key);
        return;
      case 'headers':
        this.#streams.get(event.id)?.receiveHeaders(event.headers, event.key);
        return;
      case 'data':
        this.#streams.get(event.id)?.receiveData(event.payload);
        return;
      case 'end':
        this.#streams.get(event.id)?.receiveEnd();
        return;
      case 'switched':
        this.#streams.get(event.id)?.receiveSwitch(event.key);
        return;
      case 'drain':
        this.#carrier.drained(this.#streams.get(event.id));
        return;
      case 'reset':
        this.#detach(event.id, this.#resetError(event));
        return;
      case 'closed':
        this.#detach(event.id, undefined);
        return;
      case 'key':
        this.#keyEvent(event);
        return;
      case 'key-rejected':
        this.#keys?.onRejected(event);
        return;
      case 'key-failed':
        this.#keys?.onFailed(event);
        return;
      case 'key-retired':
        this.#keys?.onRetired(event.keyId);
        this.emit('retired', event.keyId);
        return;
      case 'key-gone':
        this.#keys?.onGone(event);
        this.emit('keyGone', event.keyId, event.error);
        return;
      case 'announced':
        this.#peerAlgorithms = event.algorithms;
        this.emit('announced', event.algorithms, event.depth);
        return;
      case 'goaway':
        this.#peerStatus = event.status;
        this.#leaving = true;
        this.emit('goaway', event.status);
        return;
      case 'pong':
        this.#pings.answered(event.id, event.elapsed);
        return;
      case 'key-leaving':
      case 'error':
        return; // `#pump` notices that the session is over
    }
  }

  #incoming(event: SessionEvent & { type: 'stream' }): void {
    const { id, headers, payloadOutside, unidirectional, associatedId, priority, key } = event;
    const head = { headers, payloadOutside, unidirectional, associatedId, priority, key };
    const stream = this.#adopt({ id, ours: false, ...head });
    if (!this.emit('stream', stream)) stream.reset(RST.REFUSED_STREAM);
  }

  #adopt(options: ConstructorParameters<typeof MuxStream>[1]): MuxStream {
    const stream = new MuxStream(this.#host, options);
    this.#streams.set(stream.id, stream);
    traceSession('stream', this, stream);
    return stream;
  }

  #detach(id: number, error: Error | undefined): void {
    const stream = this.#streams.get(id);
    this.#streams.delete(id);
    stream?.detach(error);
  }

  #resetError({ id, status, origin, ...event }: SessionEvent & { type: 'reset' }): Error {
    const { error } = this.#session;
    const cause = event.cause ?? (error && this.#explain(error));
    return new StreamResetError(id, status, origin, cause && { cause });
  }

  #keyEvent(event: SessionEvent & { type: 'key' }): void {
    const news = this.#keys?.onKey(event);
    if (news === undefined) return;
    traceSession('key', this, event.key);
    this.emit(news, event.key);
  }

  // What streams may do to the session. Writes of one tick are collected, so that they share envelopes.
  readonly #host = {
    send: (id: number, chunk: Uint8Array): void => {
      this.#session.send(id, chunk);
      this.#queueFlush();
    },
    headers: (id: number, headers: HeaderList): void => {
      this.#session.headers(id, headers);
      this.#queueFlush();
    },
    end: (id: number): void => {
      this.#session.end(id);
      this.#queueFlush();
    },
    reset: (id: number, status: number): void => this.#step(() => this.#session.reset(id, status)),
    consume: (id: number, bytes: number): void => {
      this.#session.consume(id, bytes);
      this.#queueFlush();
    },
    reply: (
      id: number,
      headers: HeaderList,
      options: { fin?: boolean; keyId?: number | undefined },
    ): void => {
      this.#session.reply(id, headers, options);
      this.#queueFlush();
    },
    switchKey: (id: number, keyId: number): void => {
      this.#session.switchKey(id, keyId);
      this.#queueFlush();
    },
  };

  #queueFlush(): void {
    if (this.#flushQueued) return;
    this.#flushQueued = true;
    queueMicrotask(() => {
      this.#flushQueued = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#finished) return;
    const renewal = this.#keys?.checkAge();
    while (this.#carrier.ready && !this.#finished) {
      const output = this.#session.output();
      if (output === undefined) break;
      this.#handleEvents();
      this.#carrier.write(output);
    }
    this.#handleEvents();
    this.#resumeReading();
    if (this.#session.over) {
      const error = this.#session.error;
      const ours = error?.code === 'ERR_KEYMUX_DESTROYED';
      this.#finish(ours ? (error.cause as Error | undefined) : this.#explain(error));
    } else this.#timer.set(earlier(this.#session.nextDeadline(), renewal));
  }

  /** If the peer has said why it left, that is the better explanation. */
  #explain(error: Error | undefined): Error | undefined {
    return this.#peerStatus === GOAWAY.OK ? error : new PeerGoneError(this.#peerStatus);
  }

  #carrierFailed(error: Error): void {
    const code = 'ERR_KEYMUX_CARRIER';
    this.#step(() =>
      this.#session.destroy(
        new SessionError(code, GOAWAY.OK, 'remote', `the connection failed: ${error.message}`, {
          cause: error,
        }),
      ),
    );
  }

  #carrierClosed(): void {
    this.#step(() => this.#session.carrierEnded(this.#now()));
    if (this.#finished) return;
    this.#pump();
    if (!this.#finished) this.#finish(this.#explain(this.#session.error));
  }

  #finish(cause: Error | undefined): void {
    if (this.#finished) return;
    const error = cause ?? (this.#keys?.pending ? endedTooEarly() : undefined);
    this.#finished = true;
    this.#timer.clear();
    const reason = error ?? new UsageError('ERR_KEYMUX_SESSION_CLOSED', 'the session is over');
    for (const id of [...this.#streams.keys()]) this.#detach(id, reason);
    this.#keys?.close(reason);
    this.#pings.rejectAll(reason);
    this.#carrier.end();
    traceSession('close', this, error);
    this.emit('close', error);
  }
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}

/** The peer left between two frames, which is a normal end, but something was waited for. */
function endedTooEarly(): SessionError {
  const message = 'the peer ended the connection during a negotiation';
  return new SessionError('ERR_KEYMUX_CARRIER_ENDED', GOAWAY.OK, 'remote', message);
}
