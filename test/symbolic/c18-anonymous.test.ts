import { expect, it } from 'vitest';
import { anonymous } from './algorithms/anonymous.ts';
import { ephemeral, hosts } from './parties.ts';
import { search } from './search.ts';

const SETUP = { ...hosts(anonymous), anonymous: true };

it('C18: anonymous: who only listens gets no key', () => {
  const { findings, commitments } = search({ ...SETUP, passive: true });
  expect(findings).toEqual([]);
  expect(commitments).toBeGreaterThan(1);
});

it('C18: anonymous: who is in the middle gets the keys of both sides, so the level is passive and no more', () => {
  expect(search(SETUP).findings).toContain('leak');
});

it('C18: anonymous: who only listens gets the keys with an exponent', () => {
  expect(search({ ...SETUP, passive: true, leakedLater: ephemeral(SETUP, 'exponent') }).findings).toContain(
    'leak',
  );
});
