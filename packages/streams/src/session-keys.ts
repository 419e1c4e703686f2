import type { StateReader, StateWriter } from '@keymux/frames';
import { KeyRegistry, type KeyRegistryOptions, loadKeyInfo, type PeerName, saveKeyInfo } from '@keymux/keys';
import { KeyGoneError, type KeyInfo, keyGone, type SessionEvent, UsageError } from '@keymux/session';
import { AlgorithmChoice, bitSet } from './algorithm-choice.ts';
import { NegotiationRejectedError } from './errors.ts';
import { PendingKeys } from './pending-keys.ts';
import { type RenegotiationLimits, RenegotiationPolicy } from './renegotiation-policy.ts';

export interface NegotiateOptions {
  /**
   * ALG_ID, or several in the order of preference. If the peer rejects one, the next that it names is tried; one that is not listed is
   * never used.
   */
  readonly algorithm: number | readonly number[];
  readonly label: string;
  /** The host the key is to speak for; empty, the default, for the peer itself. */
  readonly authority?: string;
  /** The host that the user asked for with this key; by default that of the session. */
  readonly peerName?: PeerName | undefined;
  /** Settle as soon as the key can seal early data, which the peer may see as a replay (spec 3.7). */
  readonly early?: boolean;
  /** A key that this one takes the place of: no stream is opened under it any more, and it is retired when nothing needs it (spec 3.3). */
  readonly replaces?: KeyInfo | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface SessionKeysOptions
  extends Omit<KeyRegistryOptions, 'maxPeerRuns' | 'runTimeout' | 'sealLimits'> {
  readonly renegotiate: RenegotiationLimits | false;
  readonly now: () => number;
  /** Something is to be sent, or a deadline has changed. */
  readonly onChange: () => void;
}

/** What became of a `key` event: a key, another generation of one, or nothing that a user can see. */
export type KeyNews = 'key' | 'renegotiated' | undefined;

/** What a client may begin a run with: a server that cannot do it says so (spec 2.6). */
const ALL = 0xffffffff;

/** The keys of a session as its user sees them: what was asked for and has not come yet, what is established, when it is renewed. */
export class SessionKeys {
  readonly registry: KeyRegistry;
  readonly #role: 'client' | 'server';
  readonly #now: () => number;
  readonly #onChange: () => void;
  readonly #policy: RenegotiationPolicy | undefined;
  readonly #negotiated = new PendingKeys();
  readonly #renegotiated = new PendingKeys();
  readonly #established = new Map<number, KeyInfo>();

  /** Throws UsageError `ERR_KEYMUX_CONFIG`. `saved` is where keys of another process are read from (spec 13.5). */
  constructor(options: SessionKeysOptions, saved?: StateReader) {
    const { role, now, onChange, renegotiate } = options;
    this.registry = saved === undefined ? new KeyRegistry(options) : KeyRegistry.load(saved, options);
    this.#role = role;
    this.#now = now;
    this.#onChange = onChange;
    const target = {
      carried: (keyId: number) => this.registry.carried(keyId),
      renegotiate: (keyId: number) => void this.registry.renegotiate(keyId, this.#now()),
    };
    this.#policy = renegotiate === false ? undefined : new RenegotiationPolicy(target, renegotiate);
  }

  /** The established key with this ID. */
  get(keyId: number): KeyInfo | undefined {
    return this.#established.get(keyId);
  }

  /** Whether somebody waits for a key. */
  get pending(): boolean {
    return this.#negotiated.size > 0;
  }

  /** As `MuxSession.negotiate`, which tells `announced`, the ALG_IDs of the peer as a bit set. */
  async negotiate(options: NegotiateOptions, announced: number | undefined): Promise<KeyInfo> {
    const { label, authority = '', peerName, early = false, signal } = options;
    const choice = new AlgorithmChoice(options.algorithm, this.#role === 'server' ? announced : ALL);
    const offer = bitSet(choice.accepted);
    for (;;) {
      const algorithm = choice.next;
      const now = this.#now();
      const keyId = this.registry.negotiate({ algorithm, label, authority, offer, peerName, now });
      this.#onChange(); // arms the deadline of the run
      try {
        return await this.#negotiated.wait(keyId, early, signal);
      } catch (error) {
        // The keys learn what host a key is for when it is made; who asked for it is to read the name before that as well.
        if (error instanceof KeyGoneError) throw keyGone(keyId, authority, error.status);
        if (!(error instanceof NegotiationRejectedError)) throw error;
        choice.rejected(error);
      }
    }
  }

  /** The key once it seals more than early data. */
  confirmed(keyId: number, signal: AbortSignal | undefined): Promise<KeyInfo> {
    return this.#negotiated.wait(keyId, false, signal);
  }

  /** As `MuxSession.renegotiate`. */
  async renegotiate(keyId: number, signal: AbortSignal | undefined): Promise<KeyInfo> {
    const state = this.registry.renegotiate(keyId, this.#now());
    const key = this.#established.get(keyId);
    if (state === 'made' && key !== undefined) return key;
    this.#onChange();
    return this.#renegotiated.wait(keyId, false, signal);
  }

  /** A generation can be used. */
  onKey({ key, send }: SessionEvent & { type: 'key' }): KeyNews {
    const { keyId } = key;
    const before = this.#established.get(keyId);
    const isNext = before !== undefined && !before.early && key.generation > before.generation;
    // Until the peer has proven that it has the next generation, the key is what it was.
    if (isNext && !send) return undefined;
    this.#established.set(keyId, key);
    if (send && !key.early && this.registry.isOwn(keyId)) this.#policy?.established(keyId, this.#now());
    if (isNext) this.#renegotiated.canSeal(key);
    else if (send) this.#negotiated.canSeal(key);
    return isNext ? 'renegotiated' : 'key';
  }

  onRejected({ keyId, reason, algorithms }: SessionEvent & { type: 'key-rejected' }): void {
    this.#policy?.rejected(keyId, reason, this.#now());
    this.#reject(keyId, new NegotiationRejectedError(reason, algorithms));
  }

  onFailed({ keyId, error }: SessionEvent & { type: 'key-failed' }): void {
    if (isKeeperWanting(error)) this.#policy?.postpone(keyId, this.#now());
    else this.#policy?.forget(keyId);
    this.#reject(keyId, error);
  }

  onRetired(keyId: number): void {
    this.onGone({ keyId, error: new UsageError('ERR_KEYMUX_NO_KEY', `key ${keyId} was retired`) });
  }

  /** The key is no more; the session lives on. */
  onGone({ keyId, error }: { readonly keyId: number; readonly error: Error }): void {
    this.#policy?.forget(keyId);
    this.#established.delete(keyId);
    this.#reject(keyId, error);
  }

  /** Renews what is due; returns when to ask again if nothing happens before, on the clock of `now`. */
  checkAge(): number | undefined {
    return this.#policy?.check(this.#now());
  }

  /** The session is over. */
  close(reason: Error): void {
    this.registry.close();
    this.#negotiated.rejectAll(reason);
    this.#renegotiated.rejectAll(reason);
  }

  /** Writes what users know of the keys, and when they are renewed (spec 13.11). */
  save(writer: StateWriter): void {
    writer.list(this.#established.values(), (key) => saveKeyInfo(writer, key));
    writer.optional(this.#policy, (policy) => policy.save(writer, this.#now()));
  }

  load(reader: StateReader): void {
    reader.list(() => {
      const key = loadKeyInfo(reader);
      this.#established.set(key.keyId, key);
    });
    // Read in any case: whether this side renews keys is a matter of its own.
    reader.optional(() => (this.#policy ?? this.#noPolicy()).load(reader, this.#now()));
  }

  #noPolicy(): RenegotiationPolicy {
    return new RenegotiationPolicy({ carried: () => undefined, renegotiate: () => undefined }, {});
  }

  #reject(keyId: number, error: Error): void {
    this.#negotiated.reject(keyId, error);
    this.#renegotiated.rejectWaiting(keyId, error);
  }
}

/** Whether it was the keeper that could not, and may well be able to soon. */
function isKeeperWanting(error: Error): boolean {
  const { code } = error as { code?: unknown };
  return code === 'ERR_KEYMUX_KEEPER_AWAY' || code === 'ERR_KEYMUX_KEEPER_BUSY';
}
