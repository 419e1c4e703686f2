import { execFile } from 'node:child_process';
import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { agreeX25519 } from '../src/algorithms/x25519-agreement.ts';
import { X25519Key } from '../src/crypto.ts';
import { hex, sharedVectors, unhex } from './shared-vectors.ts';

type Test = Record<'public' | 'private' | 'shared' | 'comment', string> & { tcId: number; flags: string[] };
const vectors = sharedVectors<{ testGroups: { tests: Test[] }[] }>('x25519_test.json');
const tests = vectors?.testGroups.flatMap((group) => group.tests) ?? [];
const zero = '00'.repeat(32);
/** As built: the process has nothing of the test's. */
const CRYPTO = new URL('../dist/crypto.js', import.meta.url).href;
const MAKER = `
const { X25519Key } = await import('${CRYPTO}');
for (let made = 0; made < 12_000; made++) X25519Key.generate();
`;

describe('X25519', () => {
  it.skipIf(!vectors)('agrees with Wycheproof, but for secrets that are zero', () => {
    const others = tests.filter(({ shared }) => shared !== zero);
    for (const { tcId, private: secret, public: peer, shared } of others) {
      const agreed = X25519Key.of(unhex(secret)).agree(unhex(peer));
      expect(agreed && hex(agreed), `tcId ${tcId}`).toBe(shared);
    }
    expect(others).toHaveLength(487);
  });

  it.skipIf(!vectors)('H5: refuses every public value of small order', () => {
    const refused = tests.filter(({ shared }) => shared === zero);
    for (const { tcId, flags, private: secret, public: peer } of refused) {
      expect(flags).toContain('ZeroSharedSecret');
      const key = X25519Key.of(unhex(secret));
      expect(key.agree(unhex(peer)), `tcId ${tcId}`).toBeUndefined();
      expect(() => agreeX25519(key, unhex(peer))).toThrow(
        expect.objectContaining({ code: 'ERR_KEYMUX_KEY_FAILURE', reason: 'public-key' }),
      );
    }
    expect(refused).toHaveLength(31);
  });

  it('gives both sides of fresh keys the same secret, and no two keys are the same', () => {
    const [a, b] = [X25519Key.generate(), X25519Key.generate()];
    expect(a.publicValue).toHaveLength(32);
    expect(hex(a.publicValue)).not.toBe(hex(b.publicValue));
    const shared = agreeX25519(a, b.publicValue);
    expect(shared.use(hex)).toBe(agreeX25519(b, a.publicValue).use(hex));
    expect(shared.length).toBe(32);
  });

  it('has the public value that Node exports', () => {
    const secret = randomBytes(32);
    const encoded = Buffer.concat([unhex('302e020100300506032b656e04220420'), secret]);
    const key = createPublicKey(createPrivateKey({ key: encoded, format: 'der', type: 'pkcs8' }));
    const { x } = key.export({ format: 'jwk' });
    expect(Buffer.from(X25519Key.of(secret).publicValue).toString('base64url')).toBe(x);
  });

  it('does not lock up its process when garbage is collected while it makes keys', async () => {
    // As often as this, and with as little space for garbage, since only about one in 6000 keys that were exported did.
    const args = ['--max-semi-space-size=1', '--input-type=module', '-e', MAKER];
    await promisify(execFile)(process.execPath, args, { timeout: 60_000, killSignal: 'SIGKILL' });
  });

  it('takes a view of other memory for what it shows', () => {
    const [a, b] = [X25519Key.generate(), X25519Key.generate()];
    const around = new Uint8Array(40).fill(7);
    around.set(b.publicValue, 5);
    const agreed = a.agree(around.subarray(5, 37)) ?? new Uint8Array(0);
    expect(hex(agreed)).toBe(hex(b.agree(a.publicValue) ?? new Uint8Array(1)));
  });

  it('C9: does not agree with itself', () => {
    const key = X25519Key.generate();
    expect(() => agreeX25519(key, Uint8Array.from(key.publicValue))).toThrow(
      expect.objectContaining({ reason: 'own-message' }),
    );
  });

  it('takes 32 bytes and nothing else', () => {
    for (const length of [0, 31, 33, 64]) {
      expect(() => X25519Key.generate().agree(new Uint8Array(length))).toThrow(RangeError);
      expect(() => X25519Key.of(new Uint8Array(length))).toThrow(RangeError);
    }
  });
});
