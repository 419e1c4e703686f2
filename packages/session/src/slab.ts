/** Pieces up to this many bytes are copied together: one more entry in a writev, or one more cipher call, costs more. */
export const SMALL = 2048;

/** Bytes that are allocated at a time. */
const SIZE = 16 * 1024;
const NOTHING = new Uint8Array(0);

/** The memory that is handed out, and how much of it is. All sessions share it: one that says little, of which there may be very many, keeps none. */
let shared = NOTHING;
let used = 0;

/** Copies small pieces to one place. Each place is handed out once. */
export class Slab {
  #bytes = NOTHING;
  /** What was added and not cut off lies from `#start` to `#end`, and may go on to `#limit`. */
  #start = 0;
  #end = 0;
  #limit = 0;

  /** Whether `size` bytes have room behind what was added. If not, that must be cut off, and they `begin` elsewhere. */
  fits(size: number): boolean {
    const limit = this.#end + size;
    if (limit <= this.#limit) return true;
    if (this.#bytes !== shared || this.#limit !== used || limit > shared.length) return false;
    used = this.#limit = limit;
    return true;
  }

  /** Goes on where `size` bytes have room, at most SMALL. */
  begin(size: number): void {
    this.release();
    if (used + size > shared.length) {
      shared = new Uint8Array(SIZE);
      used = 0;
    }
    this.#bytes = shared;
    this.#start = this.#end = used;
    used = this.#limit = used + size;
  }

  /** Adds a piece, which `fits`. */
  add(piece: Uint8Array): void {
    this.#bytes.set(piece, this.#end);
    this.#end += piece.length;
  }

  /** What was added since the last time; undefined if nothing was. */
  cut(): Uint8Array | undefined {
    if (this.#end === this.#start) return undefined;
    const piece = this.#bytes.subarray(this.#start, this.#end);
    this.#start = this.#end;
    return piece;
  }

  /** Gives back what was not used. */
  release(): void {
    if (this.#bytes === shared && this.#limit === used) used = this.#end;
    this.#bytes = NOTHING;
    this.#start = this.#end = this.#limit = 0;
  }
}
