import fc from 'fast-check';
import type { CoverageMap } from './coverage.ts';
import type { Finding } from './guided.ts';
import type { FuzzTarget } from './target.ts';

/** Makes cases from the target's description, as fast-check does, until `goOn` says otherwise. A failing one is shrunk. */
export async function fuzzBlindly(
  { cases, check }: FuzzTarget,
  coverage: CoverageMap,
  seed: number,
  goOn: () => boolean,
): Promise<Finding | undefined> {
  let more = true;
  const property = fc.asyncProperty(cases, async (input) => {
    more &&= goOn();
    await check(input);
  });
  for (let round = 0; more; round++) {
    const { failed, counterexample, errorInstance } = await fc.check(property, {
      numRuns: 100,
      seed: seed + round,
    });
    await coverage.take();
    if (failed) return { input: counterexample?.[0], error: errorInstance };
  }
  return undefined;
}
