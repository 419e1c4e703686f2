/**
 * What is held of a frame whose bytes come in several chunks. Both collectors bound what a peer can make us hold by
 * what it has sent: one that announces 64 KiB and sends 8 bytes gets a few hundred, and one that sends single
 * bytes does not keep a whole read buffer alive with each.
 */

/** Collects a control frame into one buffer. */
export class Joined {
  readonly #total: number;
  #bytes: Uint8Array;
  #filled = 0;

  /** @param total bytes of the frame; the limit on it has been checked */
  constructor(total: number) {
    this.#total = total;
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

  /** What there is, as views. */
  pieces(): readonly Uint8Array[] {
    return [this.#bytes.subarray(0, this.#filled)];
  }

  /** The frame. When nothing is missing the buffer has exactly its size. */
  finish(): Uint8Array {
    return this.#bytes;
  }

  #grow(needed: number): void {
    const bytes = new Uint8Array(Math.min(this.#total, Math.max(needed, 2 * this.#bytes.length)));
    bytes.set(this.#bytes.subarray(0, this.#filled));
    this.#bytes = bytes;
  }
}

/** Collects the body of a SEALED frame as views into the chunks; only small pieces are copied, together. */
export class Parts {
  readonly #parts: Uint8Array[] = [];
  readonly #total: number;
  #filled = 0;
  /** Where small pieces go, and how much of it is used. */
  #block: Uint8Array | undefined;
  #used = 0;

  /** @param total bytes of the body; the limit on it has been checked */
  constructor(total: number) {
    this.#total = total;
  }

  get filled(): number {
    return this.#filled;
  }

  get missing(): number {
    return this.#total - this.#filled;
  }

  add(piece: Uint8Array): void {
    this.#filled += piece.length;
    // A piece that is the whole body is never many.
    if (piece.length >= SMALL_PIECE || piece.length === this.#total) {
      this.#closeBlock();
      this.#parts.push(piece);
    } else {
      this.#copy(piece);
    }
  }

  /** What there is, as views. */
  pieces(): readonly Uint8Array[] {
    return this.#block ? [...this.#parts, this.#block.subarray(0, this.#used)] : this.#parts;
  }

  finish(): readonly Uint8Array[] {
    this.#closeBlock();
    return this.#parts;
  }

  #copy(piece: Uint8Array): void {
    if (this.#used + piece.length > BLOCK) this.#closeBlock();
    this.#block ??= new Uint8Array(BLOCK);
    this.#block.set(piece, this.#used);
    this.#used += piece.length;
  }

  #closeBlock(): void {
    if (this.#block) this.#parts.push(this.#block.subarray(0, this.#used));
    this.#block = undefined;
    this.#used = 0;
  }
}

/** Most control frames are smaller. */
const SMALLEST_BUFFER = 256;

/** A view costs about as much memory as this many bytes, and more time to pass on than to copy them. */
const SMALL_PIECE = 512;
const BLOCK = 1024;
