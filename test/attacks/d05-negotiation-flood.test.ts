import { pbkdf2Sync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { Client } from '@keymux/client';
import { encodeControl } from '@keymux/frames';
import { ALGORITHM, ANONYMOUS_LABEL, Keyring, LocalKeeper, REJECT_REASON } from '@keymux/keys';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ANNOUNCEMENT, type Attacker } from '../support/attacker.ts';
import { firstMessages } from '../support/first-messages.ts';
import { bodyOf, keeperOf } from '../support/library.ts';
import { cat, HMAC, longTermKeys, number, power } from '../support/reference-keys.ts';
import { Scope } from '../support/scope.ts';
import { type Bystander, expectUnharmed, Siege } from '../support/siege.ts';
import { makeKey } from '../support/tunnel.ts';

const SEALED = 'sealed.test';
const OPEN = 'open.test';
const GROWTH = 96 * 2 ** 20;
/** Tokens a second; less than by default, so that an attack need not be long. */
const RATE = 32;
/** Of a bystander between two requests, in milliseconds: all of them are one client too, and stay below the rate. */
const PACE = 250;

const shared = new Scope();
const scope = new Scope();
let siege: Siege;
let keyFile: Buffer;
let keeper: LocalKeeper;
let label: string;
let bystanders: Bystander[];
beforeAll(async () => {
  const file = await makeKey(shared);
  keyFile = await readFile(file);
  const args = ['origin', '--key', `${SEALED}=${file}`, '--host', OPEN, '--anonymous'];
  args.push('--limit', `key-work-per-client=${RATE}`);
  siege = await Siege.start(shared, args);
  const { keeper: ours, labels } = await keeperOf({ file, authorities: [SEALED] });
  keeper = ours;
  label = String(labels[0]);
  bystanders = [ALGORITHM.PSK_X25519, ALGORITHM.SPIPED].map(newcomer);
});
afterEach(() => scope.close());
afterAll(() => shared.close());

/** Somebody who negotiates a key in a session of his own, and asks for something under it. */
function newcomer(algorithm: number): Bystander {
  return async () => {
    await pause(PACE);
    const client = await Client.connect(siege.address, { keeper });
    try {
      const key = await client.negotiate({ algorithm, label, authority: SEALED });
      const answer = await client.request({ host: SEALED, path: '/', key });
      if (answer.status !== 200 || (await bodyOf(answer)) === '') throw new Error(`status ${answer.status}`);
    } finally {
      client.session.destroy();
    }
  };
}

let clients = 1;
/** Connections of a client that has not been there before; the bystanders are at 127.0.0.1. */
function attackers(count: number): Promise<Attacker[]> {
  const from = `127.0.0.${++clients}`;
  return Promise.all(Array.from({ length: count }, () => siege.attacker(scope, from)));
}

/** REJECTs have two bytes, and every other message more. */
const isReject = (data: Buffer): boolean => data.length === 2;

/** What a client can have done in that time, in tokens. */
const affordable = (milliseconds: number): number => RATE * (8 + Math.ceil(milliseconds / 1000));

/** Has everybody send these messages, four at a time, which is what a session takes. Returns how many were taken up, and checks what became of the others. */
async function flooded(crowd: readonly Attacker[], messages: readonly Uint8Array[]): Promise<number> {
  await Promise.all(
    crowd.map(async (one) => {
      one.send(ANNOUNCEMENT);
      for (let sent = 0; sent < messages.length; sent += 4) {
        one.send(...messages.slice(sent, sent + 4));
        await one.message(sent + 3);
      }
    }),
  );
  const answers = crowd.flatMap((one) => one.messages);
  const rejects = answers.filter(isReject);
  for (const reject of rejects) expect(reject).toEqual(Buffer.of(REJECT_REASON.NOT_NOW, 0));
  return answers.length - rejects.length;
}

describe.skipIf(process.platform !== 'linux')('D5: negotiations without end', () => {
  const ways: [string, () => Promise<Buffer[]>][] = [
    [
      'of strangers, for keys that prove nobody',
      () => {
        const nobody = new LocalKeeper({ keyring: new Keyring(), anonymous: [OPEN] });
        const run = { algorithm: ALGORITHM.ANONYMOUS, label: ANONYMOUS_LABEL, authority: OPEN };
        return firstMessages(nobody, 60, run);
      },
    ],
    [
      'that somebody has recorded, and repeats',
      () => firstMessages(keeper, 60, { algorithm: ALGORITHM.PSK_X25519, label, authority: SEALED }),
    ],
  ];

  test.each(ways)(
    '%s: sixteen connections get no more than one, and others all they want',
    async (_what, make) => {
      const messages = await make();
      const crowd = await attackers(16);
      const since = performance.now();
      let taken = 0;
      const aftermath = await siege.during(bystanders, async () => {
        taken = await flooded(crowd, messages);
        // What had begun when the tokens were gone was finished: four runs of each.
        const limit = affordable(performance.now() - since) + 4 * crowd.length;
        expect(taken).toBeGreaterThanOrEqual(RATE * 8);
        expect(taken).toBeLessThan(crowd.length * messages.length);
        expect(taken).toBeLessThanOrEqual(limit);
      });
      expectUnharmed(aftermath, { growth: GROWTH });
    },
  );

  test('of who holds the key, with group 14: the same', async () => {
    const begin = await firstMessages(keeper, 15, { algorithm: ALGORITHM.SPIPED, label, authority: SEALED });
    const { K } = longTermKeys(keyFile);
    const y = number(power(2n, 2n ** 258n + 1n), 256);
    /** F_3, which costs the attacker nothing. */
    const prove = (first: Buffer, nonce: Buffer): Uint8Array => {
      const mac = pbkdf2Sync(K, cat(first.subarray(-32), nonce), 1, 64, 'sha256').subarray(0, 32);
      const rest = { algorithm: ALGORITHM.SPIPED, fin: true, reject: false, retire: false };
      return encodeControl({
        type: 'key-nego',
        keyId: first[8] as number,
        ...rest,
        data: cat(y, HMAC(mac, y)),
      });
    };
    /** One run after the other; returns how many yielded a key. */
    const attack = async (one: Attacker): Promise<number> => {
      one.send(ANNOUNCEMENT);
      let keys = 0;
      let answers = 0;
      for (const first of begin) {
        one.send(first);
        const { data: nonce } = await one.message(answers++);
        if (isReject(nonce)) continue;
        one.send(prove(first, nonce));
        await one.message(answers++);
        keys++;
      }
      return keys;
    };
    const crowd = await attackers(16);
    const since = performance.now();
    let keys = 0;
    const aftermath = await siege.during(bystanders, async () => {
      const made = await Promise.all(crowd.map(attack));
      keys = made.reduce((sum, each) => sum + each, 0);
    });
    // What had begun when the tokens were gone was finished: a run of each.
    const limit = affordable(performance.now() - since) / 4 + crowd.length;
    expect(keys).toBeGreaterThanOrEqual((RATE * 8) / 4);
    expect(keys).toBeLessThanOrEqual(limit);
    expect(keys).toBeLessThan(crowd.length * begin.length);
    expectUnharmed(aftermath, { growth: GROWTH });
  });
});
