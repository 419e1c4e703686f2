import { expect, it } from 'vitest';
import { hybrid } from './algorithms/hybrid.ts';
import { psk } from './algorithms/psk.ts';
import { pskX25519 } from './algorithms/psk-x25519.ts';
import { signed } from './algorithms/signed.ts';
import { spiped } from './algorithms/spiped.ts';
import { bothRoles, LONG_TERM } from './parties.ts';
import { search } from './search.ts';

it('H10: psk: who learns the shared key after the runs has their keys', () => {
  expect(search({ ...bothRoles(psk), leakedLater: [LONG_TERM.sharedKey] }).findings).toEqual(['leak']);
});

for (const algorithm of [spiped, pskX25519, hybrid, signed]) {
  it(`H10: ${algorithm.name}: who learns all long-term keys after the runs has none of their keys`, () => {
    const { findings, commitments } = search({
      ...bothRoles(algorithm),
      leakedLater: Object.values(LONG_TERM),
    });
    expect(findings).toEqual([]);
    expect(commitments).toBeGreaterThan(1);
  });
}
