import type { Socket } from 'node:net';
import { unwritten } from './socket-handle.ts';

/** Remembers what was written to a socket until the kernel has it, so that it can be taken back. */
export class Written {
  /** Oldest first. */
  readonly #pieces: (readonly Uint8Array[])[] = [];

  add(pieces: readonly Uint8Array[]): void {
    this.#pieces.push(pieces);
  }

  /** What was added first has been written. */
  shift(): void {
    this.#pieces.shift();
  }

  /** What the kernel has not taken, in order. The socket must be destroyed in the same turn. */
  takeBack(socket: Socket): Uint8Array[] {
    const last: Uint8Array[] = [];
    let left = unwritten(socket);
    for (const piece of this.#pieces.flat().reverse()) {
      if (left === 0) break;
      const part = left < piece.length ? piece.subarray(piece.length - left) : piece;
      left -= part.length;
      last.unshift(part);
    }
    if (left > 0) throw new Error('a socket has more to write than it was given');
    return last;
  }
}
