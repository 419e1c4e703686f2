import fc from 'fast-check';
import { describe, test } from 'vitest';
import { readCases } from './cases.ts';
import { TARGETS } from './targets.ts';

// The short run: every case that has failed once, and some new ones. A failure says its seed; `npm run fuzz` searches longer.

describe.each(TARGETS)('$name', ({ name, cases, check, runs }) => {
  for (const { file, input } of readCases(name)) test(`${file} holds`, async () => check(input));

  test('holds for any case', async () => {
    const property = fc.asyncProperty(cases, async (input) => check(input));
    await fc.assert(property, { numRuns: runs, includeErrorInReport: true });
  });
});
