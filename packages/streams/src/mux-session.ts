import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { GOAWAY, type HeaderList, RST } from '@keymux/frames';
import type { ClientGate, Keeper, KeyLog, PeerName } from '@keymux/keys';
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
import { traceSession } from './diagnostics.ts';
import { DEFAULT_PRIORITY, type MuxStream, type MuxStreamOptions } from './mux-stream.ts';
import { PendingPings } from './pending-pings.ts';
import type { RenegotiationLimits } from './renegotiation-policy.ts';
import { monotonic, SessionDriver } from './session-driver.ts';
import { type NegotiateOptions, SessionKeys } from './session-keys.ts';
import { SessionStreams } from './session-streams.ts';
import { type ClosableShare, DEFAULT_WINDOW_LIMITS, WindowPool } from './window-pool.ts';

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
  /** On the server's side: what all its sessions have to pass to negotiate (spec 7.3). */
  readonly gate?: ClientGate | undefined;
  /** What windows may grow by (spec 7.3); by default out of what all such sessions of the process have together. */
  readonly windowShare?: ClosableShare | undefined;
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

/** Of sessions that no server has limits for: the process is the one client of them. */
const OWN_WINDOWS = new WindowPool({
  ...DEFAULT_WINDOW_LIMITS,
  windowGrowthPerClient: DEFAULT_WINDOW_LIMITS.windowGrowth,
});

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
  readonly #driver: SessionDriver;
  readonly #streams: SessionStreams;
  readonly #keys: SessionKeys | undefined;
  readonly #windowShare: ClosableShare;
  readonly #now: () => number;
  readonly #pings = new PendingPings();
  #peerAlgorithms: number | undefined;
  /** A GOAWAY was sent or received. */
  #leaving = false;

  constructor(carrier: Duplex, options: MuxSessionOptions) {
    super();
    const { role, keeper } = options;
    this.role = role;
    this.carrier = carrier;
    this.#now = options.now ?? monotonic;
    const { peerName, peerAddress, gate, keyLog } = options;
    this.#keys =
      keeper &&
      new SessionKeys({
        ...{ role, keeper, peerName, peerAddress, gate, keyLog },
        depth: options.config?.depth ?? 0,
        renegotiate: options.renegotiate ?? {},
        now: this.#now,
        onChange: () => this.#driver.flush(),
      });
    this.#windowShare = options.windowShare ?? OWN_WINDOWS.share('');
    const algorithms = keeper ? bitSet(options.algorithms ?? keeper.algorithms) : 0;
    this.#session = new Session({
      role,
      config: { ...options.config, algorithms },
      keys: this.#keys?.registry,
      link: options.link ?? false,
      windowShare: this.#windowShare,
      createHash: () => createHash('sha256'),
      now: this.#now(),
    });
    this.closed = new Promise((resolve) => this.once('close', resolve));
    this.#driver = new SessionDriver(this.#session, carrier, this.#now, {
      event: (event) => this.#handle(event),
      checkKeys: () => this.#keys?.checkAge(),
      over: (error) => this.#over(error),
    });
    this.#streams = new SessionStreams(this.#session, this.#driver);
    if (this.#keys)
      this.#keys.registry.onProgress = () =>
        this.#driver.step(() => this.#session.keysProgressed(this.#now()));
    traceSession('open', this);
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
    if (this.#driver.finished) throw new UsageError('ERR_KEYMUX_SESSION_CLOSED', 'the session is over');
    const answer = this.#pings.wait(this.#session.ping(this.#now()));
    this.#driver.flush();
    return answer;
  }

  /** Takes no more streams and resolves when the open ones have ended, or the drain timeout of the configuration has passed. */
  async close(): Promise<void> {
    if (this.#driver.finished) return;
    this.#leaving = true;
    this.#driver.step(() => this.#session.goAway(GOAWAY.OK, this.#now()));
    await this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Ends the session and all its streams now. */
  destroy(error?: Error): void {
    const status = error === undefined ? GOAWAY.OK : GOAWAY.INTERNAL_ERROR;
    const message = error?.message ?? 'the session was destroyed by this side';
    this.#driver.step(() =>
      this.#session.destroy(
        new SessionError('ERR_KEYMUX_DESTROYED', status, 'local', message, { cause: error }),
      ),
    );
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
    const reason = error ?? new UsageError('ERR_KEYMUX_SESSION_CLOSED', 'the session is over');
    this.#streams.endAll(reason);
    this.#keys?.close(reason);
    this.#pings.rejectAll(reason);
    this.#windowShare.close();
    traceSession('close', this, error);
    this.emit('close', error);
  }
}

/** The peer left between two frames, which is a normal end, but something was waited for. */
function endedTooEarly(): SessionError {
  const message = 'the peer ended the connection during a negotiation';
  return new SessionError('ERR_KEYMUX_CARRIER_ENDED', GOAWAY.OK, 'remote', message);
}
