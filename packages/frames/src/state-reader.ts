import { type FrameError, stateMisuse } from './errors.ts';

/**
 * Reads what StateWriter wrote, and nothing else: each field is checked against what is there and what it may be, each section ends where it
 * says. Bytes are copied out, because the blob is wiped when it has been read. Every error is a FrameError `ERR_KEYMUX_HAND_OVER`. It says
 * nothing of what was read, since that may be a piece of a key.
 */
export class StateReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #end: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#end = bytes.length;
  }

  /** Bytes that are left of the section at hand. */
  get remaining(): number {
    return this.#end - this.#at;
  }

  /** A whole number in 8 bits, of at most `most`. */
  u8(most = 0xff): number {
    return this.#atMost(this.#view.getUint8(this.#advance(1)), most);
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2));
  }

  u32(most = 0xffff_ffff): number {
    return this.#atMost(this.#view.getUint32(this.#advance(4)), most);
  }

  u64(most = Number.MAX_SAFE_INTEGER): number {
    return this.#atMost(this.u32() * 2 ** 32 + this.u32(), most);
  }

  i64(): number {
    const value = Number(this.#view.getBigInt64(this.#advance(8)));
    if (!Number.isSafeInteger(value)) throw this.malformed('a field is beyond 2^53');
    return value;
  }

  f64(): number {
    const value = this.#view.getFloat64(this.#advance(8));
    if (Number.isNaN(value)) throw this.malformed('a number is none');
    return value;
  }

  flag(): boolean {
    return this.u8(1) === 1;
  }

  bytes(most = 0xffff_ffff): Uint8Array {
    return this.raw(this.u32(most));
  }

  /** A copy of the next `length` bytes. */
  raw(length: number): Uint8Array {
    const at = this.#advance(length);
    const bytes = new Uint8Array(new ArrayBuffer(length)); // else V8 has short ones in its heap, where keys cannot be wiped
    bytes.set(this.#bytes.subarray(at, at + length));
    return bytes;
  }

  text(): string {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.bytes());
    } catch (error) {
      if (error instanceof TypeError) throw this.malformed('a text is not UTF-8');
      throw error;
    }
  }

  optional<T>(read: () => T): T | undefined {
    return this.flag() ? read() : undefined;
  }

  /** Calls `read` for each item of a list. Every item has at least one byte, so a count beyond what is left is refused first. */
  list(read: () => void): void {
    const count = this.u32(this.remaining);
    for (let i = 0; i < count; i++) read();
  }

  /** Reads the section that has to come next, all of it. */
  section<T>(tag: number, read: () => T): T {
    const found = this.u8();
    if (found !== tag) throw this.malformed(`another section in the place of ${tag}`);
    const length = this.u32();
    const outer = this.#end;
    this.#end = this.#at + length;
    if (this.#end > outer) throw this.malformed(`section ${tag} is cut off`);
    const value = read();
    this.end();
    this.#end = outer;
    return value;
  }

  /** Nothing may be left. */
  end(): void {
    if (this.remaining > 0) throw this.malformed(`${this.remaining} bytes follow the last field`);
  }

  malformed(fault: string): FrameError {
    return stateMisuse(`the saved state of a session cannot be used: ${fault}`);
  }

  #atMost(value: number, most: number): number {
    if (value > most) throw this.malformed(`a field is above ${most}`);
    return value;
  }

  #advance(length: number): number {
    if (length > this.remaining) throw this.malformed('it ends inside a field');
    const at = this.#at;
    this.#at += length;
    return at;
  }
}
