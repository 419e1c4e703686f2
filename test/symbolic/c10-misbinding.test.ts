import { describe, expect, it } from 'vitest';
import { signed } from './algorithms/signed.ts';
import { hosts } from './parties.ts';
import { type Rules, without } from './rules.ts';
import { search } from './search.ts';

/** What keeps an attacker from putting his own identity over somebody else's run. */
const DEFENCES = [
  'identityMac',
  'sealedProofs',
  'transcript',
  'signsPeer',
] as const satisfies readonly (keyof Rules)[];

const SUBSETS = Array.from({ length: 2 ** DEFENCES.length }, (_, bits) =>
  DEFENCES.filter((_defence, index) => bits & (1 << index)),
);

describe('signed', () => {
  it('C10: proofs in the clear, over public values alone: found without the identity MAC, not with it', () => {
    const bare = search(hosts(signed, { rules: without('sealedProofs', 'transcript', 'identityMac') }));
    expect(bare.findings).toContain('misbinding');
    const withMac = search(hosts(signed, { rules: without('sealedProofs', 'transcript') }));
    expect(withMac.findings).not.toContain('misbinding');
  });

  // Sealing the proofs, and a secret over the complete messages, each stop it too: the AEAD proves that its maker took part in the run, and
  // with another proof in F_3 the secret is another one.
  for (const missing of SUBSETS) {
    const vulnerable = ['identityMac', 'sealedProofs', 'transcript'].every((defence) =>
      missing.some((name) => name === defence),
    );
    it(`C10: without ${missing.join(', ') || 'nothing'}: ${vulnerable ? 'found' : 'not found'}`, () => {
      const { findings } = search(hosts(signed, { rules: without(...missing) }));
      expect(findings.includes('misbinding')).toBe(vulnerable);
    });
  }

  it('C10: nothing is found with everything in', () => {
    expect(search(hosts(signed)).findings).toEqual([]);
  });
});
