import { expect, it } from 'vitest';
import { Knowledge } from './knowledge.ts';
import {
  apply,
  atom,
  ciphertext,
  constant,
  decapsulate,
  encapsulated,
  encapsulationKey,
  power,
  publicKey,
  raise,
  sealed,
  signature,
  tuple,
} from './terms.ts';

const [a, b, c] = [atom('a'), atom('b'), atom('c')];

it('takes tuples, signatures and envelopes with known keys apart, and no function', () => {
  const knowledge = new Knowledge([tuple(a, signature(c, b)), apply('hash', c)]);
  expect([a, b, c].map((term) => knowledge.derives(term))).toEqual([true, true, false]);
  expect(knowledge.derives(apply('hash', c))).toBe(true);
  expect(knowledge.derives(apply('hmac', a, b))).toBe(true);
  expect(knowledge.derives(apply('hmac', a, c))).toBe(false);
});

it('opens an envelope when the key comes after it, also from another envelope', () => {
  const knowledge = new Knowledge([sealed(a, constant('head'), b), sealed(b, constant('head'), c)]);
  expect(knowledge.derives(c)).toBe(false);
  expect(knowledge.with(a).derives(c)).toBe(true);
  expect(knowledge.derives(c)).toBe(false);
});

it('makes g^ab from a and g^b or from b and g^a, and not from g^a and g^b', () => {
  expect(raise(power(a), b)).toBe(raise(power(b), a));
  expect(new Knowledge([power(a), power(b)]).derives(power(a, b))).toBe(false);
  expect(new Knowledge([a, power(b)]).derives(power(a, b))).toBe(true);
  expect(new Knowledge([power(a), b]).derives(power(a, b))).toBe(true);
});

it('does not make signatures without the private key', () => {
  const knowledge = new Knowledge([publicKey(a), signature(a, b)]);
  expect(knowledge.derives(signature(a, b))).toBe(true);
  expect(knowledge.derives(signature(a, publicKey(a)))).toBe(false);
});

it('gets the secret of a KEM with the decapsulation key or the randomness only', () => {
  const [key, wrong] = [encapsulationKey(a), encapsulationKey(c)];
  const seen = new Knowledge([key, ciphertext(key, b)]);
  expect(seen.derives(encapsulated(key, b))).toBe(false);
  expect(seen.with(a).derives(encapsulated(key, b))).toBe(true);
  expect(seen.with(b).derives(encapsulated(key, b))).toBe(true);
  expect(decapsulate(a, ciphertext(key, b))).toBe(encapsulated(key, b));
  expect(seen.with(b, c).derives(decapsulate(a, ciphertext(wrong, b)))).toBe(false);
});
