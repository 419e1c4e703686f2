import { decodeHeaderBlock, encodeHeaderBlock, FrameError, type HeaderList } from '@keymux/frames';
import fc from 'fast-check';
import { referenceHeaderBlock, referencePairs } from '../../support/reference-header-block.ts';
import { DAMAGE, damaged, must, mustEqual, refusal } from '../checks.ts';
import { target } from '../target.ts';

const ODD = ['', 'a', ':path', ':', '__proto__', 'constructor', 'A', 'a b', '\0', ' ', 'ä', 'content-length'];
const name = fc.oneof(
  { weight: 4, arbitrary: fc.stringMatching(/^:?[a-z0-9-]{1,12}$/) },
  { weight: 1, arbitrary: fc.constantFrom(...ODD) },
);
const value = fc.oneof(
  { weight: 4, arbitrary: fc.stringMatching(/^[!-~]{0,20}$/) },
  { weight: 2, arbitrary: fc.stringMatching(/^[ -~\0\r\n\t\xe4]{0,12}$/) },
  { weight: 1, arbitrary: fc.nat(70_000).map((length) => 'x'.repeat(length)) },
);
const pairs = fc.oneof(
  { weight: 6, arbitrary: fc.array(fc.tuple(name, value), { maxLength: 6 }) },
  { weight: 1, arbitrary: fc.array(fc.tuple(name, value), { minLength: 95, maxLength: 110 }) },
);

/** A header block means what the naive reader says, or is refused by both; what was read is written as it was. */
export const headerBlock = target<{ block: Uint8Array }>({
  name: 'header-block',
  cases: fc
    .tuple(pairs, fc.array(DAMAGE, { maxLength: 2 }))
    .map(([list, damage]) => ({ block: damaged(referencePairs(list), damage) })),
  check: ({ block }) => {
    const expected = referenceHeaderBlock(block);
    let headers: HeaderList = [];
    const error = refusal(() => {
      headers = decodeHeaderBlock(block);
    });
    mustEqual(error === undefined ? headers : 'refused', expected ?? 'refused', 'headers');
    if (error !== undefined) {
      must(error instanceof FrameError && error.scope === 'stream', 'the refusal is of the stream');
      must(error instanceof FrameError && [1, 11].includes(error.status), 'the status is one of spec 1.3');
      return;
    }
    mustEqual(
      Buffer.from(encodeHeaderBlock(headers)).toString('hex'),
      Buffer.from(block).toString('hex'),
      'written again',
    );
  },
  runs: 1_000,
});
