import { randomBytes } from 'node:crypto';
import { ALGORITHM, PreSharedKey } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { ANNOUNCEMENT, Attacker } from '../support/attacker.ts';
import { connectClient } from '../support/library.ts';
import { longTermKeys, P, type RunInputs, type SpipedLies, spipedRun } from '../support/reference-keys.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, failureOf, KEY_FAILURE, Keys, setVictims } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** Values outside 1 < y < p - 1 that fit into 256 bytes. p + 2 is 2 to who reduces it. */
const EDGES: readonly (readonly [string, bigint])[] = [
  ['0', 0n],
  ['1', 1n],
  ['p - 1', P - 1n],
  ['p', P],
  ['p + 1', P + 1n],
  ['p + 2', P + 2n],
  ['2^2048 - 1', 2n ** 2048n - 1n],
];

const keyFile = randomBytes(32);
const keys = new Keys({ alpha: new PreSharedKey(keyFile) });
const inputs: RunInputs = {
  ...{ keyFile, label: longTermKeys(keyFile).label, authority: ALPHA, offer: 1 << ALGORITHM.SPIPED },
  ...{ depth: 0, initiator: 'client', keyId: 1 },
};

/** A run with somebody who holds the key; the other side's nonce is what it says. */
const run = (nonceC: Buffer, nonceS: Buffer, lies: SpipedLies = {}) =>
  spipedRun(inputs, nonceC, nonceS, randomBytes(32), randomBytes(32), lies);

describe('H6: edge values of group 14', () => {
  /** The attacker is the client. */
  async function begin(lies: SpipedLies) {
    const victims = await setVictims(scope, { keys });
    const attacker = await Attacker.connect(scope, victims.port);
    const nonce = randomBytes(32);
    attacker.send(ANNOUNCEMENT, run(nonce, nonce).frames[0] as Buffer);
    const { data } = await attacker.message(0);
    attacker.send(run(nonce, data, lies).frames[2] as Buffer);
    return { victims, attacker };
  }

  test('control: an honest value is answered', async () => {
    const { attacker } = await begin({});
    expect((await attacker.message(1)).data).toHaveLength(320);
  });

  test.each(EDGES)('y_C = %s gets no answer', async (_name, yC) => {
    const { victims, attacker } = await begin({ yC });
    await attacker.closed;
    expect(attacker.messages).toHaveLength(1);
    expect(attacker.goaways).toEqual([0x4b01]);
    expect(await victims.sessions.at(-1)?.closed).toMatchObject({ code: KEY_FAILURE });
  });

  /** The attacker is the server. */
  test.each(EDGES)('y_S = %s makes no key', async (_name, yS) => {
    let sent = 0;
    const port = await Attacker.listen(scope, async (attacker) => {
      const nonceS = randomBytes(32);
      attacker.send(ANNOUNCEMENT);
      const first = await attacker.message(0);
      const nonceC = first.data.subarray(-32);
      const honest = run(nonceC, nonceS, { yS });
      expect(honest.frames[0]).toEqual(first.frame);
      attacker.send(honest.frames[1] as Buffer);
      await attacker.message(1);
      attacker.send(honest.frames[3] as Buffer);
      sent++;
    });
    const client = await connectClient(scope, `127.0.0.1:${port}`, { keeper: keys.keeper() });
    const asked = client.negotiate({ algorithm: ALGORITHM.SPIPED, label: inputs.label, authority: ALPHA });
    expect(await failureOf(asked)).toMatchObject({ code: KEY_FAILURE });
    expect(sent).toBe(1);
  });
});
