/**
 * Memory for bytes on their way from one connection to another, which are read into a buffer that is only lent. It is used again, so that a
 * transfer costs neither fresh pages nor collecting.
 */

/** Largest piece that is copied, in bytes: a DATA frame of the largest kind. */
export const BLOCK = 64 * 1024;
/** Fewer bytes than this get memory of their own: a whole block would be waste. */
const LEAST = BLOCK / 2;
/** How many are kept: 4 MiB. */
const MOST_FREE = 64;

const free: Uint8Array[] = [];
/** What is ours. Its size does not tell: Node's own pool for small buffers may have the same. */
const blocks = new WeakSet<ArrayBufferLike>();

/** A copy of at most a BLOCK of bytes. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  if (bytes.length < LEAST) return Buffer.from(bytes);
  const block = free.pop() ?? newBlock();
  block.set(bytes);
  return bytes.length === BLOCK ? block : block.subarray(0, bytes.length);
}

/** Gives back a copy that nobody will look at any more. */
export function giveBack(copy: Uint8Array): void {
  if (blocks.has(copy.buffer) && free.length < MOST_FREE) free.push(new Uint8Array(copy.buffer));
}

function newBlock(): Uint8Array {
  const block = new Uint8Array(BLOCK);
  blocks.add(block.buffer);
  return block;
}
