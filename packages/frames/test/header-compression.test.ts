import { constants, createDeflate, createInflate, deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  compressionDictionary,
  encodeHeaderBlock,
  HeaderCompressor,
  HeaderDecompressor,
} from '../src/index.ts';
import { hex, refusal, through } from './support.ts';

const dictionary = compressionDictionary();

/** Blocks as a browser would send them: much in common, something new in each. */
const BLOCKS = Array.from({ length: 200 }, (_, i) =>
  encodeHeaderBlock([
    [':method', i % 3 === 0 ? 'POST' : 'GET'],
    [':path', `/resource/${i}?${'q'.repeat((i * 37) % 900)}`],
    [':version', 'HTTP/1.1'],
    [':host', 'example.com'],
    ['accept', 'text/html'],
    ['set-cookie', `a=${i * 7919}`],
    ['set-cookie', 'b=2'],
  ]),
);

describe('against node:zlib', () => {
  test('what we compress, zlib inflates: 200 blocks of one stream', async () => {
    const compressor = new HeaderCompressor();
    const inflate = createInflate({ dictionary: Buffer.from(dictionary) });
    for (const block of BLOCKS) {
      expect(await through(inflate, compressor.compress(block))).toBe(hex(block));
    }
  });

  test.each([9, 11, 15])('what zlib compresses with window 2^%d, we inflate', async (windowBits) => {
    const deflate = createDeflate({
      dictionary: Buffer.from(dictionary),
      windowBits,
      flush: constants.Z_SYNC_FLUSH,
    });
    const decompressor = new HeaderDecompressor();
    for (const block of BLOCKS) {
      const compressed = Buffer.from(await through(deflate, block), 'hex');
      expect(hex(decompressor.decompress(compressed))).toBe(hex(block));
    }
  });
});

describe('both ends', () => {
  test('headers that repeat cost few bytes', () => {
    const compressor = new HeaderCompressor();
    const sizes = [1, 2, 3].map(() => compressor.compress(BLOCKS[1] as Uint8Array).length);
    expect(sizes[1]).toBeLessThan(20);
    expect(sizes[2]).toBeLessThan(20);
  });

  test('any blocks in any order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 4, maxLength: 3_000 }), { maxLength: 20 }),
        (blocks) => {
          const compressor = new HeaderCompressor();
          const decompressor = new HeaderDecompressor();
          for (const block of blocks)
            expect(hex(decompressor.decompress(compressor.compress(block)))).toBe(hex(block));
        },
      ),
    );
  });

  test('the largest block that is compressed fits its frame, even of noise', () => {
    const compressor = new HeaderCompressor();
    const decompressor = new HeaderDecompressor();
    for (let round = 0; round < 5; round++) {
      const block = noise(64_900, round);
      const compressed = compressor.compress(block);
      expect(compressed.length).toBeGreaterThan(64_900);
      expect(compressed.length).toBeLessThanOrEqual(65_536);
      expect(Buffer.from(decompressor.decompress(compressed)).equals(block)).toBe(true);
    }
  });

  test('a block that might not fit is refused before the state changes', () => {
    const compressor = new HeaderCompressor();
    const decompressor = new HeaderDecompressor();
    decompressor.decompress(compressor.compress(BLOCKS[0] as Uint8Array));
    expect(refusal(() => compressor.compress(new Uint8Array(65_400)))).toMatchObject({ scope: 'usage' });
    const next = BLOCKS[1] as Uint8Array;
    expect(hex(decompressor.decompress(compressor.compress(next)))).toBe(hex(next));
  });
});

describe('refusals', () => {
  test('a bomb of 64 MiB in 65 KB is abandoned at the limit', () => {
    const bomb = deflateSync(Buffer.alloc(64 << 20), { dictionary: Buffer.from(dictionary), level: 9 });
    expect(bomb.length).toBeLessThan(66_000);
    const decompressor = new HeaderDecompressor();
    const before = process.memoryUsage().arrayBuffers;
    const error = refusal(() => decompressor.decompress(bomb));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
    expect(error).toMatchObject({ scope: 'session', status: 11 });
    expect(error.message).toContain('65540');
  });

  test('exactly the limit is inflated, one byte more is not', () => {
    const deflate = (length: number) => new HeaderCompressor().compress(new Uint8Array(length));
    const inflate = (length: number) =>
      new HeaderDecompressor({ headerBlockBytes: 9_996 }).decompress(deflate(length)).length;
    expect(inflate(10_000)).toBe(10_000);
    expect(refusal(() => inflate(10_001))).toMatchObject({ scope: 'session', status: 11 });
  });

  test('after a failure every block is refused: the state is lost', () => {
    const compressor = new HeaderCompressor();
    const decompressor = new HeaderDecompressor();
    const good = compressor.compress(BLOCKS[0] as Uint8Array);
    decompressor.decompress(good);
    const error = refusal(() => decompressor.decompress(Uint8Array.of(255, 255, 255)));
    expect(error).toMatchObject({ scope: 'session', code: 'ERR_KEYMUX_HEADER_COMPRESSION' });
    expect(refusal(() => decompressor.decompress(good))).toBe(error);
  });

  test('noise never does anything but fail', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (noise) => {
        const decompressor = new HeaderDecompressor();
        expect(refusal(() => decompressor.decompress(noise)).scope).toBe('session');
      }),
    );
  });

  test('a block that is cut anywhere is refused', () => {
    const block = new HeaderCompressor().compress(BLOCKS[5] as Uint8Array);
    for (let end = 1; end < block.length; end++) {
      expect(refusal(() => new HeaderDecompressor().decompress(block.subarray(0, end))).scope).toBe(
        'session',
      );
    }
  });
});

/** Bytes that do not compress, the same in every run. */
function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 0x9e37_79b9 ^ (seed + 1);
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state >>> 11;
  }
  return bytes;
}
