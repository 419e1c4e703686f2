import { describe, expect, it } from 'vitest';
import { signed } from './algorithms/signed.ts';
import { bothRoles, bothRolesByName, fixedRoles } from './parties.ts';
import { without } from './rules.ts';
import { search } from './search.ts';
import { SHARED_KEY_ALGORITHMS } from './shared-key-algorithms.ts';

for (const algorithm of SHARED_KEY_ALGORITHMS) {
  describe(algorithm.name, () => {
    it('C9: an agent in both roles is connected to itself, if it does not know its own values', () => {
      expect(search(bothRoles(algorithm, { rules: without('ownValues') })).findings).toContain('selfie');
      expect(search(bothRoles(algorithm)).findings).toEqual([]);
    });

    it('C9: a client that also answers runs is reflected to itself, if nothing says which side began', () => {
      const rules = without('ownValues', 'initiator');
      expect(search(fixedRoles(algorithm, { rules })).findings).toContain('selfie');
      // Either rule is enough here: two keepers that do not know of each other are safe as long as their roles are fixed.
      expect(search(fixedRoles(algorithm, { rules: without('ownValues') })).findings).toEqual([]);
      expect(search(fixedRoles(algorithm, { rules: without('initiator') })).findings).toEqual([]);
    });

    it('C9: with names of hosts in the offer, nobody answers what he asked another one', () => {
      expect(search(bothRolesByName(algorithm, { rules: without('ownValues') })).findings).toEqual([]);
    });
  });
}

it('C9: signed: identities keep an agent from taking itself for another one', () => {
  expect(search(bothRoles(signed, { rules: without('ownValues', 'initiator') })).findings).toEqual([]);
});
