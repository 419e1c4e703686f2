import { createHash } from 'node:crypto';
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import { describe, expect, it } from 'vitest';
import { NATIVE } from '../src/crypto/ml-kem.ts';
import { isMlKemPublic, loadMlKem, type MlKem, X25519Key } from '../src/crypto.ts';
import { seeded } from './random.ts';
import { hex, sharedVectors, unhex } from './shared-vectors.ts';

type Vector<Field extends string> = Record<Field, string> & { tcId: number };
const acvp = sharedVectors<{
  keyGen: Vector<'d' | 'z' | 'ek' | 'dk'>[];
  encapsulation: Vector<'ek' | 'm' | 'c' | 'k'>[];
  decapsulation: Vector<'dk' | 'c' | 'k'>[];
  encapsulationKeyCheck: (Vector<'ek'> & { testPassed: boolean })[];
  decapsulationKeyCheck: (Vector<'dk' | 'ek'> & { testPassed: boolean })[];
}>('mlkem768-acvp-small.json');
type Groups<Field extends string> = { tests: (Vector<Field> & { result: 'valid' | 'invalid' })[] }[];
const wycheproof = sharedVectors<{
  mlkem_768: Groups<'seed' | 'ek' | 'c' | 'K'>;
  encaps: Groups<'m' | 'ek' | 'c' | 'K'>;
  semi_expanded_decaps: Groups<'dk' | 'c' | 'K'>;
}>('mlkem768-wycheproof-small.json');
const hybrids = sharedVectors<Record<'seed' | 'randomness' | 'pk' | 'ct' | 'ss', string>[]>(
  'hybrid-MLKEM768X25519.json',
);

/** ML-KEM that draws this and nothing else. */
const drawing = (random: string | Uint8Array): Promise<MlKem> =>
  loadMlKem(() => (typeof random === 'string' ? unhex(random) : random.slice()));

describe('ML-KEM-768', () => {
  it.skipIf(!acvp)('makes the keys of ACVP', async () => {
    for (const { tcId, d, z, ek } of acvp?.keyGen ?? []) {
      expect(hex((await drawing(d + z)).generate().publicValue).toUpperCase(), `tcId ${tcId}`).toBe(ek);
    }
  });

  it.skipIf(!acvp)('encapsulates like ACVP', async () => {
    for (const { tcId, ek, m, c, k } of acvp?.encapsulation ?? []) {
      const { ciphertext, secret } = (await drawing(m)).encapsulate(unhex(ek));
      expect([hex(ciphertext), hex(secret)], `tcId ${tcId}`).toEqual([c.toLowerCase(), k.toLowerCase()]);
    }
  });

  it.skipIf(!wycheproof)('agrees with Wycheproof from seed to secret', async () => {
    for (const { tcId, seed, ek, c, K, result } of tests(wycheproof?.mlkem_768)) {
      if (result !== 'valid') continue; // seeds of other lengths: ours is always drawn
      const key = (await drawing(seed)).generate();
      expect(hex(key.publicValue), `tcId ${tcId}`).toBe(ek);
      expect(hex(key.decapsulate(unhex(c))), `tcId ${tcId}`).toBe(K);
    }
  });

  it.skipIf(!wycheproof)(
    'H23: encapsulates to keys that Wycheproof calls valid, and to no others',
    async () => {
      for (const { tcId, m, ek, c, K, result } of tests(wycheproof?.encaps)) {
        expect(isMlKemPublic(unhex(ek)), `tcId ${tcId}`).toBe(result === 'valid');
        const kem = await drawing(m);
        if (result === 'valid') {
          const { ciphertext, secret } = kem.encapsulate(unhex(ek));
          expect([hex(ciphertext), hex(secret)], `tcId ${tcId}`).toEqual([c, K]);
        } else {
          expect(() => kem.encapsulate(unhex(ek)), `tcId ${tcId}`).toThrow(RangeError);
          expect(() => NATIVE?.encapsulate(unhex(ek)) ?? refuse(), `tcId ${tcId}`).toThrow(RangeError);
        }
      }
    },
  );

  it.skipIf(!acvp)('H23: judges keys like ACVP', () => {
    for (const { tcId, ek, testPassed } of acvp?.encapsulationKeyCheck ?? []) {
      expect(isMlKemPublic(unhex(ek)), `tcId ${tcId}`).toBe(testPassed);
    }
  });

  it('H23: judges the first and the last number of a key, and its length', async () => {
    const { publicValue } = (await loadMlKem()).generate();
    expect(isMlKemPublic(publicValue)).toBe(true);
    for (const length of [0, 1183, 1185]) expect(isMlKemPublic(new Uint8Array(length))).toBe(false);
    for (const [offset, low, high] of [
      [0, [0x00, 0x0d], [0x01, 0x0d]], // 3328 and 3329 in the lower 12 bits of three bytes
      [1150, [0x00, 0xd0], [0x10, 0xd0]], // and in the upper 12
    ] as const) {
      const key = publicValue.slice();
      key.set(low, offset);
      expect(isMlKemPublic(key)).toBe(true);
      key.set(high, offset);
      expect(isMlKemPublic(key)).toBe(false);
    }
  });

  // We never import a decapsulation key, so these are for what the wrapper stands on.
  it.skipIf(!acvp || !wycheproof)('H23: rests on a library that decapsulates as it should', () => {
    for (const { tcId, dk, c, k } of acvp?.decapsulation ?? []) {
      expect(hex(ml_kem768.decapsulate(unhex(c), unhex(dk))), `tcId ${tcId}`).toBe(k.toLowerCase());
    }
    for (const { tcId, dk, c, K, result } of tests(wycheproof?.semi_expanded_decaps)) {
      const decapsulate = () => hex(ml_kem768.decapsulate(unhex(c), unhex(dk)));
      if (result === 'valid') expect(decapsulate(), `tcId ${tcId}`).toBe(K);
      else expect(decapsulate, `tcId ${tcId}`).toThrow();
    }
    for (const { tcId, dk, ek, testPassed } of acvp?.decapsulationKeyCheck ?? []) {
      const { cipherText } = ml_kem768.encapsulate(unhex(ek));
      const decapsulate = () => ml_kem768.decapsulate(cipherText, unhex(dk));
      if (testPassed) expect(decapsulate(), `tcId ${tcId}`).toHaveLength(32);
      else expect(decapsulate, `tcId ${tcId}`).toThrow();
    }
  });

  it.skipIf(!hybrids)('and X25519 are the parts of a published hybrid', async () => {
    for (const { seed, randomness, pk, ct, ss } of hybrids ?? []) {
      const expanded = createHash('shake256', { outputLength: 96 }).update(unhex(seed)).digest();
      const lattice = (await drawing(expanded.subarray(0, 64))).generate();
      const curve = X25519Key.of(expanded.subarray(64));
      expect(hex(lattice.publicValue) + hex(curve.publicValue)).toBe(pk);

      const sender = X25519Key.of(unhex(randomness).subarray(32));
      const sent = (await drawing(unhex(randomness).subarray(0, 32))).encapsulate(lattice.publicValue);
      expect(hex(sent.ciphertext) + hex(sender.publicValue)).toBe(ct);
      const combined = (lattices: Uint8Array, curves: Uint8Array | undefined) =>
        createHash('sha3-256')
          .update(lattices)
          .update(curves ?? '')
          .update(sender.publicValue)
          .update(curve.publicValue)
          .update('\\.//^\\')
          .digest('hex');
      expect(combined(sent.secret, sender.agree(curve.publicValue))).toBe(ss);
      expect(combined(lattice.decapsulate(sent.ciphertext), curve.agree(sender.publicValue))).toBe(ss);
    }
  });

  const kinds = [
    ['of @noble/post-quantum', () => loadMlKem(seeded('kem'))],
    ['as loaded', () => loadMlKem()],
  ] as const;
  for (const [name, load] of kinds) {
    it(`${name} gives both sides the same secret, and another to who changes the ciphertext`, async () => {
      const kem = await load();
      const key = kem.generate();
      expect(key.publicValue).toHaveLength(1184);
      const { ciphertext, secret } = kem.encapsulate(key.publicValue);
      expect(ciphertext).toHaveLength(1088);
      expect(secret).toHaveLength(32);
      expect(hex(key.decapsulate(ciphertext))).toBe(hex(secret));
      const changed = Uint8Array.from(ciphertext);
      changed[0] = (changed[0] ?? 0) ^ 1;
      const rejected = hex(key.decapsulate(changed));
      expect(rejected).not.toBe(hex(secret));
      expect(rejected).toBe(hex(key.decapsulate(changed)));
      expect(hex(kem.encapsulate(key.publicValue).secret)).not.toBe(hex(secret));
      expect(hex(kem.generate().publicValue)).not.toBe(hex(key.publicValue));
    });
  }

  it.skipIf(NATIVE === undefined)('of node:crypto and of the library understand each other', async () => {
    const library = await loadMlKem(seeded('kem'));
    for (const [one, other] of [
      [NATIVE as MlKem, library],
      [library, NATIVE as MlKem],
    ] as const) {
      const key = one.generate();
      const { ciphertext, secret } = other.encapsulate(key.publicValue);
      expect(hex(key.decapsulate(ciphertext))).toBe(hex(secret));
    }
  });
});

function tests<Field extends string>(groups: Groups<Field> | undefined) {
  return groups?.flatMap((group) => group.tests) ?? [];
}

function refuse(): never {
  throw new RangeError('there is no native ML-KEM to ask');
}
