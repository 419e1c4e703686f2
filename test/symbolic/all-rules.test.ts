import { describe, expect, it } from 'vitest';
import { signed } from './algorithms/signed.ts';
import { bothRoles, bothRolesByName, dealtKey, fixedRoles, hosts, withPast } from './parties.ts';
import { search } from './search.ts';
import { SHARED_KEY_ALGORITHMS } from './shared-key-algorithms.ts';

// Two sessions for each role, a dishonest host with keys of its own, every message of theirs or the attacker's in every place.
for (const algorithm of [...SHARED_KEY_ALGORITHMS, signed]) {
  describe(`${algorithm.name}, with all rules`, () => {
    for (const setup of [bothRoles, bothRolesByName, fixedRoles, hosts, withPast]) {
      it(`C5, C6, C8, C9, C10: ${setup.name}: nothing is found`, () => {
        const { findings, traces, commitments } = search(setup(algorithm));
        expect(findings, JSON.stringify([...traces])).toEqual([]);
        expect(commitments).toBeGreaterThan(1); // sessions do get to the end
      });
    }
  });
}

it('C6: dealtKey: nothing is found', () => {
  for (const algorithm of SHARED_KEY_ALGORITHMS) expect(search(dealtKey(algorithm)).findings).toEqual([]);
});
