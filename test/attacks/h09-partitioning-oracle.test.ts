import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { ALGORITHM, Keyring, LocalKeeper, PreSharedKey, readKeyFile } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { connectClient } from '../support/library.ts';
import { at, flipped } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, expectKeyFailure, failureOf, KEY_FAILURE, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const METHODS = [
  ['psk', ALGORITHM.PSK],
  ['spiped', ALGORITHM.SPIPED],
  ['psk-x25519', ALGORITHM.PSK_X25519],
  ['hybrid', ALGORITHM.HYBRID],
] as const;

describe.each(METHODS)('H9: partitioning oracle, %s', (_name, algorithm) => {
  /** An origin with 32 keys, and somebody who asks with one of them, or with another, under a label. */
  async function origin() {
    const all = Array.from({ length: 32 }, () => new PreSharedKey(randomBytes(32)));
    const keyring = new Keyring();
    const labels = all.map((key) => keyring.add(key, { authorities: [ALPHA] }));
    const victims = await setVictims(scope, { keeper: { origin: new LocalKeeper({ keyring }) } });
    const ask = async (label: string, key: PreSharedKey) => {
      const mine = new Keyring();
      mine.add(key, { label, authorities: [ALPHA] });
      const client = await connectClient(scope, victims.middle.address, {
        keeper: new LocalKeeper({ keyring: mine }),
      });
      const failure = await failureOf(client.negotiate({ algorithm, label, authority: ALPHA }));
      if (failure) await client.session.closed;
      const wire = victims.middle.wires.at(-1);
      const answers = wire?.seen.filter(({ way, type }) => way === 'down' && type !== 'settings') ?? [];
      return { failure, answers: answers.map(({ type, bytes }) => `${type} ${bytes.length}`).join() };
    };
    return { all, labels, ask };
  }

  test('a message is tried with the key of its label and with no other, and every refusal looks the same', async () => {
    const { all, labels, ask } = await origin();
    const [label, other, last] = [labels[0], labels[1], labels[31]] as [string, string, string];
    const [key] = all as [PreSharedKey];
    expect((await ask(label, key)).failure).toBeUndefined();
    const stranger = new PreSharedKey(randomBytes(32));
    const refused = [
      await ask(other, key), // a key that is there, under the label of another
      await ask(last, key),
      await ask(label, stranger),
      await ask('k-0000000000000000', key),
      await ask('k-0000000000000000', stranger),
    ];
    for (const { failure } of refused) expect(failure).toMatchObject({ code: KEY_FAILURE });
    expect(new Set(refused.map(({ answers }) => answers)).size).toBe(1);
  });

  test('an envelope is opened with the key that it names and with no other', async () => {
    const victims = await setVictims(scope, {
      meddle: at('up sealed 0', ({ bytes }) => flipped(bytes, 8, 0x02)),
    });
    const key = await victims.key(ALPHA, algorithm);
    await victims.key(ALPHA, algorithm);
    await failureOf(tell(victims.client.request({ host: ALPHA, path: '/', key })));
    await expectKeyFailure(victims);
    expect(victims.delivered).toEqual([]);
  });
});

test.each([0, 1, 8, 16, 31])('H9: a key file of %d bytes is no key', async (length) => {
  const path = (await scope.directory())('short.key');
  await writeFile(path, randomBytes(length), { mode: 0o600 });
  expect(await failureOf(readKeyFile(path))).toMatchObject({ code: 'ERR_KEYMUX_KEY_FILE' });
});
