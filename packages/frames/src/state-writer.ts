/**
 * Collects the state of a session that is handed over (spec 13.2). What lies in it can open the session, so every buffer that it outgrows is
 * wiped, and `finish` gives away the only copy: in an exact buffer of its own.
 */
export class StateWriter {
  #bytes = new Uint8Array(FIRST_SIZE);
  #length = 0;

  u8(value: number): void {
    this.#uint(value, 1);
  }

  u16(value: number): void {
    this.#uint(value, 2);
  }

  u32(value: number): void {
    this.#uint(value, 4);
  }

  /** A safe integer in 64 bits. */
  u64(value: number): void {
    this.#uint(Math.floor(value / 2 ** 32), 4);
    this.#uint(value % 2 ** 32, 4);
  }

  /** A safe integer of either sign, in 64 bits. */
  i64(value: number): void {
    const at = this.#room(8);
    new DataView(this.#bytes.buffer).setBigInt64(at, BigInt(value));
  }

  /** Any number but NaN: a time, or a part of a token. */
  f64(value: number): void {
    const at = this.#room(8);
    new DataView(this.#bytes.buffer).setFloat64(at, value);
  }

  flag(value: boolean): void {
    this.#uint(value ? 1 : 0, 1);
  }

  /** The bytes, behind their number (32). */
  bytes(value: Uint8Array): void {
    this.u32(value.length);
    this.raw(value);
  }

  /** The bytes alone, where the reader knows how many there are. */
  raw(value: Uint8Array): void {
    const at = this.#room(value.length);
    this.#bytes.set(value, at);
  }

  /** Text in UTF-8, as `bytes`. */
  text(value: string): void {
    this.bytes(new TextEncoder().encode(value));
  }

  /** A flag, and what `write` writes if there is a value. */
  optional<T>(value: T | undefined, write: (value: T) => void): void {
    this.flag(value !== undefined);
    if (value !== undefined) write(value);
  }

  /** Their number (32), and what `write` writes for each. */
  list<T>(values: Iterable<T>, write: (value: T) => void): void {
    const at = this.#room(4);
    let count = 0;
    for (const value of values) {
      write(value);
      count++;
    }
    new DataView(this.#bytes.buffer).setUint32(at, count);
  }

  /** What `write` writes, behind a tag (8) and its length (32). */
  section(tag: number, write: () => void): void {
    this.u8(tag);
    const at = this.#room(4);
    write();
    new DataView(this.#bytes.buffer).setUint32(at, this.#length - at - 4);
  }

  /** All that was written, in a buffer of exactly its size. Nothing is left here. */
  finish(): Uint8Array {
    const whole = this.#bytes.slice(0, this.#length);
    this.wipe();
    return whole;
  }

  /** Forgets what was written. */
  wipe(): void {
    this.#bytes.fill(0);
    this.#length = 0;
  }

  #uint(value: number, width: number): void {
    const at = this.#room(width);
    let rest = value;
    for (let i = at + width - 1; i >= at; i--) {
      this.#bytes[i] = rest % 256;
      rest = Math.floor(rest / 256);
    }
  }

  /** Makes room for `length` bytes; returns where it begins. */
  #room(length: number): number {
    const at = this.#length;
    const needed = at + length;
    if (needed > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes.fill(0);
      this.#bytes = larger;
    }
    this.#length = needed;
    return at;
  }
}

const FIRST_SIZE = 4096;
