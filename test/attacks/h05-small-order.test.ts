import { randomBytes } from 'node:crypto';
import type { Client } from '@keymux/client';
import { ALGORITHM, PreSharedKey } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { ANNOUNCEMENT, Attacker } from '../support/attacker.ts';
import { connectClient } from '../support/library.ts';
import {
  cat,
  expand,
  extract,
  H,
  longTermKeys,
  number,
  type RunInputs,
  type Transcribed,
  t0,
  tagged,
  text,
} from '../support/reference-keys.ts';
import { anonymousRun, hybridRun, pskX25519Run } from '../support/reference-x25519.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, failureOf, KEY_FAILURE, Keys, setVictims } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const P = 2n ** 255n - 19n;
const little = (value: bigint): Buffer => number(value, 32).reverse();
/** Public values whose result is zero whatever the other side draws: all of small order, in every encoding. */
const SMALL = [
  0n,
  1n,
  325606250916557431795983626356110631294008115727848805560023387167927233504n,
  39382357235489614581723060781553021112529911719440698176882885853963445705823n,
  P - 1n,
  P,
  P + 1n,
].flatMap((value) => [little(value), little(value + 2n ** 255n)]);

const METHODS = [
  ['psk-x25519', ALGORITHM.PSK_X25519],
  ['anonymous', ALGORITHM.ANONYMOUS],
  ['hybrid', ALGORITHM.HYBRID],
] as const;

/** A run with a holder of the key who draws what he likes. */
function runOf(algorithm: number, inputs: RunInputs, lies: { eI?: Buffer; eR?: Buffer }): Transcribed {
  const [one, two] = [randomBytes(32), randomBytes(32)];
  if (algorithm === ALGORITHM.PSK_X25519) return pskX25519Run(inputs, one, two, lies);
  if (algorithm === ALGORITHM.ANONYMOUS) return anonymousRun(inputs, one, two, lies);
  return hybridRun(inputs, { secretI: one, seed: randomBytes(64), secretR: two, m: randomBytes(32) }, lies);
}

describe.each(METHODS)('H5: small-order X25519, %s', (_name, algorithm) => {
  const keyFile = randomBytes(32);
  const keys = new Keys({ alpha: new PreSharedKey(keyFile) });
  const label = algorithm === ALGORITHM.ANONYMOUS ? 'anonymous' : longTermKeys(keyFile).label;
  const inputs: RunInputs = {
    ...{ keyFile, label, authority: ALPHA, offer: 1 << algorithm },
    ...{ depth: 0, initiator: 'client', keyId: 1 },
  };
  const keeper = () => keys.keeper({ anonymous: [ALPHA] });

  async function begin(lies: { eI?: Buffer }) {
    const victims = await setVictims(scope, { keeper: { origin: keeper() } });
    const attacker = await Attacker.connect(scope, victims.port);
    attacker.send(ANNOUNCEMENT, runOf(algorithm, inputs, lies).frames[0] as Buffer);
    return { victims, attacker };
  }

  test('control: an honest value is answered', async () => {
    const { attacker } = await begin({});
    expect((await attacker.message(0)).data.length).toBeGreaterThan(32);
  });

  test('none of them gets an answer', async () => {
    expect(new Set(SMALL.map((value) => value.toString('hex'))).size).toBe(SMALL.length);
    for (const eI of algorithm === ALGORITHM.ANONYMOUS ? SMALL : SMALL.slice(0, 6)) {
      const { victims, attacker } = await begin({ eI });
      await attacker.closed;
      expect(attacker.messages).toEqual([]);
      expect(attacker.goaways).toEqual([0x4b01]);
      expect(await victims.sessions.at(-1)?.closed).toMatchObject({ code: KEY_FAILURE });
      await scope.close();
    }
  });
});

test('H5: a client takes none of them in an answer, although the tag of the answer is right', async () => {
  const keyFile = randomBytes(32);
  const inputs: RunInputs = {
    ...{ keyFile, label: 'anonymous', authority: ALPHA, offer: 1 << ALGORITHM.ANONYMOUS },
    ...{ depth: 0, initiator: 'client', keyId: 1 },
  };
  for (const eR of SMALL) {
    // The result is zero on both sides, so the attacker needs no secret of the client's to make the tag.
    const port = await Attacker.listen(scope, async (attacker) => {
      attacker.send(ANNOUNCEMENT);
      const { frame } = await attacker.message(0);
      attacker.send(answerTo(frame, inputs, eR));
    });
    const client: Client = await connectClient(scope, `127.0.0.1:${port}`, {
      keeper: new Keys().keeper({ anonymous: [ALPHA] }),
    });
    const asked = client.negotiate({ algorithm: ALGORITHM.ANONYMOUS, label: 'anonymous', authority: ALPHA });
    expect(await failureOf(asked)).toMatchObject({ code: KEY_FAILURE });
    await scope.close();
  }
});

/** F_2 of ALG 5 for a first message that the attacker has not made, with a result of zero. */
function answerTo(first: Buffer, inputs: RunInputs, eR: Buffer): Buffer {
  const { frames } = anonymousRun(inputs, randomBytes(32), randomBytes(32), { eR });
  const T1 = H(t0(inputs), first);
  const room = cat((frames[1] as Buffer).subarray(0, -32), Buffer.alloc(32));
  return tagged(
    room,
    (T) => expand(extract(T, Buffer.alloc(32)), text('keymux/1 anonymous responder'), 32),
    T1,
  );
}
