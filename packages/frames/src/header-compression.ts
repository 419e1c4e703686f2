import {
  Z_BUF_ERROR,
  Z_DEFAULT_STRATEGY,
  Z_NEED_DICT,
  Z_OK,
  Z_SYNC_FLUSH,
  ZStream,
  zlibDeflate,
  zlibDeflateInit2,
  zlibDeflateSetDictionary,
  zlibInflate,
  zlibInflateInit2,
  zlibInflateSetDictionary,
} from 'pako';
import { GOAWAY, LIMITS, type Limits } from './constants.ts';
import { compressionDictionary } from './dictionary.ts';
import { compressionLost, type FrameError, headerMisuse } from './errors.ts';
import { uintAt } from './reader.ts';
import type { StateReader } from './state-reader.ts';
import type { StateWriter } from './state-writer.ts';
import { compressedLast, inflatedLast, type Past } from './zlib-past.ts';

/**
 * Compresses the header blocks that one side sends outside envelopes: one zlib stream for the whole session, a
 * sync flush after each block (spec 1.3). Every block that is compressed has to be sent, in this order, or the
 * peer's state differs from ours. The state, some 20 KB, is made for the first block.
 */
export class HeaderCompressor {
  #stream: ZStream | undefined;

  /** Throws scope `usage`, before the state has changed, if the result could be over the limit of spec 1.7. */
  compress(block: Uint8Array): Uint8Array {
    const bound = compressedBound(block.length);
    if (bound > MAX_COMPRESSED)
      throw headerMisuse(`a header block of ${block.length} bytes is too large: send less`);
    this.#stream ??= startDeflate(WINDOW_BITS, compressionDictionary());
    const stream = this.#stream;
    stream.input = block;
    stream.next_in = 0;
    stream.avail_in = block.length;
    stream.output = new Uint8Array(bound);
    stream.next_out = 0;
    stream.avail_out = bound;
    const status = zlibDeflate(stream, Z_SYNC_FLUSH);
    if (status !== Z_OK || stream.avail_out === 0) throw new Error(`deflate failed with status ${status}`);
    return stream.output.slice(0, stream.next_out);
  }

  save(writer: StateWriter): void {
    writer.optional(this.#stream, (stream) => savePast(writer, compressedLast(stream)));
  }

  load(reader: StateReader): void {
    this.#stream = reader.optional(() => resumeDeflate(loadPast(reader)));
  }
}

/**
 * Inflates the header blocks that one side receives outside envelopes; every one of them, also of streams that it
 * refuses (spec 1.3). What is inflated is bounded while inflating: 64 KB of deflate can hold 64 MB of zeros.
 *
 * Any error ends the session, because the state is lost; so every later call throws it again.
 */
export class HeaderDecompressor {
  readonly #mostBytes: number;
  #stream: ZStream | undefined;
  #failure: FrameError | undefined;

  constructor(limits?: Partial<Limits>) {
    // A block within its limit is not longer: each pair counts 32 there and has 8 bytes of lengths here.
    this.#mostBytes = 4 + (limits?.headerBlockBytes ?? LIMITS.headerBlockBytes);
  }

  /** The plain block. No bytes at all are a block without pairs, which some peers do not compress. */
  decompress(bytes: Uint8Array): Uint8Array {
    if (this.#failure) throw this.#failure;
    if (bytes.length === 0) return new Uint8Array(NO_PAIRS);
    this.#stream ??= startInflate();
    const stream = this.#stream;
    stream.input = bytes;
    stream.next_in = 0;
    stream.avail_in = bytes.length;
    const pieces: Uint8Array[] = [];
    let total = 0;
    do {
      const piece = this.#inflatePiece(stream, Math.min(PIECE, this.#mostBytes + 1 - total));
      pieces.push(piece);
      total += piece.length;
      if (total > this.#mostBytes) {
        throw this.#fail(`inflates to more than ${this.#mostBytes} bytes`, GOAWAY.FRAME_TOO_LARGE);
      }
    } while (stream.avail_out === 0);
    if (!endsAtFlush(bytes, stream)) throw this.#fail('does not end with a sync flush');
    return join(pieces, total);
  }

  save(writer: StateWriter): void {
    writer.optional(this.#stream, (stream) => savePast(writer, inflatedLast(stream)));
  }

  load(reader: StateReader): void {
    this.#stream = reader.optional(() => resumeInflate(loadPast(reader)));
  }

  /** At most `size` bytes of output. If it is fewer, there is no more. */
  #inflatePiece(stream: ZStream, size: number): Uint8Array {
    stream.output = new Uint8Array(size);
    stream.next_out = 0;
    stream.avail_out = size;
    let status = zlibInflate(stream, Z_SYNC_FLUSH);
    if (status === Z_NEED_DICT) {
      if (zlibInflateSetDictionary(stream, compressionDictionary()) !== Z_OK) {
        throw this.#fail('needs another dictionary');
      }
      status = zlibInflate(stream, Z_SYNC_FLUSH);
    }
    // Z_BUF_ERROR says that there was nothing to do. Z_STREAM_END is refused: a session's stream does not end.
    if (status !== Z_OK && status !== Z_BUF_ERROR) throw this.#fail('does not inflate');
    return stream.output.subarray(0, stream.next_out);
  }

  #fail(reason: string, status: number = GOAWAY.PROTOCOL_ERROR): FrameError {
    this.#stream = undefined;
    this.#failure = compressionLost(status, `a compressed header block ${reason}`);
    return this.#failure;
  }
}

/** @param windowBits of the window, negative for raw deflate */
function startDeflate(windowBits: number, dictionary: Uint8Array): ZStream {
  const stream = new ZStream();
  zlibDeflateInit2(stream, LEVEL, DEFLATED, windowBits, MEM_LEVEL, Z_DEFAULT_STRATEGY, CLASSIC_HASH);
  zlibDeflateSetDictionary(stream, dictionary);
  return stream;
}

function startInflate(): ZStream {
  const stream = new ZStream();
  // 0: as large a window as the peer's stream says. Against our own compressor that is 2 KiB instead of 32.
  zlibInflateInit2(stream, 0);
  return stream;
}

/**
 * Goes on where another stream stood behind a sync flush: byte aligned, between two blocks. Its zlib header is long gone, so what follows is
 * raw deflate, and what it may refer to is its dictionary (spec 13.3).
 */
function resumeDeflate({ windowBits, bytes }: Past): ZStream {
  return startDeflate(-windowBits, bytes);
}

function resumeInflate({ windowBits, bytes }: Past): ZStream {
  const stream = new ZStream();
  zlibInflateInit2(stream, -windowBits);
  zlibInflateSetDictionary(stream, bytes);
  return stream;
}

function savePast(writer: StateWriter, { windowBits, bytes }: Past): void {
  writer.u8(windowBits);
  writer.bytes(bytes);
}

function loadPast(reader: StateReader): Past {
  const windowBits = reader.u8(MOST_WINDOW_BITS);
  if (windowBits < LEAST_WINDOW_BITS) throw reader.malformed('a window that zlib does not know');
  return { windowBits, bytes: reader.bytes(2 ** windowBits) };
}

/**
 * The most that `length` bytes can become. Deflate stores what it cannot compress, in blocks of at most as many
 * literals as its symbol buffer holds (MEM_LEVEL), at 5 bytes a block; then the zlib header with the dictionary's
 * checksum (6), and the empty block of the flush.
 */
function compressedBound(length: number): number {
  return length + 8 * Math.ceil(length / 1000) + 32;
}

/**
 * Whether `bytes` end as a sync flush does: with an empty stored block (00 00 FF FF), after which inflate stands
 * between two blocks on a byte boundary. Otherwise the rest of these headers would come with a later frame.
 */
function endsAtFlush(bytes: Uint8Array, stream: ZStream): boolean {
  const end = bytes.length - 4;
  const marked = end >= 0 && uintAt(bytes, end, 4) === 0x0000_ffff;
  return marked && stream.avail_in === 0 && stream.data_type === BETWEEN_BLOCKS;
}

function join(pieces: readonly Uint8Array[], total: number): Uint8Array {
  const bytes = new Uint8Array(total);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

const LEVEL = 6;
/** The compression method of zlib, and the only one. */
const DEFLATED = 8;
/** A window of 2 KiB: just enough for the dictionary and a block or two, on each of very many sessions. */
const WINDOW_BITS = 11;
/** A symbol buffer of 1,023 and a hash table of 2,048 entries. */
const MEM_LEVEL = 4;
/** The hash of zlib itself. pako's own has 32,768 entries, 64 KB, whatever MEM_LEVEL says. */
const CLASSIC_HASH = true;

/** Windows that zlib knows: 256 bytes to 32 KiB. */
const LEAST_WINDOW_BITS = 8;
const MOST_WINDOW_BITS = 15;

/** Block bytes that fit a SYN_STREAM, the frame with the longest fields before the block (1.2, 1.7). */
const MAX_COMPRESSED = LIMITS.headerFrameLength - 10;

/** The length of a plain block of no pairs: its count, 0. */
const NO_PAIRS = 4;

/** Output is made in pieces: most blocks are smaller than one. */
const PIECE = 4096;

/** What zlib says in `data_type` between two blocks, none of them the last, with no bit of a byte left over. */
const BETWEEN_BLOCKS = 128;
