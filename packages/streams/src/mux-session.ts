import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { GOAWAY, type HeaderList, RST, StateWriter } from '@keymux/frames';
import {
  type KeyGoneError,
  type KeyInfo,
  type Role,
  type Session,
  SessionError,
  type SessionEvent,
  UsageError,
  withoutStack,
} from '@keymux/session';
import { traceSession } from './diagnostics.ts';
import { type MuxSessionOptions, newEngine, savedEngine } from './mux-session-options.ts';
import type { MuxStream } from './mux-stream.ts';
import { PendingPings } from './pending-pings.ts';
import { handOverError, joinSaved, readSaved, type SavedSession } from './saved-session.ts';
import { monotonic, SessionDriver } from './session-driver.ts';
import type { NegotiateOptions, SessionKeys } from './session-keys.ts';
import { SessionStreams } from './session-streams.ts';
import { DEFAULT_PRIORITY, type MuxStreamOptions } from './stream-options.ts';
import { UntoldStreams } from './untold-streams.ts';
import { Waiters } from './waiters.ts';
import { type ClosableShare, DEFAULT_WINDOW_LIMITS, WindowPool } from './window-pool.ts';

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

/** Of sessions that no server has limits for: the process is the one client of them. */
const OWN_WINDOWS = new WindowPool({
  ...DEFAULT_WINDOW_LIMITS,
  windowGrowthPerClient: DEFAULT_WINDOW_LIMITS.windowGrowth,
});

interface MuxSessionEvents {
  stream: [stream: MuxStream];
  /** A stream is held back (`holdStreams`). */
  held: [];
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

/** How the end of a session is waited for. */
export interface CloseOptions {
  /** How long open streams have to end, in milliseconds; `drainTimeout` of the configuration by default, Infinity for as long as it takes. */
  readonly within?: number | undefined;
}

/**
 * Runs a session over a carrier: any Duplex, such as a TCP socket, a WebSocket stream, or a stream of another session.
 *
 * Errors of the session never come as an `error` event: they are what `close` and `closed` tell, and what pending calls and open streams fail with.
 */
export class MuxSession extends EventEmitter<MuxSessionEvents> {
  readonly role: Role;
  readonly carrier: Duplex;
  /** Whether it has begun in another process. */
  readonly takenOver: boolean;
  /** Settles when the session is over; never rejects. */
  readonly closed: Promise<Error | undefined>;
  readonly #session: Session;
  readonly #driver: SessionDriver;
  readonly #streams: SessionStreams;
  readonly #keys: SessionKeys | undefined;
  readonly #windowShare: ClosableShare;
  readonly #now: () => number;
  readonly #pings = new PendingPings();
  #peerAlgorithms: number | undefined;
  /** A GOAWAY was sent or received. */
  #leaving = false;
  readonly #untold = new UntoldStreams((stream) => this.#tell(stream));
  readonly #movable = new Waiters();

  /** `saved` is for `takeOver`. */
  constructor(carrier: Duplex, options: MuxSessionOptions, saved?: SavedSession) {
    super();
    this.role = options.role;
    this.carrier = carrier;
    this.takenOver = saved !== undefined;
    this.#now = options.now ?? monotonic;
    this.#windowShare = options.windowShare ?? OWN_WINDOWS.share('');
    const surroundings = {
      windowShare: this.#windowShare,
      now: this.#now,
      onChange: () => this.#driver.flush(),
    };
    const { keys, session } =
      saved === undefined
        ? newEngine(options, surroundings)
        : savedEngine(saved.engine, options, surroundings);
    this.#keys = keys;
    this.#session = session;
    this.closed = new Promise((resolve) => this.once('close', resolve));
    this.#driver = new SessionDriver(this.#session, carrier, this.#now, {
      event: (event) => this.#handle(event),
      checkKeys: () => this.#keys?.checkAge(),
      idle: () => this.#movable.check(() => this.handOverObstacle === undefined),
      over: (error) => this.#over(error),
    });
    this.#streams = new SessionStreams(this.#session, this.#driver);
    if (this.#keys)
      this.#keys.registry.onProgress = () =>
        this.#driver.step(() => this.#session.keysProgressed(this.#now()));
    if (saved !== undefined) this.#takeOver(saved);
    traceSession('open', this);
  }

  /**
   * Goes on with a session that `handOver` of another process has given, over its carrier. `options` are as for a new session; of `config`, what the peer
   * was told already does not change. `state` is wiped. Its streams are in `streams`; those that nobody has been told of come as `stream` events in a later
   * turn. Throws UsageError `ERR_KEYMUX_HAND_OVER`; then the carrier is the caller's, who can only close it.
   */
  static takeOver(carrier: Socket, state: Uint8Array, options: MuxSessionOptions): MuxSession {
    const windowShare = options.windowShare ?? OWN_WINDOWS.share('');
    const own = { ...options, windowShare };
    try {
      return readSaved(state, options.role, (saved) => new MuxSession(carrier, own, saved));
    } catch (error) {
      windowShare.close();
      throw error;
    }
  }

  /** Why the session cannot be handed over at this moment, for people; undefined if it can (spec 13.1). */
  get handOverObstacle(): string | undefined {
    return this.#driver.handOverObstacle;
  }

  /** Resolves when nothing stands in the way of `handOver`, which may be again a turn later. Rejects with the session's error, or the signal's reason. */
  async movable(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#driver.finished) throw sessionOver();
    if (this.handOverObstacle !== undefined) await this.#movable.wait(signal);
  }

  /**
   * Gives the session up, for `takeOver` of another process. From now on nothing is read from the carrier or written to it here; this process' end is closed
   * without a word to the peer, so another one must be open already, in this process or the other. The streams end here with `ERR_KEYMUX_HANDED_OVER`, as does
   * the session. Who has the state that is returned can open and seal in the place of this side: wipe it.
   *
   * `name` is 16 random bytes (spec 13.9). Throws UsageError `ERR_KEYMUX_HAND_OVER` if there is a `handOverObstacle`; then the session goes on.
   */
  handOver(name: Uint8Array): Uint8Array {
    if (this.handOverObstacle === undefined) this.#driver.settle();
    const obstacle = this.handOverObstacle;
    if (obstacle !== undefined) throw handOverError(`the session cannot be handed over: ${obstacle}`);
    const reason = new UsageError('ERR_KEYMUX_HANDED_OVER', 'the session was handed over to another process');
    const writer = new StateWriter();
    this.#save(writer, reason);
    const engine = this.#driver.release(name);
    const state = joinSaved(this.role, engine, writer);
    this.#over(reason);
    return state;
  }

  #save(writer: StateWriter, reason: Error): void {
    writer.optional(this.#peerAlgorithms, (algorithms) => writer.u32(algorithms));
    writer.flag(this.#leaving);
    writer.optional(this.#keys, (keys) => keys.save(writer));
    const untold = [...this.#untold].filter(({ id }) => this.#streams.get(id) !== undefined);
    writer.list(untold, ({ id }) => writer.u32(id));
    this.#streams.handOver(writer, reason);
  }

  #takeOver(saved: SavedSession): void {
    try {
      this.#load(saved);
    } catch (error) {
      this.#driver.abandon();
      this.#keys?.registry.close();
      throw error;
    }
    queueMicrotask(() => this.tellStreams());
  }

  #load({ reader }: SavedSession): void {
    this.#peerAlgorithms = reader.optional(() => reader.u32());
    this.#leaving = reader.flag();
    reader.optional(() => {
      if (this.#keys === undefined) throw reader.malformed('it has keys without secrets');
      this.#keys.load(reader);
    });
    const untold: number[] = [];
    reader.list(() => untold.push(reader.u32()));
    this.#streams.takeOver(reader);
    this.#untold.hold(
      untold.map((id) => {
        const stream = this.#streams.get(id);
        if (stream === undefined) throw reader.malformed('a stream that nobody knows of is not open');
        return stream;
      }),
    );
    reader.end();
  }

  /** Keeps the peer's new streams back: they come as `stream` after `tellStreams`, or in the process that takes the session over. */
  holdStreams(): void {
    this.#untold.hold();
  }

  /** Tells of the streams that were held back, and of new ones at once again. */
  tellStreams(): void {
    this.#untold.release();
  }

  /** The streams that are open. */
  get streams(): Iterable<MuxStream> {
    return this.#streams;
  }

  /** The open stream with this ID. */
  stream(id: number): MuxStream | undefined {
    return this.#streams.get(id);
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
    return !this.#driver.finished && !this.#leaving;
  }

  /** Whether `openStream` would be accepted now. */
  get canOpen(): boolean {
    return !this.#driver.finished && this.#session.canOpen;
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
    this.#driver.flush();
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
    if (options.replaces && !this.#driver.finished) this.retire(options.replaces);
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
    this.#driver.step(() => this.#session.retireKey(key.keyId));
  }

  #refuseBehindFront(): void {
    if (this.role === 'server' && this.fronted)
      throw new UsageError('ERR_KEYMUX_FRONT', 'behind a front only the client begins to negotiate');
  }

  #requireKeys(): SessionKeys {
    if (this.#keys !== undefined && !this.#driver.finished) return this.#keys;
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
    if (this.#driver.finished) throw sessionOver();
    const answer = this.#pings.wait(this.#session.ping(this.#now()));
    this.#driver.flush();
    return answer;
  }

  /** Takes no more streams and resolves when the open ones have ended, or their time is up. Called again, it can only shorten that time. */
  async close({ within }: CloseOptions = {}): Promise<void> {
    if (this.#driver.finished) return;
    this.#leaving = true;
    this.#driver.step(() => this.#session.goAway(GOAWAY.OK, this.#now(), within));
    await this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Ends the session and all its streams now. */
  destroy(error?: Error): void {
    const status = error === undefined ? GOAWAY.OK : GOAWAY.INTERNAL_ERROR;
    const message = error?.message ?? 'the session was destroyed by this side';
    const reason = withoutStack(
      () => new SessionError('ERR_KEYMUX_DESTROYED', status, 'local', message, { cause: error }),
    );
    this.#driver.step(() => this.#session.destroy(reason));
  }

  #handle(event: SessionEvent): void {
    if (this.#streams.handle(event)) return;
    switch (event.type) {
      case 'stream':
        this.#incoming(event);
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
        this.#leaving = true;
        this.emit('goaway', event.status);
        return;
      case 'pong':
        this.#pings.answered(event.id, event.elapsed);
        return;
    }
  }

  #incoming(event: SessionEvent & { type: 'stream' }): void {
    const { id, headers, payloadOutside, unidirectional, associatedId, priority, key } = event;
    // What the peer has reset before anybody saw it is nobody's work (CVE-2023-44487). A stream that wants no answer can be over properly.
    if (!unidirectional && !this.#session.isOpen(id)) return;
    const head = { headers, payloadOutside, unidirectional, associatedId, priority, key };
    const stream = this.#adopt({ id, ours: false, ...head });
    if (this.#untold.add(stream)) this.emit('held');
  }

  #tell(stream: MuxStream): void {
    // What was reset while it was held back is nobody's work either.
    if (stream.destroyed && !stream.unidirectional) return;
    if (!this.emit('stream', stream)) stream.reset(RST.REFUSED_STREAM);
  }

  #adopt(options: MuxStreamOptions): MuxStream {
    const stream = this.#streams.add(options);
    traceSession('stream', this, stream);
    return stream;
  }

  #keyEvent(event: SessionEvent & { type: 'key' }): void {
    const news = this.#keys?.onKey(event);
    if (news === undefined) return;
    traceSession('key', this, event.key);
    this.emit(news, event.key);
  }

  #over(cause: Error | undefined): void {
    const error = cause ?? (this.#keys?.pending ? endedTooEarly() : undefined);
    const reason = error ?? withoutStack(sessionOver);
    this.#movable.endAll(reason);
    this.#streams.endAll(reason);
    this.#keys?.close(reason);
    this.#pings.rejectAll(reason);
    this.#windowShare.close(this.#session.lingeringGrowth);
    traceSession('close', this, error);
    this.emit('close', error);
  }
}

function sessionOver(): UsageError {
  return new UsageError('ERR_KEYMUX_SESSION_CLOSED', 'the session is over');
}

/** The peer left between two frames, which is a normal end, but something was waited for. */
function endedTooEarly(): SessionError {
  const message = 'the peer ended the connection during a negotiation';
  return new SessionError('ERR_KEYMUX_CARRIER_ENDED', GOAWAY.OK, 'remote', message);
}
