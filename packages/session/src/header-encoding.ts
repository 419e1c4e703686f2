import { encodeHeaderBlock, FrameError, type HeaderList } from '@keymux/frames';
import { UsageError } from './errors.ts';

/**
 * The plain block of headers that a user wants to send. It is compressed only when it goes, because the compressor
 * must see blocks in the order of the wire; so everything that can be wrong with it has to be found here.
 *
 * Throws UsageError `ERR_KEYMUX_HEADER` or `ERR_KEYMUX_FRAME_TOO_LARGE`.
 */
export function encodeHeaders(headers: HeaderList): Uint8Array {
  const block = plainBlock(headers);
  if (block.length > MOST_BLOCK_BYTES) {
    throw new UsageError(
      'ERR_KEYMUX_FRAME_TOO_LARGE',
      `the headers take ${block.length} bytes, more than ${MOST_BLOCK_BYTES}: send less, or as payload`,
    );
  }
  return block;
}

function plainBlock(headers: HeaderList): Uint8Array {
  try {
    return encodeHeaderBlock(headers);
  } catch (error) {
    if (error instanceof FrameError) throw new UsageError(error.code, error.message);
    throw error;
  }
}

/** What does not compress grows by less than 1 % and 32 bytes, and must fit a frame all the same (spec 1.7). */
const MOST_BLOCK_BYTES = 64_900;
