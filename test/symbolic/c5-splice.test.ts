import { expect, it } from 'vitest';
import { signed } from './algorithms/signed.ts';
import { withPast } from './parties.ts';
import { without } from './rules.ts';
import { search } from './search.ts';
import { SHARED_KEY_ALGORITHMS } from './shared-key-algorithms.ts';

for (const algorithm of [...SHARED_KEY_ALGORITHMS, signed]) {
  it(`C5: ${algorithm.name}: a run is spliced into a session that the attacker began, unless its keys depend on what came before`, () => {
    expect(search(withPast(algorithm, { rules: without('digests') })).findings).toEqual(['disagreement']);
    expect(search(withPast(algorithm)).findings).toEqual([]);
  });
}
