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
    return this.#uint(value, 1);
  }

  u16(value: number): this {
    return this.#uint(value, 2);
  }

  u24(value: number): this {
    return this.#uint(value, 3);
  }

  u32(value: number): this {
    return this.#uint(value, 4);
  }

  /** A safe integer in 64 bits. */
  u64(value: number): this {
    return this.#uint(Math.floor(value / 2 ** 32), 4).#uint(value % 2 ** 32, 4);
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

  #uint(value: number, width: number): this {
    // Division and not a shift: 32-bit values would turn negative.
    let rest = value;
    for (let i = this.#at + width - 1; i >= this.#at; i--) {
      this.#bytes[i] = rest % 256;
      rest = Math.floor(rest / 256);
    }
    this.#at += width;
    return this;
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
