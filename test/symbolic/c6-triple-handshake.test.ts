import { expect, it } from 'vitest';
import { dealtKey } from './parties.ts';
import { without } from './rules.ts';
import { search } from './search.ts';
import { SHARED_KEY_ALGORITHMS } from './shared-key-algorithms.ts';

for (const algorithm of SHARED_KEY_ALGORITHMS) {
  it(`C6: ${algorithm.name}: a dishonest host gives two sessions one secret, unless it covers label and authority`, () => {
    expect(search(dealtKey(algorithm, { rules: without('transcript') })).findings).toContain('misbinding');
    expect(search(dealtKey(algorithm)).findings).toEqual([]);
  });
}
