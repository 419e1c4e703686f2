import { describe, expect, it } from 'vitest';
import { Ed25519Key, isEd25519Public, verifyEd25519 } from '../src/crypto.ts';
import { seeded } from './random.ts';
import { sharedVectors, unhex } from './shared-vectors.ts';

const wycheproof = sharedVectors<{
  testGroups: {
    publicKey: { pk: string };
    tests: { tcId: number; msg: string; sig: string; result: string }[];
  }[];
}>('ed25519_test.json');

const P = 2n ** 255n - 19n;

describe('Ed25519', () => {
  it.skipIf(!wycheproof)('H14: agrees with Wycheproof: 63 signatures that must be refused are', () => {
    let refused = 0;
    for (const { publicKey, tests } of wycheproof?.testGroups ?? []) {
      for (const { tcId, msg, sig, result } of tests) {
        const right = verifyEd25519(unhex(publicKey.pk), unhex(msg), unhex(sig));
        expect(right, `tcId ${tcId}`).toBe(result === 'valid');
        if (!right) refused++;
      }
    }
    expect(refused).toBe(63);
  });

  it('H14: takes no key of small order, and none that is not written canonically', () => {
    const small = [0n, 1n, P - 1n, ORDER_8, P - ORDER_8];
    const noncanonical = [P, P + 1n, P + 3n, P + 18n, 2n ** 255n - 1n];
    for (const y of [...small, ...noncanonical]) {
      for (const sign of [0, 0x80]) {
        const key = encode(y, sign);
        expect(isEd25519Public(key), `${y}`).toBe(false);
        expect(verifyEd25519(key, new Uint8Array(0), new Uint8Array(64))).toBe(false);
      }
    }
    expect(isEd25519Public(Ed25519Key.ofSeed(seeded('a')(32)).publicKey)).toBe(true);
    for (const length of [0, 31, 33]) expect(isEd25519Public(new Uint8Array(length).fill(9))).toBe(false);
  });

  it('refuses signatures of another length, and points that are not on the curve, without throwing', () => {
    const key = Ed25519Key.ofSeed(seeded('a')(32));
    const signature = key.sign(Uint8Array.of(1));
    expect(verifyEd25519(key.publicKey, Uint8Array.of(1), signature)).toBe(true);
    for (const length of [0, 63, 65]) {
      expect(verifyEd25519(key.publicKey, Uint8Array.of(1), new Uint8Array(length))).toBe(false);
    }
    expect(verifyEd25519(encode(2n, 0), Uint8Array.of(1), signature)).toBe(false);
  });
});

const ORDER_8 = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;

function encode(y: bigint, sign: number): Uint8Array {
  const bytes = Buffer.from(y.toString(16).padStart(64, '0'), 'hex').reverse();
  bytes[31] = (bytes[31] ?? 0) | sign;
  return bytes;
}
