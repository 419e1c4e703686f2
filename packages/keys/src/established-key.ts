import { ALGORITHM } from './algorithm-ids.ts';
import type { SealLimits } from './envelope.ts';
import { keyFailure } from './errors.ts';
import type { PeerName } from './identity/known-hosts.ts';
import { isRenegotiation, type RunSecret } from './keeper.ts';
import { type KeyInfo, loadKeyInfo, saveKeyInfo } from './key-info.ts';
import type { KeyLog } from './key-log.ts';
import { KeySecrets } from './key-secrets.ts';
import { MessageLog } from './message-log.ts';
import { Opener, type ReceiveKey } from './opener.ts';
import type { Run } from './run.ts';
import {
  type DirectionKeys,
  directionKeys,
  exporterSecret,
  loadDirectionKeys,
  saveDirectionKeys,
} from './schedule.ts';
import { Sealer, type SendKey } from './sealer.ts';
import { Secret } from './secret.ts';
import type { StateSink, StateSource } from './state-port.ts';

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

/** What a key is from its first message on. */
export interface KeyOrigin {
  readonly keyId: number;
  readonly algorithm: number;
  readonly peerName: PeerName | undefined;
  /** Of all its renegotiations. */
  readonly messages: MessageLog;
}

/** What a key has of its registry. */
export interface KeyEnvironment {
  readonly side: Side;
  readonly onInstalled: (key: EstablishedKey, installed: Installed) => void;
  readonly limits: SealLimits | undefined;
  readonly keyLog: KeyLog | undefined;
}

/** A generation whose peer is proven by the first envelope that opens (spec 3.8), and what it is then. */
interface Unproven {
  readonly info: KeyInfo;
  readonly sealing: DirectionKeys | undefined;
  readonly exporter: Secret | undefined;
}

/** A key of the session: its generations in each direction, and the streams bound to it. */
export class EstablishedKey {
  readonly keyId: number;
  readonly algorithm: number;
  readonly peerName: PeerName | undefined;
  /** Of all its renegotiations. */
  readonly messages: MessageLog;
  readonly streams = new Set<number>();
  /** A first message of a renegotiation crossed this side's RETIRE and was ignored. */
  ignored = false;
  readonly #environment: KeyEnvironment;
  #info: KeyInfo | undefined;
  readonly #secrets = new KeySecrets();
  #sealer: Sealer | undefined;
  /** At most the current generation and the next. */
  #openers: Opener[] = [];
  /** Of what was installed last. */
  #generation = 0;
  #renegotiated = false;
  /** By generation. */
  readonly #unproven = new Map<number, Unproven>();
  #sendRetired = false;
  #receiveRetired = false;

  constructor({ keyId, algorithm, peerName, messages }: KeyOrigin, environment: KeyEnvironment) {
    this.keyId = keyId;
    this.algorithm = algorithm;
    this.peerName = peerName;
    this.messages = messages;
    this.#environment = environment;
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
    return this.#secrets.exporter;
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
    return this.#secrets.switchProof(generation, message);
  }

  /** Derives the sealing keys of one generation and wipes the run secret. */
  install(run: Run, made: RunSecret): void {
    const { generation } = made;
    const { side, limits, keyLog } = this.#environment;
    const secret = this.#chained(run, made);
    const digests = run.digests(made.early);
    const proven = keyInfo(this.keyId, made);
    const keysOf = (from: Side): DirectionKeys => {
      const keys = directionKeys(secret, generation, from, digests);
      keyLog?.(proven, () => ({
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
    const sealing = seals ? keysOf(side) : undefined;
    const exporter = made.early ? undefined : exporterSecret(secret, digests);
    if (opens) {
      const keys = keysOf(side === 'client' ? 'server' : 'client');
      const opener: Opener = new Opener(info, keys, () => this.#confirm(opener), limits);
      this.#openers.push(opener);
    }
    this.#secrets.add(generation, secret, digests, renegotiable(made));
    secret.wipe();
    this.#generation = generation;
    if (made.confirmed || this.#info === undefined) this.#become(info, exporter);
    if (made.confirmed) this.#seal(proven, sealing);
    else this.#unproven.set(generation, { info: proven, sealing, exporter });
    this.#environment.onInstalled(this, { key: info, send: seals && made.confirmed, receive: opens });
  }

  /** The first envelope has proven the peer: only now may this side seal (spec 3.8). */
  #confirm(opener: Opener): void {
    const unproven = this.#unproven.get(opener.generation);
    if (unproven === undefined) return;
    const { info, sealing, exporter } = unproven;
    this.#unproven.delete(opener.generation);
    this.#become(info, exporter);
    opener.info = info;
    this.#seal(info, sealing);
    this.#environment.onInstalled(this, { key: info, send: !this.#sendRetired, receive: true });
  }

  /** The count of the generation before is taken when the next takes its place, not earlier. */
  #seal(info: KeyInfo, keys: DirectionKeys | undefined): void {
    if (keys === undefined) return;
    const previous = this.#sealer;
    this.#sealer = new Sealer(info, keys, previous?.sealed, this.#environment.limits);
    previous?.close();
  }

  #become(info: KeyInfo, exporter: Secret | undefined): void {
    this.#info = info;
    this.#secrets.exporter = exporter;
  }

  /** S of the generation, mixed with the one before if this is a renegotiation. Wipes what it was made of. */
  #chained(run: Run, made: RunSecret): Secret {
    if (!isRenegotiation(run.context)) return made.secret;
    const secret = this.#secrets.chain(made.secret);
    this.#renegotiated = true;
    return secret;
  }

  /** The peer has moved on to `generation`: what came before cannot be opened any more. */
  confirmGeneration(generation: number): void {
    for (const opener of this.#openers) if (opener.generation < generation) opener.close();
    this.#openers = this.#openers.filter((opener) => opener.generation >= generation);
    for (const unproven of this.#unproven.keys()) if (unproven < generation) this.#unproven.delete(unproven);
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
    this.#secrets.wipe();
    for (const { exporter } of this.#unproven.values()) exporter?.wipe();
    this.#unproven.clear();
  }

  save(writer: StateSink): void {
    writer.u8(this.keyId);
    writer.u8(this.algorithm);
    writer.optional(this.peerName, ({ host, port }) => {
      writer.text(host);
      writer.u16(port);
    });
    this.messages.save(writer);
    writer.list(this.streams, (streamId) => writer.u32(streamId));
    writer.flag(this.ignored);
    writer.optional(this.#info, (info) => saveKeyInfo(writer, info));
    writer.u8(this.#generation);
    writer.flag(this.#renegotiated);
    writer.flag(this.#sendRetired);
    writer.flag(this.#receiveRetired);
    this.#secrets.save(writer);
    writer.optional(this.sender && this.#sealer, (sealer) => sealer.save(writer));
    writer.list(this.#openers, (opener) => opener.save(writer));
    writer.list(this.#unproven.values(), ({ info, sealing, exporter }) => {
      saveKeyInfo(writer, info);
      writer.optional(sealing, (keys) => saveDirectionKeys(writer, keys));
      writer.optional(exporter, (secret) => secret.save(writer));
    });
  }

  static load(reader: StateSource, environment: KeyEnvironment): EstablishedKey {
    const origin = {
      keyId: reader.u8(),
      algorithm: reader.u8(),
      peerName: reader.optional(() => ({ host: reader.text(), port: reader.u16() })),
      messages: new MessageLog(),
    };
    origin.messages.load(reader);
    const key = new EstablishedKey(origin, environment);
    key.#load(reader);
    return key;
  }

  #load(reader: StateSource): void {
    const { limits } = this.#environment;
    reader.list(() => this.streams.add(reader.u32()));
    this.ignored = reader.flag();
    this.#info = reader.optional(() => loadKeyInfo(reader));
    this.#generation = reader.u8();
    this.#renegotiated = reader.flag();
    this.#sendRetired = reader.flag();
    this.#receiveRetired = reader.flag();
    this.#secrets.load(reader);
    this.#sealer = reader.optional(() => Sealer.load(reader, limits));
    reader.list(() => {
      this.#openers.push(Opener.load(reader, (opener) => this.#confirm(opener), limits));
    });
    reader.list(() => {
      const info = loadKeyInfo(reader);
      const sealing = reader.optional(() => loadDirectionKeys(reader));
      const exporter = reader.optional(() => Secret.load(reader));
      this.#unproven.set(info.generation, { info, sealing, exporter });
    });
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
  if (!identity && !restrictions && !mayRepeat) return info;
  return {
    ...info,
    ...(mayRepeat && { mayRepeat }),
    ...(identity && { identity }),
    ...(restrictions && { restrictions }),
  };
}
