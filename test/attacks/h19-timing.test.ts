import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { ALGORITHM, Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { connectClient } from '../support/library.ts';
import { at } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, expectKeyFailure, failureOf, KEY_FAILURE, setVictims } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const METHODS = [
  ['psk', ALGORITHM.PSK],
  ['spiped', ALGORITHM.SPIPED],
  ['psk-x25519', ALGORITHM.PSK_X25519],
  ['hybrid', ALGORITHM.HYBRID],
] as const;

/** What crypto this process does, counted. Times of a busy machine say nothing; amounts of work do. */
function countWork(): Map<string, number> {
  const counts = new Map<string, number>();
  const spies = (
    [
      'createHmac',
      'createHash',
      'createDecipheriv',
      'pbkdf2Sync',
      'hkdfSync',
      'diffieHellman',
      'createDiffieHellman',
      'timingSafeEqual',
    ] as const
  ).map((name) => {
    const real = crypto[name] as (...args: unknown[]) => unknown;
    return vi.spyOn(crypto, name).mockImplementation(((...args: unknown[]) => {
      counts.set(name, (counts.get(name) ?? 0) + 1);
      return real(...args);
    }) as never);
  });
  syncBuiltinESMExports();
  scope.defer(() => {
    for (const spy of spies) spy.mockRestore();
    syncBuiltinESMExports();
  });
  return counts;
}

describe.each(METHODS)('H19: timing, %s', (_name, algorithm) => {
  test('an unknown label costs the same work as a wrong key', async () => {
    const victims = await setVictims(scope);
    const counts = countWork();
    const work = async (label: string) => {
      const keyring = new Keyring();
      keyring.add(new PreSharedKey(Buffer.alloc(32, 7)), { label, authorities: [ALPHA] });
      const client = await connectClient(scope, victims.middle.address, {
        keeper: new LocalKeeper({ keyring }),
      });
      counts.clear();
      expect(await failureOf(client.negotiate({ algorithm, label, authority: ALPHA }))).toMatchObject({
        code: KEY_FAILURE,
      });
      await client.session.closed;
      return Object.fromEntries([...counts].sort());
    };
    await work('k-1111111111111111'); // by then the sessions of the others have begun
    const known = await work(victims.keys.of(ALPHA));
    const unknown = await work('k-0000000000000000');
    const foreign = await work(victims.keys.of('beta.test'));
    expect(Object.values(known).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(3);
    expect(unknown).toEqual(known);
    expect(foreign).toEqual(known);
  });

  test.each([1, 16, 28, 31, 33])(
    'a proof that is %d bytes too short, or longer, does not crash the compare',
    async (bytes) => {
      for (const way of ['up', 'down'] as const) {
        const victims = await setVictims(scope, {
          meddle: at(`${way} key-nego 0`, ({ bytes: frame }) => {
            const changed =
              bytes === 33
                ? Buffer.concat([frame, Buffer.alloc(33)])
                : Buffer.from(frame.subarray(0, -bytes));
            changed.writeUIntBE(changed.length - 8, 5, 3);
            changed.writeUInt16BE(changed.length - 12, 10);
            return changed;
          }),
        });
        expect(await failureOf(victims.key(ALPHA, algorithm))).toMatchObject({ code: KEY_FAILURE });
        await expectKeyFailure(victims);
      }
    },
  );
});
