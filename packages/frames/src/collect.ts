/**
 * Collects a frame whose bytes come in several chunks into one buffer. What a peer can make us hold is bounded by what it has
 * sent: one that announces 64 KiB and sends 8 bytes gets a few hundred, and one that sends single bytes does not keep a whole
 * read buffer alive with each.
 */
export class Joined {
  readonly #total: number;
  readonly #blocks: Blocks | undefined;
  #bytes: Uint8Array;
  #filled = 0;

  /**
   * @param total bytes of the frame; the limit on it has been checked
   * @param blocks where memory for large ones is from, if it is to be given back
   */
  constructor(total: number, blocks?: Blocks) {
    this.#total = total;
    this.#blocks = blocks;
    this.#bytes = new Uint8Array(Math.min(total, SMALLEST_BUFFER));
  }

  get filled(): number {
    return this.#filled;
  }

  get missing(): number {
    return this.#total - this.#filled;
  }

  add(piece: Uint8Array): void {
    const filled = this.#filled + piece.length;
    if (filled > this.#bytes.length) this.#grow(filled);
    this.#bytes.set(piece, this.#filled);
    this.#filled = filled;
  }

  /** What there is, as a view; in the end, the frame. */
  get bytes(): Uint8Array {
    return this.#filled === this.#bytes.length ? this.#bytes : this.#bytes.subarray(0, this.#filled);
  }

  /** Gives memory back. Nobody may look at it any more. */
  release(): void {
    this.#blocks?.giveBack(this.#bytes);
  }

  #grow(needed: number): void {
    const size = Math.min(this.#total, Math.max(needed, GROWTH * this.#bytes.length));
    const bytes = this.#blocks?.take(size, this.#total) ?? new Uint8Array(size);
    bytes.set(this.#bytes.subarray(0, this.#filled));
    this.#bytes = bytes;
  }
}

/** Memory that large frames are collected in, one after the other: it is warm, and nobody has to find out that it is not needed any more. */
export class Blocks {
  readonly #size: number;
  readonly #free: Uint8Array[] = [];

  /** @param size of a block, in bytes */
  constructor(size: number) {
    this.#size = size;
  }

  /** A block for a frame of `total` bytes of which `size` are wanted now; none while that is only a small part of one. */
  take(size: number, total: number): Uint8Array | undefined {
    if (size * GROWTH < this.#size || total > this.#size) return undefined;
    return this.#free.pop() ?? new Uint8Array(this.#size);
  }

  /** Takes a block back; other memory is left to whoever collects it. */
  giveBack(bytes: Uint8Array): void {
    if (bytes.length === this.#size && this.#free.length < MOST_FREE) this.#free.push(bytes);
  }
}

/** Most control frames are smaller. */
const SMALLEST_BUFFER = 256;
/** A frame that comes in few chunks is copied little more than once. */
const GROWTH = 4;
/** A megabyte, of the largest. */
const MOST_FREE = 16;
