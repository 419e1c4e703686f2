import { constants, deflateRawSync, deflateSync, inflateSync } from 'node:zlib';
import { compressionDictionary, FrameError, HeaderDecompressor } from '@keymux/frames';
import fc from 'fast-check';
import { referencePairs } from '../../support/reference-header-block.ts';
import { DAMAGE, type Damage, damaged, must, mustEqual, pick, refusal } from '../checks.ts';
import { target } from '../target.ts';

interface Case {
  /** Header blocks in order, as one side sends them. */
  readonly blocks: readonly Uint8Array[];
  readonly level: number;
  readonly windowBits: number;
  readonly strategy: number;
  readonly dictionary: boolean;
  /** What happens to which block on its way. */
  readonly block: number;
  readonly damage: readonly Damage[];
}

const LEVELS = [0, 1, 6, 9];
const MOST = 65_540;

const text = fc.oneof(
  { weight: 5, arbitrary: fc.stringMatching(/^[a-z :/]{0,40}$/) },
  { weight: 1, arbitrary: fc.integer({ min: 1000, max: 90_000 }).map((length) => 'ab'.repeat(length)) },
);
const block = fc
  .array(fc.tuple(text, text), { maxLength: 4 })
  .map((pairs) => new Uint8Array(referencePairs(pairs)));

/** Whatever is inflated is what zlib itself inflates, and never more than the limit; everything else ends the session. */
export const inflate = target<Case>({
  name: 'inflate',
  cases: fc.record({
    blocks: fc.array(block, { minLength: 1, maxLength: 4 }),
    level: fc.nat(LEVELS.length - 1),
    windowBits: fc.integer({ min: 9, max: 15 }),
    strategy: fc.nat(4),
    dictionary: fc.boolean(),
    block: fc.nat(3),
    damage: fc.oneof(fc.constant([]), fc.array(DAMAGE, { minLength: 1, maxLength: 2 })),
  }),
  check: (input) => {
    const { block, damage } = input;
    const sent = compressed(input);
    const hit = Math.abs(block) % sent.length;
    const arrived = sent.map((bytes, index) => (index === hit ? damaged(bytes, damage) : bytes));
    const decompressor = new HeaderDecompressor();
    let before = Buffer.alloc(0);
    for (const [index, bytes] of arrived.entries()) {
      let inflated: Uint8Array = new Uint8Array(0);
      const error = refusal(() => {
        inflated = decompressor.decompress(bytes);
      });
      if (error !== undefined) {
        must(error instanceof FrameError && error.scope === 'session', 'the refusal is of the session');
        const fits = (input.blocks[index]?.length ?? 0) <= MOST;
        must(!fits || (damage.length > 0 && index >= hit), `a sound block is refused: ${error.message}`);
        mustEqual(
          refusal(() => decompressor.decompress(bytes)) === error,
          true,
          'every later call says the same',
        );
        return;
      }
      must(inflated.length <= MOST, `${inflated.length} bytes come out`);
      if (bytes.length === 0) {
        // It never was a part of the stream (spec 1.3).
        mustEqual([...inflated], [0, 0, 0, 0], 'no bytes are no pairs');
        continue;
      }
      const whole = inflateSync(Buffer.concat(arrived.slice(0, index + 1)), {
        dictionary: compressionDictionary(),
        finishFlush: constants.Z_SYNC_FLUSH,
      });
      mustEqual(
        Buffer.from(inflated).equals(whole.subarray(before.length)),
        true,
        'it is what zlib inflates',
      );
      before = whole;
    }
  },
  runs: 150,
});

/** The blocks as one zlib stream with a flush after each, as a peer with other settings makes it. */
function compressed({ blocks, level, windowBits, strategy, dictionary }: Case): Buffer[] {
  const options = {
    level: pick(LEVELS, level) as number,
    windowBits: 9 + (Math.abs(windowBits) % 7),
    strategy: Math.abs(strategy) % 5,
    ...(dictionary ? { dictionary: compressionDictionary() } : {}),
    finishFlush: constants.Z_SYNC_FLUSH,
  };
  const pieces: Buffer[] = [];
  let history = dictionary ? Buffer.from(compressionDictionary()) : Buffer.alloc(0);
  for (const bytes of blocks) {
    // After a flush a stream goes on like a raw one whose dictionary is what went before.
    const further = history.length === 0 ? {} : { dictionary: history.subarray(-32_768) };
    pieces.push(
      pieces.length === 0 ? deflateSync(bytes, options) : deflateRawSync(bytes, { ...options, ...further }),
    );
    history = Buffer.concat([history, bytes]);
  }
  return pieces;
}
