import { expect, it } from 'vitest';
import { signed } from './algorithms/signed.ts';
import { bothRoles, hosts, LONG_TERM, leaking } from './parties.ts';
import { search } from './search.ts';
import { SHARED_KEY_ALGORITHMS } from './shared-key-algorithms.ts';

for (const algorithm of SHARED_KEY_ALGORITHMS) {
  it(`H11: ${algorithm.name}: who stole A's key is B towards A`, () => {
    const until = ['impersonation', 'leak'] as const;
    const setup = leaking(hosts(algorithm), LONG_TERM.sharedKey);
    expect(search({ ...setup, protects: ['A'], until }).findings).toEqual(expect.arrayContaining([...until]));
  });
}

it("H11: signed: who stole A's key is nobody towards A", () => {
  for (const setup of [hosts(signed), bothRoles(signed)]) {
    const { findings, commitments } = search({ ...leaking(setup, LONG_TERM.privateKeyOfA), protects: ['A'] });
    expect(findings).toEqual([]);
    expect(commitments).toBeGreaterThan(1);
  }
});

it("H11: signed: who stole B's key is B towards A", () => {
  const { findings } = search({ ...leaking(hosts(signed), LONG_TERM.privateKeyOfB), protects: ['A'] });
  expect(findings).toContain('impersonation');
});
