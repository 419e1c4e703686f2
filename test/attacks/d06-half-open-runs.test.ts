import { setTimeout as pause } from 'node:timers/promises';
import { Client } from '@keymux/client';
import { GOAWAY } from '@keymux/frames';
import { ALGORITHM, type LocalKeeper, REJECT_REASON } from '@keymux/keys';
import { DEFAULT_SERVER_LIMITS } from '@keymux/streams';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ANNOUNCEMENT, type Attacker } from '../support/attacker.ts';
import { firstMessages } from '../support/first-messages.ts';
import { keeperOf } from '../support/library.ts';
import { Scope } from '../support/scope.ts';
import { expectUnharmed, Siege } from '../support/siege.ts';
import { makeKey } from '../support/tunnel.ts';

const HOST = 'alpha.test';
/** Where the attack comes from; the bystander is at 127.0.0.1. */
const ELSEWHERE = '127.0.0.2';
/** Of the bystander between two negotiations, in milliseconds: it may have no more than anybody. */
const PACE = 250;
const GROWTH = 64 * 2 ** 20;
const { runsPerClient } = DEFAULT_SERVER_LIMITS;
/** Runs of one session that may be in progress (spec 3.2). */
const AT_A_TIME = 4;

const shared = new Scope();
const scope = new Scope();
let siege: Siege;
let keeper: LocalKeeper;
let run: Parameters<typeof firstMessages>[2];
beforeAll(async () => {
  const file = await makeKey(shared);
  siege = await Siege.start(shared, ['origin', '--key', `${HOST}=${file}`]);
  const { keeper: ours, labels } = await keeperOf({ file, authorities: [HOST] });
  keeper = ours;
  run = { algorithm: ALGORITHM.SPIPED, label: String(labels[0]), authority: HOST };
});
afterEach(() => scope.close());
afterAll(() => shared.close());

/** Somebody who negotiates with four messages while the attack goes on, in a session of his own. */
async function newcomer(): Promise<void> {
  await pause(PACE);
  const client = await Client.connect(siege.address, { keeper });
  await client.negotiate(run).finally(() => client.session.destroy());
}

/** The reasons of REJECTs, which have two bytes; other messages have more. */
function reasonsOf({ messages }: Attacker): number[] {
  return messages.filter(({ length }) => length === 2).map(([reason]) => reason as number);
}

/** Begins runs in a session of its own, and waits until each is answered. */
async function leaveOpen(begin: readonly Uint8Array[]): Promise<Attacker> {
  const attacker = await siege.attacker(scope, ELSEWHERE);
  attacker.send(ANNOUNCEMENT, ...begin);
  await attacker.message(begin.length - 1);
  return attacker;
}

describe.skipIf(process.platform !== 'linux')('D6: runs that nobody goes on with', () => {
  test('128 in one session: four are in progress, the others cost the session', async () => {
    const begin = await firstMessages(keeper, 128, run);
    const attacker = await siege.attacker(scope, ELSEWHERE);
    const aftermath = await siege.during([newcomer], async () => {
      attacker.send(ANNOUNCEMENT, ...begin);
      await attacker.closed;
    });
    expect(attacker.goaways).toEqual([GOAWAY.EXCESSIVE_LOAD]);
    expect(attacker.messages.length - reasonsOf(attacker).length).toBeLessThanOrEqual(AT_A_TIME);
    expectUnharmed(aftermath, { growth: GROWTH });
  });

  test('those of many sessions are bounded too, and none outlives its ten seconds', async () => {
    const begin = await firstMessages(keeper, 5, run);
    const sessions = runsPerClient / AT_A_TIME;
    const since = performance.now();
    const aftermath = await siege.during([newcomer], async () => {
      const crowd = await Promise.all(Array.from({ length: sessions }, () => leaveOpen(begin)));
      for (const attacker of crowd) expect(reasonsOf(attacker)).toEqual([REJECT_REASON.TOO_MANY_RUNS]);

      // The client has as many as it may have, and no session more of it gets another; the newcomer does all the while.
      const late = await leaveOpen(begin.slice(0, 2));
      expect(reasonsOf(late)).toEqual([REJECT_REASON.NOT_NOW, REJECT_REASON.NOT_NOW]);
      await Promise.all(crowd.map(({ closed }) => closed));
      expect(performance.now() - since).toBeGreaterThan(9_900);
      for (const { goaways } of crowd) expect(goaways).toEqual([GOAWAY.KEY_FAILURE]);

      expect(reasonsOf(await leaveOpen(begin.slice(0, 2)))).toEqual([]); // all is given back
    });
    expectUnharmed(aftermath, { growth: GROWTH });
  });
});
