import { keyFailure } from './errors.ts';

/** Bounded cursor over a received message: no read goes past the end, and `end` refuses what is left over. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8));
  }

  /** A view of the next `length` bytes. */
  take(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** The next `length` bytes as text, one code unit a byte; the caller checks the grammar. */
  ascii(length: number): string {
    return String.fromCharCode(...this.take(length));
  }

  /** The message must end here. */
  end(): void {
    const left = this.#bytes.length - this.#offset;
    if (left > 0) throw keyFailure('malformed', `${left} bytes follow its last field`);
  }

  #advance(length: number): number {
    const start = this.#offset;
    if (length > this.#bytes.length - start) throw keyFailure('malformed', 'it ends inside a field');
    this.#offset = start + length;
    return start;
  }
}
