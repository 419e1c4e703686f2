import { ascii } from './bytes.ts';
import type { StateSink, StateSource } from './state-port.ts';

/** How much one key may seal in one direction (spec 4.1). */
export interface SealLimits {
  readonly envelopes: number;
  /** Blocks of 16 bytes of plaintext. */
  readonly blocks: number;
}

export const SEAL_LIMITS: SealLimits = { envelopes: 2 ** 32, blocks: 2 ** 36 };

/** Most plaintext of one envelope, in bytes (spec 1.7). */
export const MAX_PLAINTEXT = 66_560;

/** Readable bytes of a SEALED frame: its head, key ID and generation. */
export const SEALED_HEAD = 10;

/**
 * Counts the envelopes of one direction of one generation and makes nonce and AAD of each (spec 4.1):
 *
 *     nonce = iv XOR (0x00000000 || counter (64))
 *     AAD   = "keymux/1 sealed" || 0x00 || d (8) || the first 10 bytes of the SEALED frame
 *
 * Both are written into buffers that are used again for every envelope: node:crypto copies them at once. The counter moves
 * before the cipher runs, so that no failure can leave it behind on a nonce that was used.
 */
export class EnvelopeCounter {
  readonly nonce: Uint8Array;
  readonly additional: Uint8Array;
  readonly #iv: DataView;
  readonly #nonce: DataView;
  readonly #limits: SealLimits;
  #envelopes = 0;
  #blocks = 0;

  constructor(iv: Uint8Array, direction: number, limits: SealLimits) {
    this.nonce = Uint8Array.from(iv);
    this.#iv = view(Uint8Array.from(iv));
    this.#nonce = view(this.nonce);
    this.additional = new Uint8Array(LABEL.length + 2 + SEALED_HEAD);
    this.additional.set(LABEL);
    this.additional[LABEL.length + 1] = direction;
    this.#limits = limits;
  }

  /** Envelopes so far. */
  get count(): number {
    return this.#envelopes;
  }

  /** Bytes of plaintext so far, each envelope rounded up to whole blocks of 16. */
  get bytes(): number {
    return this.#blocks * BLOCK;
  }

  save(writer: StateSink): void {
    writer.u64(this.#envelopes);
    writer.u64(this.#blocks);
  }

  load(reader: StateSource): void {
    this.#envelopes = reader.u64(this.#limits.envelopes);
    this.#blocks = reader.u64(this.#limits.blocks);
  }

  /**
   * Prepares `nonce` and `additional` for the next envelope, of `length` bytes of plaintext. Returns false if the key may not carry it.
   */
  next(head: Uint8Array, length: number): boolean {
    const blocks = this.#blocks + Math.ceil(length / BLOCK);
    if (this.#envelopes >= this.#limits.envelopes || blocks > this.#limits.blocks) return false;
    const counter = this.#envelopes++;
    this.#blocks = blocks;
    this.#nonce.setUint32(4, this.#iv.getUint32(4) ^ Math.floor(counter / 2 ** 32));
    this.#nonce.setUint32(8, this.#iv.getUint32(8) ^ counter);
    this.additional.set(head, LABEL.length + 2);
    return true;
  }
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const LABEL = ascii('keymux/1 sealed');
const BLOCK = 16;
