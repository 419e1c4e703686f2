import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import {
  aeadKey,
  DhKey,
  equalBytes,
  hkdfExpand,
  hkdfExtract,
  hmacSha256,
  isGroup14Public,
  openAes256Gcm,
  pbkdf2Sha256,
  sealAes256Gcm,
} from '../src/crypto.ts';
import { seeded } from './random.ts';
import { hex, sharedVectors, unhex } from './shared-vectors.ts';

interface Wycheproof<T> {
  readonly testGroups: readonly (Record<string, number> & {
    readonly tests: readonly (T & { tcId: number; result: string; comment: string })[];
  })[];
}

const gcm =
  sharedVectors<Wycheproof<Record<'key' | 'iv' | 'aad' | 'msg' | 'ct' | 'tag', string>>>(
    'aes_256_gcm_test.json',
  );
const hkdf =
  sharedVectors<Wycheproof<Record<'ikm' | 'salt' | 'info' | 'okm', string> & { size: number }>>(
    'hkdf_sha256_test.json',
  );
const rfc5869 = sharedVectors<{
  vectors: (Record<'ikm' | 'salt' | 'info' | 'okm', string> & { L: number })[];
}>('rfc5869-hkdf-sha256.json');
const hmac = sharedVectors<Wycheproof<Record<'key' | 'msg' | 'tag', string>>>('hmac_sha256_test.json');
const pbkdf2 = sharedVectors<
  Wycheproof<Record<'password' | 'salt' | 'dk', string> & { iterationCount: number; dkLen: number }>
>('pbkdf2_hmacsha256_test.json');

describe('AES-256-GCM', () => {
  it.skipIf(!gcm)('agrees with Wycheproof', () => {
    for (const test of cases(gcm)) {
      const key = aeadKey(unhex(test.key));
      const [iv, aad] = [unhex(test.iv), unhex(test.aad)];
      const opened = openAes256Gcm(key, iv, aad, unhex(test.ct + test.tag));
      expect(opened && hex(opened), `tcId ${test.tcId}`).toBe(test.result === 'valid' ? test.msg : undefined);
      if (test.result !== 'valid') continue;
      expect(hex(Buffer.concat(sealAes256Gcm(key, iv, aad, [unhex(test.msg)])))).toBe(test.ct + test.tag);
    }
  });

  it('C17: gives no byte out for a short tag, a wrong tag or a cut body', () => {
    const key = aeadKey(seeded('key')(32));
    const [nonce, aad, text] = [seeded('n')(12), seeded('a')(27), seeded('t')(64)];
    const body = Buffer.concat(sealAes256Gcm(key, nonce, aad, [text]));
    for (const tag of [0, 4, 8, 12, 15]) {
      expect(openAes256Gcm(key, nonce, aad, body.subarray(0, text.length + tag))).toBeUndefined();
    }
    for (let length = 0; length < body.length; length++) {
      expect(openAes256Gcm(key, nonce, aad, body.subarray(0, length))).toBeUndefined();
    }
    for (let index = 0; index < body.length; index++) {
      const changed = Uint8Array.from(body);
      changed[index] = (changed[index] ?? 0) ^ 1;
      expect(openAes256Gcm(key, nonce, aad, changed)).toBeUndefined();
    }
  });

  it('takes keys of 32 bytes and nonces of 12 bytes only', () => {
    const key = aeadKey(seeded('key')(32));
    for (const length of [0, 16, 24, 31, 33])
      expect(() => aeadKey(new Uint8Array(length))).toThrow(RangeError);
    for (const length of [0, 1, 8, 11, 13, 16]) {
      const nonce = new Uint8Array(length);
      expect(() => sealAes256Gcm(key, nonce, nonce, [])).toThrow(RangeError);
      expect(() => openAes256Gcm(key, nonce, nonce, new Uint8Array(16))).toThrow(RangeError);
    }
  });
});

describe('key derivation', () => {
  it.skipIf(!hkdf)('agrees with Wycheproof on HKDF', () => {
    for (const test of cases(hkdf)) {
      const derive = () =>
        hkdfExpand(hkdfExtract(unhex(test.salt), unhex(test.ikm)), unhex(test.info), test.size);
      if (test.result === 'valid') expect(hex(derive()), `tcId ${test.tcId}`).toBe(test.okm);
      else expect(derive, `tcId ${test.tcId}`).toThrow(RangeError);
    }
  });

  it.skipIf(!rfc5869)('agrees with RFC 5869', () => {
    for (const { ikm, salt, info, L, okm } of rfc5869?.vectors ?? []) {
      expect(hex(hkdfExpand(hkdfExtract(unhex(salt), unhex(ikm)), unhex(info), L))).toBe(okm);
    }
  });

  it.skipIf(!hmac)('agrees with Wycheproof on HMAC, for tags that are not truncated', () => {
    for (const test of cases(hmac)) {
      if (test.group.tagSize !== 256) continue;
      const right = equalBytes(hmacSha256(unhex(test.key), unhex(test.msg)), unhex(test.tag));
      expect(right, `tcId ${test.tcId}`).toBe(test.result === 'valid');
    }
  });

  it.skipIf(!pbkdf2)('agrees with Wycheproof on PBKDF2', () => {
    for (const test of cases(pbkdf2)) {
      const key = pbkdf2Sha256(unhex(test.password), unhex(test.salt), test.iterationCount, test.dkLen);
      expect(hex(key), `tcId ${test.tcId}`).toBe(test.dk);
    }
  });
});

describe('group 14', () => {
  const none = new Uint8Array(0);
  const P = BigInt(
    `0x${'ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3be39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa051015728e5a8aacaa68ffffffffffffffff'}`,
  );

  it('computes what plain arithmetic computes', async () => {
    for (const seed of ['a', 'b', 'c']) {
      const random = seeded(seed)(32);
      const exponent = 2n ** 258n + BigInt(`0x${hex(random)}`);
      const key = await keyOf(random);
      expect(BigInt(`0x${hex(key.publicValue)}`)).toBe(power(2n, exponent));
      const peer = await keyOf(seeded(`${seed}2`)(32));
      expect(BigInt(`0x${hex((await key.agree(peer.publicValue)) ?? none)}`)).toBe(
        power(BigInt(`0x${hex(peer.publicValue)}`), exponent),
      );
    }
  });

  it('computes with a value that is no power of 2, or refuses it, as OpenSSL decides, and throws nothing', async () => {
    const random = seeded('no power')(32);
    const shared = await (await keyOf(random)).agree(unhex((P - 2n).toString(16)));
    const right = power(P - 2n, 2n ** 258n + BigInt(`0x${hex(random)}`));
    expect([undefined, right]).toContain(shared && BigInt(`0x${hex(shared)}`));
  });

  it('H7: always has 256 bytes, also when the number is shorter', async () => {
    const peer = await keyOf(seeded('peer')(32));
    let short = 0;
    for (let index = 0; index < 600 || short === 0; index++) {
      const key = await keyOf(createHash('sha256').update(`short ${index}`).digest());
      expect(key.publicValue).toHaveLength(256);
      if (key.publicValue[0] !== 0) continue;
      short++;
      const [ours, theirs] = [await key.agree(peer.publicValue), await peer.agree(key.publicValue)];
      expect(hex(ours ?? none)).toBe(hex(theirs ?? none));
    }
    expect(short).toBeGreaterThan(0);
  });

  it('H8: two keys share nothing', async () => {
    const [one, other] = [await DhKey.generate(), await DhKey.generate()];
    expect(hex(one.publicValue)).not.toBe(hex(other.publicValue));
  });

  it('H6: takes 1 < y < p - 1 in exactly 256 bytes', async () => {
    const bytes = (value: bigint, length = 256) => unhex(value.toString(16).padStart(length * 2, '0'));
    const key = await DhKey.generate();
    for (const value of [2n, 3n, P - 2n]) expect(isGroup14Public(bytes(value))).toBe(true);
    for (const value of [0n, 1n, P - 1n, P, P + 1n, P + 2n, 2n ** 2048n - 1n]) {
      expect(isGroup14Public(bytes(value))).toBe(false);
      await expect(key.agree(bytes(value))).rejects.toThrow(RangeError);
    }
    for (const length of [1, 255, 257]) expect(isGroup14Public(bytes(2n, length))).toBe(false);
  });

  const keyOf = (random: Uint8Array) => DhKey.generate({ random: () => random });

  function power(base: bigint, exponent: bigint): bigint {
    let result = 1n;
    for (let square = base, rest = exponent; rest > 0n; rest >>= 1n, square = (square * square) % P) {
      if (rest & 1n) result = (result * square) % P;
    }
    return result;
  }
});

describe('the wrapper', () => {
  it('H19: compares unequal lengths without throwing', () => {
    expect(equalBytes(new Uint8Array(3), new Uint8Array(4))).toBe(false);
    expect(equalBytes(new Uint8Array(4), new Uint8Array(4))).toBe(true);
  });

  it('is the only user of node:crypto', () => {
    const folder = fileURLToPath(new URL('../src', import.meta.url));
    const users = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .filter((name) => readFileSync(`${folder}/${name}`, 'utf8').includes("from 'node:crypto'"));
    expect(users.map((name) => name.split(/[\\/]/)[0])).toEqual(users.map(() => 'crypto'));
    expect(users.length).toBeGreaterThan(0);
  });
});

function* cases<T>(file: Wycheproof<T> | undefined) {
  for (const group of file?.testGroups ?? []) for (const test of group.tests) yield { ...test, group };
}
