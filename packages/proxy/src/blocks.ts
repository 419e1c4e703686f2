/**
 * Memory for bytes on their way from one connection to another, which are read into a buffer that is only lent. It is used again, so that a
 * transfer costs neither fresh pages nor collecting.
 */

/** Largest piece that is copied, in bytes: a DATA frame of the largest kind. */
export const BLOCK = 64 * 1024;
/** Fewer bytes than this get memory of their own: a whole block would be waste. */
const LEAST = BLOCK / 2;
/** How many are kept, and may be on their way before that counts as many: 4 MiB. */
const MANY = 64;

const free: Uint8Array[] = [];
let onTheirWay = 0;
/** What is ours. Its size does not tell: Node's own pool for small buffers may have the same. */
const blocks = new WeakSet<ArrayBufferLike>();

/** A copy of at most a BLOCK of bytes. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  if (bytes.length < LEAST) return Buffer.from(bytes);
  const block = free.pop() ?? newBlock();
  onTheirWay++;
  block.set(bytes);
  return bytes.length === BLOCK ? block : block.subarray(0, bytes.length);
}

/** Says that a copy is done with; after an error that somebody may still look at it. */
export function giveBack(copy: Uint8Array, error?: Error | null): void {
  if (!blocks.has(copy.buffer)) return;
  onTheirWay--;
  if (!error && free.length < MANY) free.push(new Uint8Array(copy.buffer));
}

/** Whether so little is on its way, of all connections together, that it does no harm to read much at once. */
export function isFewOnTheirWay(): boolean {
  return onTheirWay < MANY;
}

function newBlock(): Uint8Array {
  const block = new Uint8Array(BLOCK);
  blocks.add(block.buffer);
  return block;
}
