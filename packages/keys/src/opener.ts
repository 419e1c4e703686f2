import { openAes256Gcm, TAG_LENGTH } from './crypto.ts';
import { EnvelopeCounter, MAX_PLAINTEXT, SEAL_LIMITS, SEALED_HEAD, type SealLimits } from './envelope.ts';
import { keyFailure, usageError } from './errors.ts';
import { type KeyInfo, loadKeyInfo, saveKeyInfo } from './key-info.ts';
import { type DirectionKeys, loadDirectionKeys, saveDirectionKeys } from './schedule.ts';
import type { StateSink, StateSource } from './state-port.ts';

/** One generation of a key in our receiving direction. */
export interface ReceiveKey {
  readonly keyId: number;
  readonly generation: number;
  readonly info: KeyInfo;
  /** Envelopes opened so far in this generation. */
  readonly opened: number;
  /**
   * Opens the next envelope. `head` is the first 10 bytes of the SEALED frame, `body` the ciphertext and then the tag.
   * Returns the plaintext, after the tag is verified. Throws KeyError (session) otherwise, and then for ever.
   */
  open(head: Uint8Array, body: Uint8Array): Uint8Array;
}

export class Opener implements ReceiveKey {
  info: KeyInfo;
  readonly #counter: EnvelopeCounter;
  readonly #onFirst: (() => void) | undefined;
  #keys: DirectionKeys | undefined;

  /** `onFirst` is told when the first envelope has opened. */
  constructor(info: KeyInfo, keys: DirectionKeys, onFirst?: () => void, limits: SealLimits = SEAL_LIMITS) {
    this.info = info;
    this.#keys = keys;
    this.#counter = new EnvelopeCounter(keys.iv, keys.direction, limits);
    this.#onFirst = onFirst;
  }

  /** Writes it for the next owner (spec 13.5). Not once it is closed. */
  save(writer: StateSink): void {
    if (this.#keys === undefined) throw usageError(`key ${this.keyId} is closed`);
    saveKeyInfo(writer, this.info);
    saveDirectionKeys(writer, this.#keys);
    this.#counter.save(writer);
  }

  /** `onFirst` is told as by any other, if no envelope has opened yet. */
  static load(
    reader: StateSource,
    onFirst: (opener: Opener) => void,
    limits: SealLimits | undefined,
  ): Opener {
    const info = loadKeyInfo(reader);
    const keys = loadDirectionKeys(reader);
    const opener: Opener = new Opener(info, keys, () => onFirst(opener), limits);
    opener.#counter.load(reader);
    return opener;
  }

  get keyId(): number {
    return this.info.keyId;
  }

  get generation(): number {
    return this.info.generation;
  }

  get opened(): number {
    return this.#counter.count;
  }

  /** Bytes of plaintext opened so far, each envelope rounded up to whole blocks. */
  get bytes(): number {
    return this.#counter.bytes;
  }

  open(head: Uint8Array, body: Uint8Array): Uint8Array {
    const keys = this.#keys;
    this.#keys = undefined; // no second attempt (rule R4): a key that has failed once stays unusable
    const length = body.length - TAG_LENGTH;
    if (keys === undefined || head.length !== SEALED_HEAD || length <= 0 || length > MAX_PLAINTEXT) {
      throw keyFailure('envelope', `key ${this.keyId}, generation ${this.generation}`);
    }
    if (!this.#counter.next(head, length)) throw keyFailure('limit', `key ${this.keyId}`);
    const plaintext = openAes256Gcm(keys.key, this.#counter.nonce, this.#counter.additional, body);
    if (plaintext === undefined) {
      throw keyFailure('envelope', `key ${this.keyId}, generation ${this.generation}`);
    }
    this.#keys = keys;
    if (this.#counter.count === 1) this.#onFirst?.();
    return plaintext;
  }

  close(): void {
    this.#keys = undefined;
  }
}
