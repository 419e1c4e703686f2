import { randomBytes } from 'node:crypto';
import { ALGORITHM, PreSharedKey } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { ANNOUNCEMENT, Attacker } from '../support/attacker.ts';
import { at, flipped } from '../support/middle.ts';
import { cat, longTermKeys, type RunInputs } from '../support/reference-keys.ts';
import { type HybridLies, hybridRun } from '../support/reference-x25519.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, expectKeyFailure, failureOf, KEY_FAILURE, Keys, setVictims } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** Where the parts of the messages begin, from the end. */
const PARTS = [
  ['e_I', 'up', 1248],
  ['ek', 'up', 1216],
  ['the end of ek', 'up', 33],
  ['the tag of F_1', 'up', 32],
  ['e_R', 'down', 1152],
  ['ct', 'down', 1120],
  ['the end of ct', 'down', 33],
  ['the tag of F_2', 'down', 32],
] as const;

const keyFile = randomBytes(32);
const keys = new Keys({ alpha: new PreSharedKey(keyFile) });
const inputs: RunInputs = {
  ...{ keyFile, label: longTermKeys(keyFile).label, authority: ALPHA, offer: 1 << ALGORITHM.HYBRID },
  ...{ depth: 0, initiator: 'client', keyId: 1 },
};
const run = (lies: HybridLies = {}) =>
  hybridRun(
    inputs,
    { secretI: randomBytes(32), seed: randomBytes(64), secretR: randomBytes(32), m: randomBytes(32) },
    lies,
  );

describe('H23: hybrid combiner', () => {
  test.each(PARTS)('one bit of %s changed on the way: no key', async (_part, way, fromEnd) => {
    const victims = await setVictims(scope, {
      keys,
      meddle: at(`${way} key-nego 0`, ({ bytes }) => flipped(bytes, -fromEnd)),
    });
    expect(await failureOf(victims.key(ALPHA, ALGORITHM.HYBRID))).toMatchObject({ code: KEY_FAILURE });
    await expectKeyFailure(victims);
  });

  /** A holder of the key begins. */
  async function begin(lies: HybridLies) {
    const victims = await setVictims(scope, { keys });
    const attacker = await Attacker.connect(scope, victims.port);
    attacker.send(ANNOUNCEMENT, run(lies).frames[0] as Buffer);
    return { victims, attacker };
  }

  test('control: an honest first message is answered', async () => {
    const { attacker } = await begin({});
    expect((await attacker.message(0)).data).toHaveLength(1152);
  });

  test.each<[string, Buffer]>([
    ['3329', cat(Buffer.from('010d00', 'hex'), Buffer.alloc(1181))],
    ['4095', Buffer.alloc(1184, 0xff)],
    ['3329 as its last one', cat(Buffer.alloc(1149), Buffer.from('0010d0', 'hex'), Buffer.alloc(32))],
  ])(
    'an encapsulation key with a coefficient of %s is refused, although its tag is right',
    async (_what, ek) => {
      const { victims, attacker } = await begin({ ek });
      await attacker.closed;
      expect(attacker.messages).toEqual([]);
      expect(await victims.sessions.at(-1)?.closed).toMatchObject({ code: KEY_FAILURE });
    },
  );
});
