import type { ZStream } from 'pako';

/** What later blocks of a zlib stream may refer to. */
export interface Past {
  /** Of its window of 2^n bytes. */
  readonly windowBits: number;
  /** The last bytes that were compressed or inflated, at most a window of them. */
  readonly bytes: Uint8Array;
}

// deflateGetDictionary and inflateGetDictionary of zlib, which pako has left out. The window is there anyway, so that following every block
// would only cost time and memory. The fields are those of zlib, and the version of pako is fixed.

/** Of a deflate stream, behind a flush. */
export function compressedLast(stream: ZStream): Past {
  const { window, w_bits, w_size, strstart, lookahead } = stream.state as DeflateState;
  const end = strstart + lookahead;
  return { windowBits: w_bits, bytes: window.slice(Math.max(0, end - w_size), end) };
}

/** Of an inflate stream, behind a flush. */
export function inflatedLast(stream: ZStream): Past {
  const { window, wbits, whave, wnext } = stream.state as InflateState;
  const bytes = new Uint8Array(whave);
  if (window !== null) {
    // A ring: the oldest byte lies where the next one goes, once it is full.
    bytes.set(window.subarray(wnext, whave));
    bytes.set(window.subarray(0, wnext), whave - wnext);
  }
  return { windowBits: wbits, bytes };
}

interface DeflateState {
  readonly window: Uint8Array;
  readonly w_bits: number;
  readonly w_size: number;
  readonly strstart: number;
  readonly lookahead: number;
}

interface InflateState {
  readonly window: Uint8Array | null;
  readonly wbits: number;
  /** Bytes in the window. */
  readonly whave: number;
  /** Where the next byte goes. */
  readonly wnext: number;
}
