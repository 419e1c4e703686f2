import { HEAD_LENGTH, VERSION } from './constants.ts';

/**
 * Fills a buffer of exactly the size that was asked for, big-endian (spec 1). Values have been checked by then
 * (checks.ts); the size is checked at the end, so an encoder that miscounts fails instead of sending stray bytes.
 */
export class Writer {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(size: number) {
    this.#bytes = new Uint8Array(size);
  }

  u8(value: number): this {
    this.#bytes[this.#at++] = value;
    return this;
  }

  u16(value: number): this {
    return this.u8(value >>> 8).u8(value);
  }

  u24(value: number): this {
    return this.u8(value >>> 16).u16(value);
  }

  u32(value: number): this {
    return this.u16(value >>> 16).u16(value);
  }

  /** A safe integer in 64 bits. */
  u64(value: number): this {
    return this.u32(Math.floor(value / 2 ** 32)).u32(value % 2 ** 32);
  }

  bytes(bytes: Uint8Array): this {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }

  zeros(length: number): this {
    this.#at += length;
    return this;
  }

  finish(): Uint8Array {
    if (this.#at !== this.#bytes.length) {
      throw new Error(`wrote ${this.#at} bytes into a frame of ${this.#bytes.length}`);
    }
    return this.#bytes;
  }
}

/** A writer for a whole control frame, its head (spec 1.1) already written; `length` bytes of body are to follow. */
export function controlFrame(type: number, flags: number, length: number): Writer {
  return new Writer(HEAD_LENGTH + length)
    .u16(0x8000 + VERSION)
    .u16(type)
    .u8(flags)
    .u24(length);
}
