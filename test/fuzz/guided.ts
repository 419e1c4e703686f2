import fc from 'fast-check';
import type { CoverageMap } from './coverage.ts';
import { mutated } from './mutate.ts';
import { Random } from './random.ts';
import { shrink } from './shrink.ts';
import type { FuzzTarget } from './target.ts';

/** A case that failed, as small as it could be made. */
export interface Finding {
  readonly input: unknown;
  readonly error: unknown;
}

/** Milliseconds between two looks at the coverage, each of which takes as long as many cases. */
const BATCH = 250;
const FRESH = 100;
/** Blocks that one batch reaches first; if there are more, they are easy to reach. */
const RARE = 8;

/**
 * Changes cases that have reached code which none reached before, until `goOn` says otherwise; some are made anew, from the target's description.
 */
export async function fuzzGuided(
  { cases, check }: FuzzTarget,
  coverage: CoverageMap,
  seed: number,
  goOn: () => boolean,
): Promise<Finding | undefined> {
  const random = new Random(seed);
  const corpus: unknown[] = [];
  const supply = fresh(cases, seed);
  const failure = async (input: unknown): Promise<{ error: unknown } | undefined> => {
    try {
      await check(input);
      return undefined;
    } catch (error) {
      return { error };
    }
  };
  /** Looks at what was reached since the last look; if it is new, runs the cases again by halves, and keeps those that it is due to. */
  const keepNew = async (batch: readonly unknown[]): Promise<void> => {
    const before = coverage.size;
    const reached = await coverage.take();
    // At first everything is new, and to look for whom it is due to would take longer than to go on.
    if (reached === 0 || reached > RARE) return;
    if (batch.length === 1) {
      corpus.push(batch[0]);
      return;
    }
    coverage.forget(before);
    const middle = Math.ceil(batch.length / 2);
    for (const half of [batch.slice(0, middle), batch.slice(middle)]) {
      for (const input of half) await failure(input);
      await keepNew(half);
    }
  };
  await coverage.take();
  for (;;) {
    const batch: unknown[] = [];
    for (const begun = performance.now(); performance.now() - begun < BATCH; ) {
      if (!goOn()) return undefined;
      const input =
        corpus.length === 0 || random.below(3) === 0 ? supply.next().value : offspring(corpus, random);
      const failed = await failure(input);
      if (failed !== undefined) return shrink(input, failed.error, failure);
      batch.push(input);
    }
    await keepNew(batch);
  }
}

function* fresh(cases: fc.Arbitrary<unknown>, seed: number): Generator<unknown, never> {
  for (let round = 0; ; round++) yield* fc.sample(cases, { numRuns: FRESH, seed: seed + round });
}

/** A case of the corpus with a few changes; what came last is more likely to lead on. */
function offspring(corpus: readonly unknown[], random: Random): unknown {
  const recent = Math.max(0, corpus.length - 20);
  const at =
    random.below(2) === 0 ? random.below(corpus.length) : recent + random.below(corpus.length - recent);
  let input = corpus[at];
  for (let changes = 1 + random.below(4); changes > 0; changes--)
    input = mutated(input, random.of(corpus), random);
  return input;
}
