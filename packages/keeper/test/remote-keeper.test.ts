import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { ALGORITHM, type KeyHolder, Keyring, REJECT_REASON, type RunContext, type Step } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { message } from '../../../test/support/keeper-messages.ts';
import { KeeperDouble } from '../../../test/support/keepers.ts';
import { connectKeeper, frameOf, serveKeeper, throughSocket } from '../../../test/support/remote-keepers.ts';
import { Scope } from '../../../test/support/scope.ts';
import { ALPHA, codeOf, failureOf, Keys } from '../../../test/support/victims.ts';
import { connectUnix, KeeperServer, RemoteKeeper } from '../src/index.ts';

const scope = new Scope();
afterEach(() => scope.close());

const keys = new Keys();
const algorithm = ALGORITHM.PSK_X25519;
const context: RunContext = {
  role: 'initiator',
  initiator: 'client',
  depth: 0,
  keyId: 1,
  generation: 0,
  algorithm,
};
const asked: RunContext = { ...context, role: 'responder' };
const offer = { offer: 1 << algorithm, label: keys.of(ALPHA), authority: ALPHA };
const AWAY = 'ERR_KEYMUX_KEEPER_AWAY';

const frame = (step: Step): Uint8Array => frameOf(step, algorithm);
const hex = ({ secrets }: Step) =>
  secrets.map(({ secret }) => secret.use((bytes) => Buffer.from(bytes).toString('hex')));

test('both sides of a run get the same secret through sockets, and the keepers have wiped theirs', async () => {
  const kept: Step[] = [];
  class Remembering extends KeeperDouble {
    readonly kept = [];
    override async accept(of: RunContext, first: Uint8Array): Promise<Step> {
      const step = await super.accept(of, first);
      kept.push(step);
      return step;
    }
  }
  const { path } = await serveKeeper(scope, new Remembering(keys.keeper()));
  const ours = await connectKeeper(scope, (await serveKeeper(scope, keys.keeper())).path);
  const theirs = await connectKeeper(scope, path);
  const first = await ours.start(context, offer);
  const second = await theirs.accept(asked, frame(first));
  const last = await ours.receive(first.run, frame(second));
  expect(hex(second)).toHaveLength(1);
  expect(hex(last)).toEqual(hex(second));
  expect(second.secrets[0]).toMatchObject({
    label: keys.of(ALPHA),
    authority: ALPHA,
    level: 'authenticated',
  });
  expect(kept[0]?.secrets.map(({ secret }) => secret.wiped)).toEqual([true]);
});

test('early data is marked as such, and as what may repeat as long as the keeper has just begun', async () => {
  const psk = { algorithm: ALGORITHM.PSK };
  const first = await keys.keeper().start({ ...context, ...psk }, { ...offer, offer: 1 << ALGORITHM.PSK });
  const bytes = frameOf(first, ALGORITHM.PSK);
  const accept = async (of: KeyHolder) =>
    (await throughSocket(scope, of)).accept({ ...asked, ...psk }, bytes);
  const early = { early: true, directions: 'initiator', forwardSecrecy: false };
  const late = { early: false, directions: 'both' };
  const { secrets } = await accept(keys.keeper());
  expect(secrets).toMatchObject([{ ...early, mayRepeat: true }, late]);
  const known = await accept(keys.keeper({ replaysKnownSince: 0 }));
  expect(known.secrets).toMatchObject([early, late]);
  expect(known.secrets[0]).not.toHaveProperty('mayRepeat');
});

describe('while the keeper is away', () => {
  /** A keeper that can go and come back. */
  async function place() {
    const { server, path } = await serveKeeper(scope, keys.keeper());
    const keeper = await connectKeeper(scope, path);
    const leave = async () => {
      const away = once(keeper, 'away');
      await server.close();
      return (await away)[0] as Error;
    };
    const comeBack = async () => {
      const back = once(keeper, 'back');
      await serveKeeper(scope, keys.keeper(), {}, path);
      await back;
    };
    return { keeper, leave, comeBack };
  }

  test('runs of this side fail at once, runs of peers are rejected for now, and both work again when it is back', async () => {
    const { keeper, leave, comeBack } = await place();
    const first = frame(await keys.keeper().start(context, offer));
    expect(await leave()).toMatchObject({ code: AWAY, scope: 'usage' });
    expect(await failureOf(keeper.start(context, offer))).toMatchObject({ code: AWAY, scope: 'usage' });
    expect(await keeper.accept(asked, first)).toMatchObject({
      ...{ done: true, secrets: [] },
      send: { reject: true, fin: true, data: Uint8Array.of(REJECT_REASON.NOT_NOW, 4, 1, 2, 3, 6) },
    });
    expect(keeper.algorithms).toEqual([1, 2, 3, 6]);
    await comeBack();
    expect((await keeper.start(context, offer)).done).toBe(false);
    expect((await keeper.accept(asked, first)).secrets).toHaveLength(1);
  });

  test('a run that it had begun is lost, and cannot be mistaken for a new one', async () => {
    const { keeper, leave, comeBack } = await place();
    const { run, ...step } = await keeper.start(context, offer);
    const answer = frame(await keys.keeper().accept(asked, frame({ run, ...step })));
    await leave();
    await comeBack();
    const next = await keeper.start(context, offer);
    expect(next.run).not.toBe(run);
    expect(codeOf(await failureOf(keeper.receive(run, answer)))).toBe(AWAY);
    keeper.abandon(run);
    expect(codeOf(await failureOf(keeper.receive(next.run, answer)))).toBe('ERR_KEYMUX_KEY_FAILURE');
  });

  test('there is none at the start', async () => {
    const path = (await scope.directory())('nobody.sock');
    const error = await failureOf(connectKeeper(scope, path));
    expect(error).toMatchObject({ code: AWAY, cause: { code: 'ENOENT' } });
  });
});

test('a keeper that is busy makes runs of peers fail for now as well', async () => {
  const { path } = await serveKeeper(scope, keys.keeper(), { maxRuns: 0 });
  const keeper = await connectKeeper(scope, path);
  const first = frame(await keys.keeper().start(context, offer));
  expect(codeOf(await failureOf(keeper.start(context, offer)))).toBe('ERR_KEYMUX_KEEPER_BUSY');
  const { send } = await keeper.accept(asked, first);
  expect([send?.reject, send?.data[0]]).toEqual([true, REJECT_REASON.TOO_MANY_RUNS]);
});

test('an answer that comes too late is not used, and its run is forgotten', async () => {
  const late: (() => void)[] = [];
  class Slow extends KeeperDouble {
    readonly kept = [];
    override async start(...given: Parameters<KeeperDouble['start']>): Promise<Step> {
      await new Promise<void>((resolve) => late.push(resolve));
      return super.start(...given);
    }
  }
  const { path, audit } = await serveKeeper(scope, new Slow(keys.keeper()));
  const keeper = await connectKeeper(scope, path, 50);
  const error = await failureOf(keeper.start(context, offer));
  expect(error).toMatchObject({ code: AWAY, message: expect.stringMatching(/does not answer within 50 ms/) });
  for (const answer of late) answer();
  await expect.poll(() => audit.at(-1)).toMatchObject({ event: 'abandoned', run: 1 });
});

describe('a keeper that is none', () => {
  /** Says something to everybody who connects, and to each message after that. */
  async function impostor(greeting: Buffer, answer?: Buffer): Promise<{ path: string; server: Server }> {
    const server = createServer((socket: Socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => {
        socket.write(greeting);
        socket.on('data', () => answer && socket.write(answer));
      });
    });
    const path = (await scope.directory())('impostor.sock');
    await once(server.listen(path), 'listening');
    scope.defer(() => server.close());
    return { path, server };
  }
  const WELCOME = { type: 'welcome', version: 1, algorithms: [3], kept: [], pipes: [] };
  const STEP = { type: 'step', id: 1, run: 1, done: true, secrets: [] };
  const SECRET = {
    ...{ generation: 0, directions: 'both', early: false, confirmed: true, level: 'authenticated' },
    ...{ forwardSecrecy: true, algorithm: 3, label: 'x', authority: '', peer: 'x' },
  };

  test.each<[string, Buffer]>([
    ['says nothing that is a message', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['has another version', message({ ...WELCOME, version: 2 })],
    ['answers before it was asked', message(STEP)],
    ['adds data to its greeting', message(WELCOME, new Uint8Array(1))],
    ['adds a field to its greeting', message({ ...WELCOME, key: 'x' })],
    ['says which versions it has', message({ type: 'refused', reason: 'version', versions: [2] })],
  ])('%s', async (_what, greeting) => {
    const { path } = await impostor(greeting);
    expect(codeOf(await failureOf(connectKeeper(scope, path, 1_000)))).toBe(AWAY);
  });

  test('does not say anything', async () => {
    const { path } = await impostor(Buffer.alloc(0));
    const error = await failureOf(connectKeeper(scope, path, 50));
    expect(error).toMatchObject({ code: AWAY, cause: { message: expect.stringMatching(/within 50 ms/) } });
  });

  test.each<[string, Buffer]>([
    ['welcomes twice', message(WELCOME)],
    ['answers what was not asked', message({ ...STEP, id: 2 })],
    ['changes in a way that there is not', message({ type: 'changed', kept: [] })],
    ['answers for a pipe', message({ type: 'turn', id: 1, run: 1, awaits: 32, keys: false })],
    ['leaves out a secret', message({ ...STEP, secrets: [SECRET] }, new Uint8Array(31))],
    ['adds a secret', message(STEP, new Uint8Array(32))],
    [
      'tells a secret in words',
      message({ ...STEP, secrets: [{ ...SECRET, secret: 'x' }] }, new Uint8Array(32)),
    ],
    ['gives three', message({ ...STEP, secrets: [SECRET, SECRET, SECRET] }, new Uint8Array(96))],
    [
      'fails in a way that there is not',
      message({ type: 'failed', id: 1, code: 'ERR_OTHER', scope: 'session' }),
    ],
  ])('%s', async (_what, answer) => {
    const { path } = await impostor(message(WELCOME), answer);
    const keeper = await connectKeeper(scope, path);
    const away = once(keeper, 'away');
    expect(codeOf(await failureOf(keeper.start(context, offer)))).toBe(AWAY);
    await away;
  });

  test('control: one that keeps to the rules is believed', async () => {
    const { path } = await impostor(
      message(WELCOME),
      message({ ...STEP, secrets: [SECRET] }, new Uint8Array(32)),
    );
    const step = await (await connectKeeper(scope, path)).start(context, offer);
    expect(hex(step)).toEqual(['00'.repeat(32)]);
  });
});

test('the wait before it looks for the keeper again grows, and is left to chance by half', async () => {
  const { server, path } = await serveKeeper(scope, keys.keeper());
  const times: number[] = [];
  const keeper = await RemoteKeeper.connect({
    connect: (signal) => {
      times.push(performance.now());
      return connectUnix(path, signal);
    },
    backoff: { least: 20, most: 80 },
  });
  scope.defer(() => keeper.close());
  await server.close();
  await expect.poll(() => times.length).toBeGreaterThan(5);
  const waits = times.slice(2, 6).map((time, index) => time - (times[index + 1] ?? 0));
  for (const [index, least] of [20, 40, 40, 40].entries()) expect(waits[index]).toBeGreaterThan(least - 2);
});

test('it says so when the keeper has other keys, also if that happened while it was away', async () => {
  const local = keys.keeper();
  const { server, path } = await serveKeeper(scope, local);
  const keeper = await connectKeeper(scope, path);
  const only = (authority: string) => {
    const keyring = new Keyring();
    keyring.add(keys.alpha, { authorities: [authority] });
    return { keyring };
  };
  const changed = once(keeper, 'changed');
  local.replace(only('one.test'));
  server.announce();
  await changed;
  expect(keeper.kept.map(({ authority }) => authority)).toEqual(['one.test']);
  const changedAway = once(keeper, 'changed');
  await server.close();
  local.replace(only('two.test'));
  await serveKeeper(scope, local, {}, path);
  await changedAway;
  expect(keeper.kept.map(({ authority }) => authority)).toEqual(['two.test']);
});

test('it lets go of a keeper that has not welcomed it yet', async () => {
  const { server, path } = await serveKeeper(scope, keys.keeper());
  const keeper = await connectKeeper(scope, path);
  await server.close();
  const silent = createServer().listen(path);
  scope.defer(() => silent.close());
  const [socket] = (await once(silent, 'connection')) as [Socket];
  scope.defer(() => socket.destroy());
  await once(socket, 'data'); // hello
  const ended = once(socket, 'end');
  keeper.close();
  await ended; // long before the 9.5 seconds for an answer
});

test('one connection may be given instead of a path', async () => {
  const server = new KeeperServer({ keeper: keys.keeper() });
  const ends = createServer((socket) => server.serve(socket, { name: 'worker 7' }));
  const path = (await scope.directory())('pair.sock');
  await once(ends.listen(path), 'listening');
  scope.defer(() => ends.close());
  scope.defer(() => server.close());
  const entry = once(server, 'audit');
  await connectKeeper(scope, path);
  expect((await entry)[0]).toEqual({ caller: 'worker 7 1', event: 'connected' });
});
