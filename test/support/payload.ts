import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';

const BLOCK = 1024 * 1024;
const SEED = Buffer.alloc(BLOCK);
for (let at = 0; at < BLOCK; at += 32) createHash('sha256').update(String(at)).digest().copy(SEED, at);

/** Incompressible bytes that are always the same, made as they are read; no two blocks of 1 MiB are equal. */
export function payload(bytes: number): Readable {
  return Readable.from(blocks(bytes), { objectMode: false, highWaterMark: BLOCK });
}

function* blocks(bytes: number): Generator<Buffer> {
  for (let at = 0; at < bytes; at += BLOCK) {
    const block = Buffer.from(SEED.subarray(0, Math.min(BLOCK, bytes - at)));
    if (block.length >= 8) block.writeBigUInt64BE(BigInt(at), 0);
    yield block;
  }
}

export function payloadBuffer(bytes: number): Buffer {
  return Buffer.concat([...blocks(bytes)]);
}

/** SHA-256 of `payload(bytes)`. */
export function payloadHash(bytes: number): string {
  const hash = createHash('sha256');
  for (const block of blocks(bytes)) hash.update(block);
  return hash.digest('hex');
}

/** SHA-256 and size of everything that a stream has. The other direction of a Duplex stays open. */
export async function hashOf(stream: Readable): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { sha256: hash.digest('hex'), bytes };
}
