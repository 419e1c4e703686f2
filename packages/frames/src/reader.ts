import { type FrameError, malformed } from './errors.ts';

/**
 * A bounded cursor over the body of one frame or header block. Every read checks what is left first, so a length
 * that a peer states is compared with bytes that are there before anything is made from it. Big-endian (spec 1).
 */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #error: (message: string) => FrameError;
  #at: number;

  /**
   * @param at where to begin in `bytes`
   * @param error makes the error for a read past the end: by default one that ends the session
   */
  constructor(bytes: Uint8Array, at = 0, error: (message: string) => FrameError = malformed) {
    this.#bytes = bytes;
    this.#at = at;
    this.#error = error;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#bytes[this.#advance(1)] as number;
  }

  u16(): number {
    const at = this.#advance(2);
    return uintAt(this.#bytes, at, 2);
  }

  u24(): number {
    const at = this.#advance(3);
    return uintAt(this.#bytes, at, 3);
  }

  u32(): number {
    const at = this.#advance(4);
    return uintAt(this.#bytes, at, 4);
  }

  /** `X` + 31 bits: the reserved bit is ignored (spec 1). */
  u31(): number {
    return this.u32() % 2 ** 31;
  }

  /** 64 bits, refused above 2^53 - 1: no count of bytes or frames comes near it, and numbers stay exact. */
  u64(): number {
    const value = this.u32() * 2 ** 32 + this.u32();
    if (value > Number.MAX_SAFE_INTEGER) throw this.#error('a 64-bit count is above 2^53 - 1');
    return value;
  }

  /** The next `length` bytes, as a view. */
  take(length: number): Uint8Array {
    const at = this.#advance(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** All that is left, as a view. */
  rest(): Uint8Array {
    return this.take(this.remaining);
  }

  /** Bytes after the last field are an error: a frame has one encoding. */
  expectEnd(): void {
    if (this.remaining > 0) throw this.#error(`${this.remaining} bytes are left over after the last field`);
  }

  /** Moves on by `length` and says where the skipped bytes begin. */
  #advance(length: number): number {
    if (length > this.remaining) {
      throw this.#error(`a field of ${length} bytes does not fit into the ${this.remaining} that are left`);
    }
    const at = this.#at;
    this.#at += length;
    return at;
  }
}

/** The unsigned big-endian number of `width` (1 to 4) bytes at `at`; the caller has checked that they are there. */
export function uintAt(bytes: Uint8Array, at: number, width: number): number {
  let value = 0;
  for (let i = 0; i < width; i++) value = value * 256 + (bytes[at + i] as number);
  return value;
}
