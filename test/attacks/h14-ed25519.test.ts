import type { Signer } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { type IdentifiedOptions, identified, type People } from '../support/identified.ts';
import { Scope } from '../support/scope.ts';
import { string } from '../support/ssh-identity.ts';
import { ALPHA, expectKeyFailure, failureOf, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** The order of the group, and values that a lax verifier takes. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n;

const read = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
const write = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse();

/** Alice's signer, whose signatures are changed on the way. */
const altered =
  (change: (signature: Buffer) => Uint8Array) =>
  ({ alice }: People): Signer => ({
    ...alice.signer,
    sign: async (data, signal) => change(Buffer.from(await alice.signer.sign(data, signal))),
  });

const lineOf = (identity: Uint8Array): string =>
  `ssh-ed25519 ${Buffer.concat([string('ssh-ed25519'), string(Buffer.from(identity))]).toString('base64')}`;

async function enter(options: IdentifiedOptions) {
  const { victims, negotiate } = await identified(scope, options);
  const asked = negotiate().then((key) => tell(victims.client.request({ host: ALPHA, path: '/', key })));
  return { victims, failure: await failureOf(asked) };
}

describe('H14: Ed25519 laxness', () => {
  test('control: Alice’s signature as it is', async () => {
    const { failure } = await enter({ clientSigner: altered((signature) => signature) });
    expect(failure).toBeUndefined();
  });

  test.each<[string, (signature: Buffer) => Uint8Array]>([
    [
      'S + L',
      (signature) => Buffer.concat([signature.subarray(0, 32), write(read(signature.subarray(32)) + L)]),
    ],
    ['S = 0', (signature) => Buffer.concat([signature.subarray(0, 32), Buffer.alloc(32)])],
    ['another R', (signature) => Buffer.concat([Buffer.alloc(32, 1), signature.subarray(32)])],
    ['R and S exchanged', (signature) => Buffer.concat([signature.subarray(32), signature.subarray(0, 32)])],
    [
      'one bit',
      (signature) => {
        signature[63] = (signature[63] as number) ^ 0x80;
        return signature;
      },
    ],
    ['zeros', () => Buffer.alloc(64)],
  ])('a signature with %s lets nobody in', async (_what, change) => {
    const { victims, failure } = await enter({ clientSigner: altered(change) });
    expect(failure).toBeDefined();
    await expectKeyFailure(victims);
    expect(victims.delivered).toEqual([]);
  });

  /** Public keys of small order: some signature is right for every message, without a private key. */
  const SMALL = [
    '0100000000000000000000000000000000000000000000000000000000000000',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0000000000000000000000000000000000000000000000000000000000000080',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f', // not canonical
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f', // not canonical
  ].map((key) => Buffer.from(key, 'hex'));

  test.each(SMALL.map((key) => [key.toString('hex').slice(0, 8), key] as const))(
    'the key %s… is nobody’s, even where it is listed',
    async (_name, identity) => {
      const neutral = Buffer.alloc(64);
      neutral[0] = 1; // R the neutral element, S = 0
      const forger: Signer = { identity, comment: '', sign: async () => neutral };
      const { victims, failure } = await enter({
        clientSigner: () => forger,
        authorizedKeys: ({ alice }) => `${lineOf(identity)} forger\n${alice.line} alice`,
      });
      expect(failure).toBeDefined();
      expect(victims.delivered).toEqual([]);
    },
  );
});
