import { sealAes256Gcm, TAG_LENGTH } from './crypto.ts';
import { EnvelopeCounter, MAX_PLAINTEXT, SEAL_LIMITS, SEALED_HEAD, type SealLimits } from './envelope.ts';
import { usageError } from './errors.ts';
import { type KeyInfo, loadKeyInfo, saveKeyInfo } from './key-info.ts';
import { type DirectionKeys, loadDirectionKeys, saveDirectionKeys } from './schedule.ts';
import type { StateSink, StateSource } from './state-port.ts';

/** One generation of a key in our sending direction. */
export interface SendKey {
  readonly keyId: number;
  readonly generation: number;
  readonly info: KeyInfo;
  /** Envelopes sealed so far in this generation. */
  readonly sealed: number;
  /** Envelopes that the generation before sealed, for KEY_UPDATE; undefined if this is the direction's first (spec 4.3). */
  readonly previousSealed: number | undefined;
  /** Bytes by which an envelope's body is longer than its plaintext. */
  readonly overhead: 16;
  /**
   * Seals the concatenated `parts` as the next envelope. `head` is the first 10 bytes of the SEALED frame. Returns the ciphertext
   * in as many parts, then the tag. Throws KeyError (usage) ERR_KEYMUX_KEY_EXHAUSTED once the key has carried all it may.
   */
  seal(head: Uint8Array, parts: readonly Uint8Array[]): Uint8Array[];
}

export class Sealer implements SendKey {
  readonly overhead = TAG_LENGTH;
  readonly previousSealed: number | undefined;
  info: KeyInfo;
  readonly #counter: EnvelopeCounter;
  #keys: DirectionKeys | undefined;
  #last = false;

  constructor(info: KeyInfo, keys: DirectionKeys, previousSealed?: number, limits: SealLimits = SEAL_LIMITS) {
    this.info = info;
    this.#keys = keys;
    this.#counter = new EnvelopeCounter(keys.iv, keys.direction, limits);
    this.previousSealed = previousSealed;
  }

  /** Writes it for the next owner, who goes on counting where it stands: this one must be closed then (rule R10). Not once it is closed. */
  save(writer: StateSink): void {
    if (this.#keys === undefined) throw usageError(`key ${this.keyId} is closed`);
    saveKeyInfo(writer, this.info);
    saveDirectionKeys(writer, this.#keys);
    writer.optional(this.previousSealed, (count) => writer.u64(count));
    this.#counter.save(writer);
  }

  static load(reader: StateSource, limits: SealLimits | undefined): Sealer {
    const info = loadKeyInfo(reader);
    const keys = loadDirectionKeys(reader);
    const sealer = new Sealer(
      info,
      keys,
      reader.optional(() => reader.u64()),
      limits,
    );
    sealer.#counter.load(reader);
    return sealer;
  }

  get keyId(): number {
    return this.info.keyId;
  }

  get generation(): number {
    return this.info.generation;
  }

  get sealed(): number {
    return this.#counter.count;
  }

  /** Bytes of plaintext sealed so far, each envelope rounded up to whole blocks. */
  get bytes(): number {
    return this.#counter.bytes;
  }

  seal(head: Uint8Array, parts: readonly Uint8Array[]): Uint8Array[] {
    if (this.#keys === undefined) throw usageError(`key ${this.keyId} seals nothing more in this generation`);
    let length = 0;
    for (const part of parts) length += part.length;
    if (head.length !== SEALED_HEAD || length === 0 || length > MAX_PLAINTEXT) {
      throw usageError(`an envelope has a head of 10 bytes and 1 to ${MAX_PLAINTEXT} bytes of plaintext`);
    }
    if (!this.#counter.next(head, length)) {
      throw usageError(
        `key ${this.keyId} has sealed all that a key may; negotiate another`,
        'ERR_KEYMUX_KEY_EXHAUSTED',
      );
    }
    const sealed = sealAes256Gcm(this.#keys.key, this.#counter.nonce, this.#counter.additional, parts);
    if (this.#last) this.close();
    return sealed;
  }

  /** One more envelope: the one that RETIRE lies in. */
  lastEnvelope(): void {
    this.#last = true;
  }

  close(): void {
    this.#keys = undefined;
  }
}
