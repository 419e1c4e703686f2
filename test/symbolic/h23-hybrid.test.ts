import { expect, it } from 'vitest';
import { hybrid } from './algorithms/hybrid.ts';
import { pskX25519 } from './algorithms/psk-x25519.ts';
import { ephemeral, hosts, LONG_TERM } from './parties.ts';
import { search } from './search.ts';

const SETUP = hosts(hybrid);
const { sharedKey } = LONG_TERM;
const X25519 = ['exponent'];
const KEM = ['decapsulationKey', 'randomness'];

it('H23: hybrid: with the shared key stolen later, X25519 broken or the KEM broken gives nothing', () => {
  for (const broken of [X25519, KEM]) {
    const leakedLater = [sharedKey, ...ephemeral(SETUP, ...broken)];
    expect(search({ ...SETUP, leakedLater }).findings).toEqual([]);
  }
});

it('H23: hybrid: both broken give nothing without the shared key, and everything with it', () => {
  const both = ephemeral(SETUP, ...X25519, ...KEM);
  expect(search({ ...SETUP, leakedLater: both }).findings).toEqual([]);
  expect(search({ ...SETUP, leakedLater: [sharedKey, ...both] }).findings).toEqual(['leak']);
});

it('H23: psk-x25519 has nothing left when X25519 is broken and the shared key stolen', () => {
  const setup = hosts(pskX25519);
  const leakedLater = [sharedKey, ...ephemeral(setup, ...X25519)];
  expect(search({ ...setup, leakedLater }).findings).toEqual(['leak']);
});
