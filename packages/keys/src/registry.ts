import type { SealLimits } from './envelope.ts';
import { asKeyError, keyFailure, usageError } from './errors.ts';
import {
  type Carried,
  EstablishedKey,
  type Installed,
  type KeyEnvironment,
  type Side,
} from './established-key.ts';
import { EventQueue } from './event-queue.ts';
import type { PeerName } from './identity/known-hosts.ts';
import { isRenegotiation, type Keeper } from './keeper.ts';
import { type KeyInfo, strength } from './key-info.ts';
import type { KeyLog } from './key-log.ts';
import { isRetire, type NegoFrame } from './nego-frame.ts';
import type { ClientGate } from './negotiation-gate.ts';
import { type NegotiateOptions, Negotiator } from './negotiator.ts';
import type { ReceiveKey } from './opener.ts';
import type { RegistryEvent } from './registry-event.ts';
import { Renegotiation, type RenegotiationState } from './renegotiation.ts';
import type { Run } from './run.ts';
import type { SendKey } from './sealer.ts';
import type { Secret } from './secret.ts';
import type { StateSink, StateSource } from './state-port.ts';

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
  /** Where several sessions have to share what they may negotiate: what this one has to pass. */
  readonly gate?: ClientGate | undefined;
  /** Milliseconds from a run's first message to its last; 10,000 by default (spec 3.2). */
  readonly runTimeout?: number;
  /** Told of each generation of each key; only where somebody has asked for it. */
  readonly keyLog?: KeyLog | undefined;
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
  readonly #environment: KeyEnvironment;
  readonly #events = new EventQueue();
  readonly #negotiator: Negotiator;
  readonly #renegotiation: Renegotiation;
  readonly #keys = new Map<number, EstablishedKey>();

  constructor(options: KeyRegistryOptions) {
    this.#environment = {
      side: options.role,
      onInstalled: (key, installed) => this.#report(key, installed),
      limits: options.sealLimits,
      keyLog: options.keyLog,
    };
    this.#negotiator = new Negotiator({
      side: options.role,
      keeper: options.keeper,
      depth: options.depth ?? 0,
      peerName: options.peerName,
      peerAddress: options.peerAddress,
      maxPeerRuns: options.maxPeerRuns ?? 4,
      gate: options.gate,
      runTimeout: options.runTimeout ?? 10_000,
      events: this.#events,
      check: (run, secret) => {
        if (isRenegotiation(run.context)) this.#keyOf(run).check(secret);
      },
      install: (run, secret) => this.#keyOf(run).install(run, secret),
      revoke: (keyId) => this.#revoke(keyId),
    });
    this.#renegotiation = new Renegotiation(this.#negotiator, this.#events);
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
   * Begins the run of a key's next generation (spec 3.14), unless one is in progress, whichever side began it, or has just been made, so
   * that the peer has yet to move to it. Returns which. `now` as for `negotiate`. Throws KeyError (usage): ERR_KEYMUX_KEY_EXHAUSTED after generation 255, ERR_KEYMUX_KEY_USAGE
   * if the key is not established for sending, retired, or of ALG 1.
   */
  renegotiate(keyId: number, now?: number): RenegotiationState {
    return this.#renegotiation.begin(keyId, this.#keys.get(keyId), now);
  }

  /** How much the newest generation of a key has carried. */
  carried(keyId: number): Carried | undefined {
    return this.#keys.get(keyId)?.carried;
  }

  /** Whether this side began the run that made the key, or may have. */
  isOwn(keyId: number): boolean {
    return this.#negotiator.isOwn(keyId);
  }

  /**
   * A KEY_NEGO frame of the peer. `bytes` is the whole frame, `digestBefore` the peer's session digest just before it (spec 3.6), `now`
   * milliseconds of any clock, the same for all calls. Must not be called while the key ID is `busy`.
   */
  receive(frame: NegoFrame, bytes: Uint8Array, digestBefore: Uint8Array, now: number): void {
    if (this.#negotiator.over) return;
    if (this.busy(frame.keyId)) throw usageError(`key ${frame.keyId} is busy: its frames must wait`);
    const run = this.#negotiator.run(frame.keyId);
    const key = this.#keys.get(frame.keyId);
    try {
      if (key !== undefined && frame.retire) this.#onRetire(key, run, frame);
      else if (frame.renegotiate) this.#renegotiation.receive(key, frame, bytes, digestBefore, now);
      else if (run !== undefined) this.#negotiator.continue(run, frame, bytes, digestBefore);
      else if (key !== undefined) throw keyFailure('unexpected');
      else this.#negotiator.accept(frame, bytes, digestBefore, now);
    } catch (error) {
      this.#negotiator.fail(frame.keyId, asKeyError(error));
    }
  }

  /** A frame that a `send` event asked for is on the wire; `digestBefore` is this side's session digest just before it. */
  sent(keyId: number, bytes: Uint8Array, digestBefore: Uint8Array): void {
    if (!isRetire(bytes)) {
      this.#negotiator.sent(bytes, digestBefore);
      return;
    }
    const key = this.#keys.get(keyId);
    if (key === undefined) return;
    key.retireSending();
    this.#dropRetired(key);
  }

  /** The next thing to do or to know. */
  poll(): RegistryEvent | undefined {
    return this.#events.shift();
  }

  /**
   * Whether an envelope of this key ID and generation, or without one a KEY_NEGO frame, must wait because a step of the key's run is under
   * way (spec 3.2). While a key is renegotiated, only what comes under the new generation does (spec 3.14).
   */
  busy(keyId: number, generation?: number): boolean {
    return this.#negotiator.run(keyId)?.holds(generation) ?? false;
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

  /**
   * Proves that this side took part in the run of a generation, over `message` (spec 4.5): 32 bytes. Undefined if this side does not hold
   * that generation.
   */
  switchProof(keyId: number, generation: number, message: Uint8Array): Uint8Array | undefined {
    return this.#keys.get(keyId)?.switchProof(generation, message);
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

  /** Whether `retire` would be right now: the key can seal, no stream is bound to it, and it is not being renegotiated. */
  canRetire(keyId: number): boolean {
    const key = this.#keys.get(keyId);
    const idle = !this.#negotiator.over && this.#negotiator.run(keyId) === undefined;
    return key?.sender !== undefined && key.settled && key.streams.size === 0 && idle;
  }

  /**
   * The RETIRE frame that retires the key for sending; it takes effect when it was `sent`, which must be next. Throws KeyError (usage) unless
   * `canRetire`.
   */
  retire(keyId: number): NegoFrame {
    const key = this.#keys.get(keyId);
    if (key === undefined || !this.canRetire(keyId)) {
      throw usageError(`key ${keyId} cannot seal, is being renegotiated, or streams still need it`);
    }
    const data = new Uint8Array(0);
    return { keyId, algorithm: key.algorithm, fin: true, reject: false, retire: true, data };
  }

  /** Forgets a key and its run at once, because its holder is gone; false if there is neither (spec 10.3). */
  drop(keyId: number): boolean {
    const known = this.#keys.has(keyId);
    this.#revoke(keyId);
    return this.#negotiator.drop(keyId) || known;
  }

  /**
   * Why the keys cannot be handed over now, for people; undefined if they can: a run is in progress, of either side, or an event waits to be
   * polled (spec 13.1).
   */
  get handOverObstacle(): string | undefined {
    return this.#negotiator.handOverObstacle ?? (this.#events.empty ? undefined : 'its keys have news');
  }

  /**
   * Writes all keys for another process, which goes on with them (spec 13.5). This registry must be closed before the other one seals
   * anything (rule R10). Throws KeyError (usage) if there is a `handOverObstacle`.
   */
  save(writer: StateSink): void {
    const obstacle = this.handOverObstacle;
    if (obstacle !== undefined) throw usageError(`the keys cannot be handed over: ${obstacle}`);
    writer.u8(SIDES.indexOf(this.#environment.side));
    this.#negotiator.save(writer);
    writer.list(this.#keys.values(), (key) => key.save(writer));
  }

  /** A registry that goes on with the keys of another one, from `save`. Throws what `reader` throws. */
  static load(reader: StateSource, options: KeyRegistryOptions): KeyRegistry {
    const registry = new KeyRegistry(options);
    const side = SIDES[reader.u8(SIDES.length - 1)];
    if (side !== options.role) throw reader.malformed(`keys of the ${side}, not of the ${options.role}`);
    try {
      registry.#negotiator.load(reader);
      reader.list(() => {
        const key = EstablishedKey.load(reader, registry.#environment);
        registry.#keys.set(key.keyId, key);
      });
      return registry;
    } catch (error) {
      registry.close();
      throw error;
    }
  }

  /** Abandons all runs and wipes all keys. */
  close(): void {
    this.#negotiator.close();
    this.#events.clear();
    for (const key of this.#keys.values()) key.wipe();
    this.#keys.clear();
  }

  #onRetire(key: EstablishedKey, run: Run | undefined, frame: NegoFrame): void {
    const { keyId } = key;
    // It may cross the first message of a renegotiation, which the peer then ignores (spec 3.14).
    const crosses = run === undefined || (isRenegotiation(run.context) && run.asking);
    const right = frame.algorithm === key.algorithm && frame.data.length === 0;
    if (!crosses || !right || !key.retireReceiving())
      throw keyFailure('unexpected', `RETIRE of key ${keyId}`);
    if (run !== undefined) {
      this.#negotiator.drop(keyId);
      const error = usageError(`the peer has retired key ${keyId} before it could be renegotiated`);
      this.#events.push({ type: 'failed', keyId, error });
    }
    this.#events.push({ type: 'peer-retired', keyId });
    this.#dropRetired(key);
  }

  #keyOf(run: Run): EstablishedKey {
    const known = this.#keys.get(run.context.keyId);
    if (known !== undefined) return known;
    const { keyId, algorithm, peerName } = run.context;
    const origin = { keyId, algorithm, peerName, messages: run.messages };
    const key = new EstablishedKey(origin, this.#environment);
    this.#keys.set(keyId, key);
    return key;
  }

  #report(key: EstablishedKey, installed: Installed): void {
    this.#events.push({ type: 'established', ...installed });
    if (key.renegotiated && installed.send) this.#events.push({ type: 'moved', keyId: key.keyId });
  }

  #revoke(keyId: number): void {
    this.#keys.get(keyId)?.wipe();
    this.#keys.delete(keyId);
  }

  /** The sealer is left alone: the envelope that RETIRE lies in may not be sealed yet, and after it the sealer closes itself. */
  #dropRetired(key: EstablishedKey): void {
    if (!key.retired) return;
    this.#keys.delete(key.keyId);
    key.wipeSecrets();
    this.#events.push({ type: 'retired', keyId: key.keyId });
  }
}

const SIDES: readonly Side[] = ['client', 'server'];
