import { constants, createDeflate, createInflate } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  compressionDictionary,
  encodeControl,
  encodeDataHead,
  encodeHeaderBlock,
  encodeSealedHead,
  FrameDecoder,
  HeaderCompressor,
  HeaderDecompressor,
  type Item,
  StateReader,
  StateWriter,
} from '../src/index.ts';
import { hex, refusal, through } from './support.ts';

const dictionary = Buffer.from(compressionDictionary());

interface Saved {
  save(writer: StateWriter): void;
  load(reader: StateReader): void;
}

/** `to` goes on where `from` stands. */
function move<T extends Saved>(from: T, to: T): T {
  const writer = new StateWriter();
  from.save(writer);
  const blob = writer.finish();
  const reader = new StateReader(blob);
  to.load(reader);
  reader.end();
  blob.fill(0);
  return to;
}

/** Header blocks that have much in common, at any distance, and whether the state moves before each. */
const conversation = fc.array(
  fc.record({
    moved: fc.boolean(),
    path: fc.string({ maxLength: 40 }),
    bulk: fc.oneof(fc.nat(100), fc.nat(3_000)),
    from: fc.nat(200),
  }),
  { minLength: 1, maxLength: 40 },
);
type Conversation = typeof conversation extends fc.Arbitrary<infer T> ? T : never;

/** A text in which nothing repeats soon, so that what repeats later is far away. */
const LONG = Array.from({ length: 8_000 }, (_, i) => (i * 2_654_435_761 + i * i * 40_503).toString(36)).join(
  '',
);

function blockOf({ path, bulk, from }: Conversation[number]): Uint8Array {
  return encodeHeaderBlock([
    [':method', 'GET'],
    [':path', `/${Buffer.from(path).toString('hex')}`],
    [':host', 'example.com'],
    ['x-bulk', `x${LONG.slice(from * 100, from * 100 + bulk)}`],
  ]);
}

describe('compressed header blocks go on after a hand-over, and the peer notices nothing', () => {
  test('what we compress, one zlib stream inflates', async () => {
    await fc.assert(
      fc.asyncProperty(conversation, async (blocks) => {
        let compressor = new HeaderCompressor();
        const inflate = createInflate({ dictionary });
        for (const step of blocks) {
          if (step.moved) compressor = move(compressor, new HeaderCompressor());
          const block = blockOf(step);
          expect(await through(inflate, compressor.compress(block))).toBe(hex(block));
        }
      }),
      { numRuns: 40 },
    );
  });

  test.each([9, 10, 11, 13, 15])(
    'what one zlib stream with window 2^%d compresses, we inflate',
    async (windowBits) => {
      await fc.assert(
        fc.asyncProperty(conversation, async (blocks) => {
          let decompressor = new HeaderDecompressor();
          const deflate = createDeflate({ dictionary, windowBits, flush: constants.Z_SYNC_FLUSH });
          for (const step of blocks) {
            if (step.moved) decompressor = move(decompressor, new HeaderDecompressor());
            const block = blockOf(step);
            const compressed = Buffer.from(await through(deflate, block), 'hex');
            expect(hex(decompressor.decompress(compressed))).toBe(hex(block));
          }
        }),
        { numRuns: 20 },
      );
    },
  );

  test('nothing is compressed worse than without', () => {
    fc.assert(
      fc.property(conversation, (blocks) => {
        let moved = new HeaderCompressor();
        const stayed = new HeaderCompressor();
        for (const step of blocks) {
          if (step.moved) moved = move(moved, new HeaderCompressor());
          const [a, b] = [moved, stayed].map((one) => one.compress(blockOf(step)).length) as [number, number];
          expect(a).toBeLessThanOrEqual(b + 8);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('both ends, moved before every block', () => {
    let compressor = new HeaderCompressor();
    let decompressor = new HeaderDecompressor();
    for (let i = 0; i < 100; i++) {
      const block = blockOf({ moved: false, path: `${i}`, bulk: (i * 97) % 900, from: i });
      expect(hex(decompressor.decompress(compressor.compress(block)))).toBe(hex(block));
      compressor = move(compressor, new HeaderCompressor());
      decompressor = move(decompressor, new HeaderDecompressor());
    }
  });

  test.each([
    ['a window of 2^7 bytes', [1, 7, 0, 0, 0, 0]],
    ['a window of 2^16 bytes', [1, 16, 0, 0, 0, 0]],
    ['more than a window', [1, 8, 0, 0, 1, 1, ...new Array(257).fill(7)]],
  ])('%s is refused', (_name, bytes) => {
    for (const part of [new HeaderCompressor(), new HeaderDecompressor()]) {
      const error = refusal(() => part.load(new StateReader(Uint8Array.from(bytes))));
      expect(error.code).toBe('ERR_KEYMUX_HAND_OVER');
    }
  });
});

const FRAMES: Uint8Array[] = [
  encodeControl({ type: 'ping', id: 1 }),
  Buffer.concat([encodeDataHead(3, false, 5), Buffer.from('hello')]),
  Buffer.concat([encodeDataHead(3, true, 0)]),
  Buffer.concat([encodeSealedHead(1, 0, 40), Buffer.alloc(40, 7)]),
  encodeControl({ type: 'goaway', lastGoodId: 7, status: 0 }),
  Buffer.concat([encodeDataHead(5, true, 3_000), Buffer.alloc(3_000, 9)]),
  Buffer.concat([encodeSealedHead(3, 1, 3_000), Buffer.alloc(3_000, 8)]),
];

describe('decoders', () => {
  test('go on inside any frame, with what was pushed and not handed out', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(FRAMES.length - 1), { minLength: 1, maxLength: 12 }),
        fc.array(
          fc.record({ size: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.nat(4_000)), taken: fc.nat(4) }),
          {
            minLength: 1,
            maxLength: 60,
          },
        ),
        (frames, cuts) => {
          const bytes = Uint8Array.from(Buffer.concat(frames.map((index) => FRAMES[index] as Uint8Array)));
          const stayed = new FrameDecoder({ place: 'outside', sealed: true });
          let moved = new FrameDecoder({ place: 'outside', sealed: true });
          const seen: Record<'stayed' | 'moved', string[]> = { stayed: [], moved: [] };
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const { size, taken } = cuts[i % cuts.length] as { size: number; taken: number };
            // Small pieces of much take long; after some the rest goes at once.
            const chunk = i < 60 ? bytes.slice(at, at + Math.max(1, size)) : bytes.slice(at);
            at += chunk.length;
            stayed.push(chunk);
            moved.push(chunk);
            for (let n = 0; n < taken; n++) {
              note(seen.stayed, stayed.next());
              note(seen.moved, moved.next());
            }
            expect(moved.midFrame).toBe(stayed.midFrame);
            moved = move(moved, new FrameDecoder({ place: 'outside', sealed: true }));
          }
          for (let item = stayed.next(); item; item = stayed.next()) note(seen.stayed, item);
          for (let item = moved.next(); item; item = moved.next()) note(seen.moved, item);
          expect(seen.moved).toEqual(seen.stayed);
          expect(moved.midFrame).toBe(false);
        },
      ),
      { numRuns: 100 },
    );
  });

  test.each([
    ['a control frame that goes on', [1, 0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0]],
    ['more payload than the frame has', [1, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 0]],
    ['a frame that is over', [1, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0]],
  ])('%s is refused', (_name, bytes) => {
    const decoder = new FrameDecoder({ place: 'outside' });
    const error = refusal(() => decoder.load(new StateReader(Uint8Array.from(bytes))));
    expect(error.code).toBe('ERR_KEYMUX_HAND_OVER');
  });
});

/** Takes an item down; pieces of payload are joined, as it may be cut elsewhere. */
function note(seen: string[], item: Item | undefined): void {
  if (item === undefined) return;
  if (item.kind === 'control') seen.push(`control ${hex(item.bytes)}`);
  else if (item.kind === 'sealed') seen.push(`sealed ${hex(item.head)} ${hex(item.body)}`);
  else {
    const head = item.head ? `data ${item.streamId} ${item.length} ${hex(item.head)} ` : (seen.pop() ?? '');
    seen.push(`${head}${hex(item.payload)}${item.last ? ` fin ${item.fin}` : ''}`);
  }
}
