import type { SealLimits } from './envelope.ts';
import type { RunSecret } from './keeper.ts';
import type { KeyInfo } from './key-info.ts';
import { Opener, type ReceiveKey } from './opener.ts';
import type { Run } from './run.ts';
import { directionKeys, exporterSecret } from './schedule.ts';
import { Sealer, type SendKey } from './sealer.ts';
import type { Secret } from './secret.ts';

export type Side = 'client' | 'server';

/** A key's generation has become usable in these directions. */
export interface Installed {
  readonly key: KeyInfo;
  readonly send: boolean;
  readonly receive: boolean;
}

/** A key of the session: its generations in each direction, and the streams bound to it. */
export class EstablishedKey {
  readonly keyId: number;
  readonly algorithm: number;
  /** The run that made it, for telling repeated messages from new ones. */
  readonly run: Run;
  readonly streams = new Set<number>();
  readonly #side: Side;
  readonly #limits: SealLimits | undefined;
  readonly #onInstalled: (installed: Installed) => void;
  #info: KeyInfo | undefined;
  #exporter: Secret | undefined;
  #sealer: Sealer | undefined;
  /** At most the current generation and the next. */
  #openers: Opener[] = [];
  #sendRetired = false;
  #receiveRetired = false;

  constructor(side: Side, run: Run, onInstalled: (installed: Installed) => void, limits?: SealLimits) {
    this.keyId = run.context.keyId;
    this.algorithm = run.context.algorithm;
    this.run = run;
    this.#side = side;
    this.#onInstalled = onInstalled;
    this.#limits = limits;
  }

  get info(): KeyInfo | undefined {
    return this.#info;
  }

  /** The current sending generation, unless this side has retired the key. */
  get sender(): SendKey | undefined {
    return this.#sendRetired ? undefined : this.#sealer;
  }

  get exporter(): Secret | undefined {
    return this.#exporter;
  }

  get retired(): boolean {
    return this.#sendRetired && this.#receiveRetired;
  }

  receiver(generation: number): ReceiveKey | undefined {
    return this.#openers.find((opener) => opener.generation === generation);
  }

  /** Derives the sealing keys of one generation and wipes the run secret. */
  install(made: RunSecret): void {
    const { secret, generation } = made;
    const digests = this.run.digests(made.early);
    const keysOf = (side: Side) => directionKeys(secret, generation, side, digests);
    const proven = keyInfo(this.keyId, made);
    const info: KeyInfo = made.confirmed ? proven : { ...proven, level: 'none' };
    const isInitiator = this.run.context.role === 'initiator';
    const seals = made.directions === 'both' || isInitiator;
    const opens = made.directions === 'both' || !isInitiator;

    const previous = this.#sealer;
    const sealer = seals ? new Sealer(info, keysOf(this.#side), previous?.sealed, this.#limits) : undefined;
    if (opens) {
      const keys = keysOf(this.#side === 'client' ? 'server' : 'client');
      const confirm = made.confirmed ? undefined : () => this.#confirm(proven, opener, sealer);
      const opener = new Opener(info, keys, confirm, this.#limits);
      this.#openers.push(opener);
    }
    this.#info = info;
    this.#exporter?.wipe();
    this.#exporter = made.early ? undefined : exporterSecret(secret, digests);
    secret.wipe();
    if (sealer !== undefined && made.confirmed) {
      this.#sealer = sealer;
      previous?.close();
    }
    this.#onInstalled({ key: info, send: seals && made.confirmed, receive: opens });
  }

  /** The first envelope has proven the peer: only now may this side seal (spec 3.8). */
  #confirm(info: KeyInfo, opener: Opener, sealer: Sealer | undefined): void {
    this.#info = info;
    opener.info = info;
    if (sealer !== undefined) {
      sealer.info = info;
      this.#sealer = sealer;
    }
    this.#onInstalled({ key: info, send: sealer !== undefined, receive: true });
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
    this.#exporter?.wipe();
  }

  #closeOpeners(): void {
    for (const opener of this.#openers) opener.close();
    this.#openers = [];
  }
}

function keyInfo(keyId: number, made: RunSecret): KeyInfo {
  const { generation, level, early, algorithm, label, authority, peer, forwardSecrecy } = made;
  const { identity, restrictions } = made;
  const info = { keyId, generation, level, early, algorithm, label, authority, peer, forwardSecrecy };
  return { ...info, ...(identity && { identity }), ...(restrictions && { restrictions }) };
}
