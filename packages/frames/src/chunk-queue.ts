/**
 * Received chunks as one sequence of bytes that is read from the front. Nothing is joined: bytes are handed out as
 * views into the chunks, and only `copy` copies. Every operation costs the same however many chunks wait.
 */
export class ChunkQueue {
  /** Chunks before `#first` are consumed and gone. */
  #chunks: Uint8Array[] = [];
  #first = 0;
  /** Bytes of the first chunk that are consumed. */
  #offset = 0;
  #length = 0;

  /** Bytes that wait. */
  get length(): number {
    return this.#length;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** Puts copies into the place of all that waits. */
  keep(): void {
    if (this.#length === 0) return;
    const bytes = this.copy(this.#length);
    this.clear();
    this.push(bytes);
  }

  clear(): void {
    this.#chunks = [];
    this.#first = this.#offset = this.#length = 0;
  }

  /** All that waits, as views, not consumed. */
  *pieces(): Iterable<Uint8Array> {
    let offset = this.#offset;
    for (let i = this.#first; i < this.#chunks.length; i++) {
      yield (this.#chunks[i] as Uint8Array).subarray(offset);
      offset = 0;
    }
  }

  /** The next `length` bytes as a view, not consumed; undefined if they are not all in one chunk. */
  view(length: number): Uint8Array | undefined {
    const chunk = this.#chunks[this.#first];
    if (!chunk || chunk.length - this.#offset < length) return undefined;
    return chunk.subarray(this.#offset, this.#offset + length);
  }

  /** A copy of the next `length` bytes, not consumed. The caller has checked that they are there. */
  copy(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    let filled = 0;
    let offset = this.#offset;
    for (let i = this.#first; filled < length; i++) {
      const piece = (this.#chunks[i] as Uint8Array).subarray(offset, offset + length - filled);
      bytes.set(piece, filled);
      filled += piece.length;
      offset = 0;
    }
    return bytes;
  }

  /** Consumes the next bytes, as many as the first chunk has but at most `most`: a view; empty if none wait. */
  takeSome(most: number): Uint8Array {
    const chunk = this.#chunks[this.#first];
    if (!chunk) return EMPTY;
    const length = Math.min(most, chunk.length - this.#offset);
    const piece = length === chunk.length ? chunk : chunk.subarray(this.#offset, this.#offset + length);
    this.skip(length);
    return piece;
  }

  /** Consumes `length` bytes. The caller has checked that they are there. */
  skip(length: number): void {
    this.#length -= length;
    let offset = this.#offset + length;
    let chunk = this.#chunks[this.#first];
    while (chunk && offset >= chunk.length) {
      offset -= chunk.length;
      this.#chunks[this.#first] = EMPTY; // Lets go of its memory.
      chunk = this.#chunks[++this.#first];
    }
    this.#offset = offset;
    this.#compact();
  }

  /** Drops the slots of consumed chunks, seldom enough that the cost per chunk stays constant. */
  #compact(): void {
    if (this.#first === this.#chunks.length) {
      this.#chunks.length = this.#first = 0;
    } else if (this.#first >= 1024 && this.#first * 2 >= this.#chunks.length) {
      this.#chunks.splice(0, this.#first);
      this.#first = 0;
    }
  }
}

const EMPTY = new Uint8Array(0);
