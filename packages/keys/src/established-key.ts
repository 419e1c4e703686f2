import { ALGORITHM } from './algorithm-ids.ts';
import { hmacSha256 } from './crypto.ts';
import type { SealLimits } from './envelope.ts';
import { keyFailure } from './errors.ts';
import type { PeerName } from './identity/known-hosts.ts';
import { isRenegotiation, type RunSecret } from './keeper.ts';
import type { KeyInfo } from './key-info.ts';
import type { KeyLog } from './key-log.ts';
import type { MessageLog } from './message-log.ts';
import { Opener, type ReceiveKey } from './opener.ts';
import type { Run } from './run.ts';
import {
  chainedSecret,
  type DirectionKeys,
  directionKeys,
  exporterSecret,
  renegotiationSecret,
  switchKey,
} from './schedule.ts';
import { Sealer, type SendKey } from './sealer.ts';
import type { Secret } from './secret.ts';

export type Side = 'client' | 'server';

/** A key's generation has become usable in these directions. */
export interface Installed {
  readonly key: KeyInfo;
  readonly send: boolean;
  readonly receive: boolean;
}

/** How much a generation has carried, in the direction that carried more. */
export interface Carried {
  readonly envelopes: number;
  /** Plaintext, each envelope rounded up to whole blocks of 16. */
  readonly bytes: number;
}

/** A key of the session: its generations in each direction, and the streams bound to it. */
export class EstablishedKey {
  readonly keyId: number;
  readonly algorithm: number;
  readonly peerName: PeerName | undefined;
  /** Of all its runs. */
  readonly messages: MessageLog;
  readonly streams = new Set<number>();
  /** A first message of a renegotiation crossed this side's RETIRE and was ignored. */
  ignored = false;
  readonly #side: Side;
  readonly #limits: SealLimits | undefined;
  readonly #onInstalled: (installed: Installed) => void;
  readonly #keyLog: KeyLog | undefined;
  #info: KeyInfo | undefined;
  #exporter: Secret | undefined;
  /** What the next generation is chained to. */
  #chain: Secret | undefined;
  /** By generation, as long as the key lives: a stream may have been silent since an early one. */
  readonly #switchKeys = new Map<number, Secret>();
  #sealer: Sealer | undefined;
  /** At most the current generation and the next. */
  #openers: Opener[] = [];
  /** Of what was installed last. */
  #generation = 0;
  #renegotiated = false;
  /** Makes a generation usable for sealing once its first envelope has opened. */
  #awaitsProof: { readonly exporter: Secret } | undefined;
  #sendRetired = false;
  #receiveRetired = false;

  constructor(
    side: Side,
    run: Run,
    onInstalled: (installed: Installed) => void,
    limits?: SealLimits,
    keyLog?: KeyLog,
  ) {
    this.keyId = run.context.keyId;
    this.algorithm = run.context.algorithm;
    this.peerName = run.context.peerName;
    this.messages = run.messages;
    this.#side = side;
    this.#onInstalled = onInstalled;
    this.#limits = limits;
    this.#keyLog = keyLog;
  }

  get info(): KeyInfo | undefined {
    return this.#info;
  }

  get label(): string {
    return this.#info?.label ?? '';
  }

  get authority(): string {
    return this.#info?.authority ?? '';
  }

  /** The newest generation. */
  get generation(): number {
    return this.#generation;
  }

  /** Whether the newest generation was made by a renegotiation. */
  get renegotiated(): boolean {
    return this.#renegotiated;
  }

  /** Whether both directions have moved to the newest generation, so that a next one may be made (spec 3.14). */
  get settled(): boolean {
    if (!this.#renegotiated) return true;
    return (
      this.#sealer?.generation === this.#generation &&
      this.#openers.every(({ generation }) => generation === this.#generation)
    );
  }

  /** Of the newest generation. */
  get carried(): Carried {
    const opener = this.#openers.at(-1);
    const opened = opener?.generation === this.#generation ? opener : undefined;
    const sealer = this.#sealer?.generation === this.#generation ? this.#sealer : undefined;
    return {
      envelopes: Math.max(sealer?.sealed ?? 0, opened?.opened ?? 0),
      bytes: Math.max(sealer?.bytes ?? 0, opened?.bytes ?? 0),
    };
  }

  /** The current sending generation, unless this side has retired the key. */
  get sender(): SendKey | undefined {
    return this.#sendRetired ? undefined : this.#sealer;
  }

  get exporter(): Secret | undefined {
    return this.#exporter;
  }

  get sendRetired(): boolean {
    return this.#sendRetired;
  }

  get receiveRetired(): boolean {
    return this.#receiveRetired;
  }

  get retired(): boolean {
    return this.#sendRetired && this.#receiveRetired;
  }

  receiver(generation: number): ReceiveKey | undefined {
    return this.#openers.find((opener) => opener.generation === generation);
  }

  /** A renegotiation may change nothing but the secrets. Throws KeyError (session). */
  check(made: RunSecret): void {
    const info = this.#info;
    const same =
      info !== undefined &&
      this.algorithm === made.algorithm &&
      info.label === made.label &&
      info.authority === made.authority &&
      info.peer === made.peer &&
      info.forwardSecrecy === made.forwardSecrecy;
    if (!same) throw keyFailure('other-key', `key ${this.keyId}`);
  }

  /** HMAC of `message` under the switch key of `generation` (spec 3.5, 4.5); undefined if there is no such generation. */
  switchProof(generation: number, message: Uint8Array): Uint8Array | undefined {
    return this.#switchKeys.get(generation)?.use((bytes) => hmacSha256(bytes, message));
  }

  /** Derives the sealing keys of one generation and wipes the run secret. */
  install(run: Run, made: RunSecret): void {
    const { generation } = made;
    const secret = this.#chained(run, made);
    const digests = run.digests(made.early);
    const proven = keyInfo(this.keyId, made);
    const keysOf = (from: Side): DirectionKeys => {
      const keys = directionKeys(secret, generation, from, digests);
      this.#keyLog?.(proven, () => ({
        keyId: this.keyId,
        generation,
        from,
        key: keys.key.export(),
        iv: keys.iv,
      }));
      return keys;
    };
    const info: KeyInfo = made.confirmed ? proven : { ...proven, level: 'none' };
    const isInitiator = run.context.role === 'initiator';
    const seals = made.directions === 'both' || isInitiator;
    const opens = made.directions === 'both' || !isInitiator;
    const sealing = seals ? keysOf(this.#side) : undefined;
    // The count of the generation before is taken when this one takes its place, not earlier.
    const seal = (): void => {
      if (sealing === undefined) return;
      const previous = this.#sealer;
      this.#sealer = new Sealer(proven, sealing, previous?.sealed, this.#limits);
      previous?.close();
    };
    const exporter = made.early ? undefined : exporterSecret(secret, digests);
    this.#chain = renegotiable(made) ? renegotiationSecret(secret, digests) : undefined;
    if (opens) {
      const keys = keysOf(this.#side === 'client' ? 'server' : 'client');
      const onFirst = made.confirmed ? undefined : () => this.#confirm(proven, opener, seal, exporter);
      const opener = new Opener(info, keys, onFirst, this.#limits);
      this.#openers.push(opener);
    }
    this.#switchKeys.set(generation, switchKey(secret, digests));
    secret.wipe();
    this.#generation = generation;
    if (made.confirmed || this.#info === undefined) this.#become(info, exporter);
    else if (exporter !== undefined) this.#awaitsProof = { exporter };
    if (made.confirmed) seal();
    this.#onInstalled({ key: info, send: seals && made.confirmed, receive: opens });
  }

  /** The first envelope has proven the peer: only now may this side seal (spec 3.8). */
  #confirm(info: KeyInfo, opener: Opener, seal: () => void, exporter: Secret | undefined): void {
    this.#awaitsProof = undefined;
    this.#become(info, exporter);
    opener.info = info;
    seal();
    this.#onInstalled({ key: info, send: !this.#sendRetired, receive: true });
  }

  #become(info: KeyInfo, exporter: Secret | undefined): void {
    this.#info = info;
    if (this.#exporter !== exporter) this.#exporter?.wipe();
    this.#exporter = exporter;
  }

  /** S of the generation, mixed with the one before if this is a renegotiation. Wipes what it was made of. */
  #chained(run: Run, made: RunSecret): Secret {
    const chain = this.#chain;
    if (!isRenegotiation(run.context)) return made.secret;
    if (chain === undefined) throw keyFailure('unexpected');
    this.#renegotiated = true;
    const secret = chainedSecret(chain, made.secret);
    made.secret.wipe();
    chain.wipe();
    return secret;
  }

  /** The peer has moved on to `generation`: what came before cannot be opened any more. */
  confirmGeneration(generation: number): void {
    for (const opener of this.#openers) if (opener.generation < generation) opener.close();
    this.#openers = this.#openers.filter((opener) => opener.generation >= generation);
  }

  /** RETIRE of this side goes into the envelope that is sealed next. */
  retireSending(): void {
    this.#sendRetired = true;
    this.#sealer?.lastEnvelope();
  }

  /** RETIRE of the peer has come. Returns false if it came before. */
  retireReceiving(): boolean {
    if (this.#receiveRetired) return false;
    this.#receiveRetired = true;
    this.#closeOpeners();
    return true;
  }

  /** Forgets the key at once. */
  wipe(): void {
    this.#sendRetired = true;
    this.#receiveRetired = true;
    this.#sealer?.close();
    this.#closeOpeners();
    this.wipeSecrets();
  }

  /** Forgets what is not needed for the last envelope. */
  wipeSecrets(): void {
    this.#exporter?.wipe();
    this.#awaitsProof?.exporter.wipe();
    this.#chain?.wipe();
    for (const secret of this.#switchKeys.values()) secret.wipe();
    this.#switchKeys.clear();
  }

  #closeOpeners(): void {
    for (const opener of this.#openers) opener.close();
    this.#openers = [];
  }
}

/** A key of ALG 1 gains nothing from another run: it has no forward secrecy (spec 3.14). */
export function renegotiable({ algorithm }: { readonly algorithm: number }): boolean {
  return algorithm !== ALGORITHM.PSK;
}

function keyInfo(keyId: number, made: RunSecret): KeyInfo {
  const { generation, level, early, algorithm, label, authority, peer, forwardSecrecy } = made;
  const { identity, restrictions, mayRepeat } = made;
  const info = { keyId, generation, level, early, algorithm, label, authority, peer, forwardSecrecy };
  return {
    ...info,
    ...(mayRepeat && { mayRepeat }),
    ...(identity && { identity }),
    ...(restrictions && { restrictions }),
  };
}
