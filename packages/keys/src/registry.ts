import type { SealLimits } from './envelope.ts';
import { keyFailure, usageError } from './errors.ts';
import { EstablishedKey, type Side } from './established-key.ts';
import { EventQueue } from './event-queue.ts';
import type { PeerName } from './identity/known-hosts.ts';
import type { Keeper } from './keeper.ts';
import type { KeyInfo } from './key-info.ts';
import type { NegoFrame } from './nego-frame.ts';
import { asKeyError, type NegotiateOptions, Negotiator } from './negotiator.ts';
import type { ReceiveKey } from './opener.ts';
import type { RegistryEvent } from './registry-event.ts';
import { REJECT_REASON } from './reject.ts';
import type { Run } from './run.ts';
import type { SendKey } from './sealer.ts';
import type { Secret } from './secret.ts';

export interface KeyRegistryOptions {
  readonly role: Side;
  readonly keeper: Keeper;
  /** Nesting depth, if it is known already; 0 by default. */
  readonly depth?: number;
  /** The name by which the user asked for the peer, on the client's side: identities are looked up under it. */
  readonly peerName?: PeerName | undefined;
  /** The address that the peer connects from, on the server's side. */
  readonly peerAddress?: string | undefined;
  /** Runs of the peer that may be in progress; 4 by default (spec 3.2). */
  readonly maxPeerRuns?: number;
  /** Milliseconds from a run's first message to its last; 10,000 by default (spec 3.2). */
  readonly runTimeout?: number;
  /** For tests only. */
  readonly sealLimits?: SealLimits;
}

/**
 * The keys of one session: IDs, runs, generations, streams bound to keys. It has no clock and no IO of its own. Negotiation is the
 * keeper's and takes its time; what it yields is sealing keys, which are derived, kept and used here, synchronously.
 *
 * What happens is polled; `onProgress` says when to. What a peer does wrong becomes one `failed` event, never an exception. After it
 * nothing more is received, but keys still seal until `close`, since GOAWAY may have to travel under one.
 */
export class KeyRegistry {
  readonly #side: Side;
  readonly #sealLimits: SealLimits | undefined;
  readonly #events = new EventQueue();
  readonly #negotiator: Negotiator;
  readonly #keys = new Map<number, EstablishedKey>();

  constructor(options: KeyRegistryOptions) {
    this.#side = options.role;
    this.#sealLimits = options.sealLimits;
    this.#negotiator = new Negotiator({
      side: options.role,
      keeper: options.keeper,
      depth: options.depth ?? 0,
      peerName: options.peerName,
      peerAddress: options.peerAddress,
      maxPeerRuns: options.maxPeerRuns ?? 4,
      runTimeout: options.runTimeout ?? 10_000,
      events: this.#events,
      install: (run, secret) => this.#keyOf(run).install(secret),
      revoke: (keyId) => this.#revoke(keyId),
    });
  }

  /** Called, never from within a call to the registry, when `poll` or `busy` may have something new. */
  get onProgress(): (() => void) | undefined {
    return this.#events.onProgress;
  }

  set onProgress(listener: (() => void) | undefined) {
    this.#events.onProgress = listener;
  }

  /** The client's nesting depth, learnt from its announcement before any run. */
  setDepth(depth: number): void {
    this.#negotiator.setDepth(depth);
  }

  // Negotiation

  /**
   * Begins a run; returns the ID of the key that it is to make. Throws KeyError (usage): ERR_KEYMUX_IDS_EXHAUSTED, or
   * ERR_KEYMUX_KEY_USAGE if label, authority or offer cannot be sent.
   */
  negotiate(options: NegotiateOptions): number {
    return this.#negotiator.negotiate(options);
  }

  /**
   * A KEY_NEGO frame of the peer. `bytes` is the whole frame, `digestBefore` the peer's session digest just before it (spec 3.6), `now`
   * milliseconds of any clock, the same for all calls. Must not be called while the key ID is `busy`.
   */
  receive(frame: NegoFrame, bytes: Uint8Array, digestBefore: Uint8Array, now: number): void {
    if (this.#negotiator.over) return;
    const run = this.#negotiator.run(frame.keyId);
    if (run?.busy) throw usageError(`key ${frame.keyId} is busy: its frames must wait`);
    const key = this.#keys.get(frame.keyId);
    try {
      if (run !== undefined) this.#negotiator.continue(run, frame, bytes, digestBefore);
      else if (key !== undefined) this.#onEstablished(key, frame, bytes);
      else this.#negotiator.accept(frame, bytes, digestBefore, now);
    } catch (error) {
      this.#negotiator.fail(frame.keyId, asKeyError(error));
    }
  }

  /** A frame that a `send` event asked for is on the wire; `digestBefore` is this side's session digest just before it. */
  sent(keyId: number, bytes: Uint8Array, digestBefore: Uint8Array): void {
    const run = this.#negotiator.run(keyId);
    const key = this.#keys.get(keyId);
    if (run !== undefined) {
      this.#negotiator.sent(run, bytes, digestBefore);
    } else if (key !== undefined && ((bytes[FLAGS] ?? 0) & RETIRE) !== 0) {
      key.retireSending();
      this.#dropRetired(key);
    }
  }

  /** The next thing to do or to know. */
  poll(): RegistryEvent | undefined {
    return this.#events.shift();
  }

  /** Whether a step of this key's run is under way: no envelope and no KEY_NEGO of this ID may be interpreted now (spec 3.2). */
  busy(keyId: number): boolean {
    return this.#negotiator.run(keyId)?.busy ?? false;
  }

  /** When `handleDeadline` wants to be called, on the clock of `now`. May lie in the past. */
  nextDeadline(): number | undefined {
    return this.#negotiator.nextDeadline();
  }

  handleDeadline(now: number): void {
    this.#negotiator.handleDeadline(now);
  }

  // Use of keys

  /** The current generation of a key for sending. */
  sender(keyId: number): SendKey | undefined {
    return this.#keys.get(keyId)?.sender;
  }

  /** Exactly this generation of a key for receiving, if it is the current or the next one. */
  receiver(keyId: number, generation: number): ReceiveKey | undefined {
    return this.#keys.get(keyId)?.receiver(generation);
  }

  /** The peer's KEY_UPDATE to `generation` was right: earlier ones are wiped. */
  confirmGeneration(keyId: number, generation: number): void {
    this.#keys.get(keyId)?.confirmGeneration(generation);
  }

  info(keyId: number): KeyInfo | undefined {
    return this.#keys.get(keyId)?.info;
  }

  /** A secret by which other protocols bind themselves to this key (spec 3.5). Undefined while only early data can be sealed. */
  exporter(keyId: number): Secret | undefined {
    return this.#keys.get(keyId)?.exporter;
  }

  /** The best connection key that seals more than early data: by level, then forward secrecy, then age. */
  connectionKey(): number | undefined {
    let best: KeyInfo | undefined;
    for (const key of this.#keys.values()) {
      const info = key.sender?.info;
      if (info === undefined || info.authority !== '' || info.early) continue;
      if (best === undefined || strength(info) > strength(best)) best = info;
    }
    return best?.keyId;
  }

  /** A direction of a stream is bound to the key. */
  bind(keyId: number, streamId: number): void {
    this.#keys.get(keyId)?.streams.add(streamId);
  }

  unbind(keyId: number, streamId: number): void {
    this.#keys.get(keyId)?.streams.delete(streamId);
  }

  /** Retires the key for sending. Throws KeyError (usage) while a stream is bound to it, or if it cannot seal. */
  retire(keyId: number): void {
    const key = this.#keys.get(keyId);
    if (key?.sender === undefined || this.#negotiator.over || this.#negotiator.run(keyId) !== undefined) {
      throw usageError(`key ${keyId} is not established for sending`);
    }
    if (key.streams.size > 0) throw usageError(`${key.streams.size} streams still need key ${keyId}`);
    const data = new Uint8Array(0);
    const frame = { keyId, algorithm: key.algorithm, fin: true, reject: false, retire: true, data };
    this.#events.push({ type: 'send', frame });
  }

  /** Abandons all runs and wipes all keys. */
  close(): void {
    this.#negotiator.close();
    this.#events.clear();
    for (const key of this.#keys.values()) key.wipe();
    this.#keys.clear();
  }

  /** A frame for a key whose run is over: RETIRE, or the peer wants to renegotiate its key. */
  #onEstablished(key: EstablishedKey, frame: NegoFrame, bytes: Uint8Array): void {
    const { keyId } = key;
    if (frame.retire) {
      const right = frame.algorithm === key.algorithm && frame.data.length === 0;
      if (!right || !key.retireReceiving()) throw keyFailure('unexpected', `RETIRE of key ${keyId}`);
      this.#dropRetired(key);
      return;
    }
    // A message that comes again is an attack, not a wish for a new generation.
    if (frame.reject || this.#negotiator.isOwn(keyId) || key.run.contains(bytes)) {
      throw keyFailure('unexpected');
    }
    this.#negotiator.reject(frame, REJECT_REASON.NO_RENEGOTIATION);
  }

  #keyOf(run: Run): EstablishedKey {
    const known = this.#keys.get(run.context.keyId);
    if (known !== undefined) return known;
    const key = new EstablishedKey(
      this.#side,
      run,
      (installed) => this.#events.push({ type: 'established', ...installed }),
      this.#sealLimits,
    );
    this.#keys.set(key.keyId, key);
    return key;
  }

  #revoke(keyId: number): void {
    this.#keys.get(keyId)?.wipe();
    this.#keys.delete(keyId);
  }

  /** The sealer is left alone: the envelope that RETIRE lies in may not be sealed yet, and after it the sealer closes itself. */
  #dropRetired(key: EstablishedKey): void {
    if (!key.retired) return;
    this.#keys.delete(key.keyId);
    key.exporter?.wipe();
    this.#events.push({ type: 'retired', keyId: key.keyId });
  }
}

function strength(info: KeyInfo): number {
  return LEVELS[info.level] * 2 + (info.forwardSecrecy ? 1 : 0);
}

const LEVELS = { none: 0, passive: 1, authenticated: 2 } as const;
/** Where the flags of a control frame are, and the one that says RETIRE (spec 1.1, 1.5). */
const FLAGS = 4;
const RETIRE = 4;
