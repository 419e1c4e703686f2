import { createHash } from 'node:crypto';
import { ALGORITHM, type Offer, type RunContext, type Step } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { Attacker } from '../support/attacker.ts';
import { HELLO, message } from '../support/keeper-messages.ts';
import { startKeeper } from '../support/keeper-process.ts';
import { KeeperDouble } from '../support/keepers.ts';
import { connectKeeper, RawCaller } from '../support/remote-keepers.ts';
import { Scope } from '../support/scope.ts';
import {
  ALPHA,
  codeOf,
  failureOf,
  KEY_FAILURE,
  Keys,
  setVictims,
  tell,
  type Victims,
} from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** Numbers that are the same in each run: what fails once can be looked at. */
function numbers(seed: string): (below: number) => number {
  let turn = 0;
  return (below) => createHash('sha256').update(`${seed} ${turn++}`).digest().readUInt32BE(0) % below;
}

/** Everything that a client sends in a session with requests, in the clear and sealed. */
async function recording(victims: Victims, algorithm: number): Promise<Buffer[]> {
  const client = await victims.connect();
  const key = await victims.key(ALPHA, algorithm, client);
  for (const under of [undefined, key]) {
    await tell(client.request({ host: ALPHA, path: '/', method: 'POST', body: 'body', key: under }));
  }
  const frames = victims.middle.wires.at(-1)?.seen.filter(({ way }) => way === 'up') ?? [];
  return frames.map(({ bytes }) => bytes);
}

/** The same, with a few things wrong. */
function damaged(frames: readonly Buffer[], below: (limit: number) => number): Buffer {
  const list: Buffer[] = frames.map((frame) => Buffer.from(frame));
  for (let times = 1 + below(3); times > 0; times--) {
    const index = below(list.length);
    const frame = list[index] as Buffer;
    const change = below(6);
    if (change === 0) list.splice(index, 1);
    else if (change === 1) list.splice(index, 0, frame);
    else if (change === 2) list[index] = frame.subarray(0, below(frame.length));
    else if (change === 3) list[index] = Buffer.concat([frame, frame.subarray(0, below(frame.length))]);
    else if (change === 4) list.push(...list.splice(index, 1));
    else frame[below(frame.length)] = below(256);
    if (list.length === 0) break;
  }
  return Buffer.concat(list);
}

describe('H24: one bad message takes down more than its session', () => {
  test('64 sessions of damaged bytes: the process stays up, and serves who is honest', async () => {
    const victims = await setVictims(scope);
    const key = await victims.key(ALPHA);
    const below = numbers('h24');
    for (const algorithm of [ALGORITHM.PSK, ALGORITHM.PSK_X25519, ALGORITHM.SPIPED, ALGORITHM.HYBRID]) {
      const frames = await recording(victims, algorithm);
      const attackers: Attacker[] = [];
      for (let turn = 0; turn < 16; turn++) {
        const attacker = await Attacker.connect(scope, victims.port);
        attackers.push(attacker);
        attacker.send(damaged(frames, below));
        attacker.end();
      }
      await Promise.all(attackers.map(({ closed }) => closed));
    }
    expect(await tell(victims.client.request({ host: ALPHA, path: '/', key }))).toMatchObject({
      status: 200,
    });
  });

  /** A keeper that fails in a way it should not. */
  class FailingKeeper extends KeeperDouble {
    fail: (() => Promise<never>) | undefined;

    override start(context: RunContext, offer: Offer): Promise<Step> {
      return this.fail?.() ?? super.start(context, offer);
    }

    override accept(context: RunContext, first: Uint8Array): Promise<Step> {
      return this.fail?.() ?? super.accept(context, first);
    }

    override receive(run: number, frame: Uint8Array): Promise<Step> {
      return this.fail?.() ?? super.receive(run, frame);
    }
  }

  test.each<[string, () => Promise<never>]>([
    ['rejects with an error of its own', () => Promise.reject(new RangeError('not expected'))],
    ['rejects with no error', () => Promise.reject(undefined)],
    [
      'throws instead of rejecting',
      () => {
        throw new TypeError('not expected');
      },
    ],
    ['answers nothing', () => Promise.resolve(undefined as never)],
    ['answers something else', () => Promise.resolve({ run: 'x' } as never)],
  ])('a keeper that %s ends that session, and no other', async (_what, fail) => {
    const keys = new Keys();
    const keeper = new FailingKeeper(keys.keeper());
    const victims = await setVictims(scope, { keys, keeper: { origin: keeper } });
    const key = await victims.key(ALPHA);
    keeper.fail = fail;
    const other = await victims.connect();
    expect(codeOf(await failureOf(victims.key(ALPHA, undefined, other)))).toBe(KEY_FAILURE);
    await other.session.closed;
    keeper.fail = undefined;
    expect(await tell(victims.client.request({ host: ALPHA, path: '/', key }))).toMatchObject({
      status: 200,
    });
  });

  test.each<[string, () => never]>([
    [
      'throws',
      () => {
        throw new Error('handler');
      },
    ],
    [
      'throws nothing',
      () => {
        throw undefined;
      },
    ],
    ['answers nothing', () => undefined as never],
  ])('a handler that %s ends its request with 500, and no other', async (_what, handler) => {
    const keys = new Keys();
    const victims = await setVictims(scope, {
      keys,
      origin: {
        hosts: [
          { name: ALPHA, handler },
          { name: 'good.test', handler: () => ({ status: 204 }) },
        ],
      },
    });
    const answer = await tell(victims.client.request({ host: ALPHA, path: '/' })).catch(
      (error: Error) => error,
    );
    expect(answer).toMatchObject({ status: 500 });
    expect(await tell(victims.client.request({ host: 'good.test', path: '/' }))).toMatchObject({
      status: 204,
    });
  });
});

describe('H24: the process of the keeper', () => {
  test('lives on, whatever its callers say', async () => {
    const keeper = await startKeeper(scope);
    const below = numbers('h24 keeper');
    const context = {
      role: 'responder',
      initiator: 'client',
      depth: 0,
      keyId: 1,
      generation: 0,
      algorithm: 3,
    };
    const start = { type: 'start', id: 1, context: { ...context, role: 'initiator' } };
    const offer = { offer: 8, label: keeper.labels.alpha, authority: ALPHA };
    const honest = [
      message(HELLO),
      message({ ...start, offer }),
      message({ type: 'accept', id: 2, context }, Buffer.alloc(200, 0x41)),
      message({ type: 'receive', id: 3, run: 1 }, Buffer.alloc(60, 0x42)),
      message({ type: 'abandon', run: 1 }),
    ];
    for (let turn = 0; turn < 12; turn++) {
      const callers: RawCaller[] = [];
      for (let count = 0; count < 16; count++) {
        const caller = await RawCaller.connect(scope, keeper.path);
        callers.push(caller);
        caller.socket.write(damaged(honest, below));
        if (below(2) === 0) caller.socket.end();
        else caller.socket.destroy();
      }
      await Promise.all(callers.map(({ closed }) => closed));
    }
    const worker = await connectKeeper(scope, keeper.path);
    const { run } = await worker.start(
      { role: 'initiator', initiator: 'client', depth: 0, keyId: 1, generation: 0, algorithm: 3 },
      offer,
    );
    expect(run).toBe(1);
    expect((await keeper.process.atLeast(51, 'violation')).length).toBeGreaterThan(50);
  });
});
