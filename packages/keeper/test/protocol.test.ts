import { once } from 'node:events';
import { readFile, rename, stat, writeFile } from 'node:fs/promises';
import { createServer, Server } from 'node:net';
import { type KeyHolder, Keyring, LocalSpipedKeeper } from '@keymux/keys';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { HELLO, message } from '../../../test/support/keeper-messages.ts';
import { CONTEXT, RawCaller, serveKeeper } from '../../../test/support/remote-keepers.ts';
import { Scope } from '../../../test/support/scope.ts';
import { ALPHA, Keys } from '../../../test/support/victims.ts';
import { KeeperServer } from '../src/index.ts';

const scope = new Scope();
afterEach(() => scope.close());

const keys = new Keys();
const OFFER = { offer: 8, label: keys.of(ALPHA), authority: ALPHA };
const START = { type: 'start', id: 1, context: CONTEXT, offer: OFFER };

/** Somebody who was welcomed by a keeper, and the keeper's log. */
async function greeted(options: Parameters<typeof serveKeeper>[2] = {}, keeper: KeyHolder = keys.keeper()) {
  const served = await serveKeeper(scope, keeper, options);
  const caller = await RawCaller.connect(scope, served.path);
  caller.send(HELLO);
  const welcome = await caller.reply(0);
  return { ...served, caller, welcome };
}

const violations = (audit: readonly { event: string; problem?: string }[]) =>
  audit.filter(({ event }) => event === 'violation').map(({ problem }) => problem);

test('says what it has keys for, and begins a run', async () => {
  const { caller, welcome, audit } = await greeted();
  expect(welcome).toEqual({
    type: 'welcome',
    version: 1,
    algorithms: [1, 2, 3, 6],
    kept: ['', ALPHA, 'beta.test'].map((authority) => ({
      label: keys.of(authority),
      authority,
      roles: ['initiator', 'responder'],
      proves: 'key',
    })),
    pipes: [],
  });
  caller.send(START);
  expect(await caller.reply(1)).toEqual({
    ...{ type: 'step', id: 1, run: 1, done: false, secrets: [] },
    send: { fin: true, reject: false },
  });
  expect(audit.at(-1)).toEqual({ caller: '1', event: 'begun', run: 1, context: CONTEXT, offer: OFFER });
});

describe('whoever says anything else is disconnected', () => {
  const data = new Uint8Array(1);
  const { offer: _, ...withoutOffer } = START;
  test.each<[string, Buffer]>([
    ['no length', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['a length below that of a head', Buffer.from('00000003000000', 'hex')],
    ['one byte more than a request may have', Buffer.from('00004001', 'hex')],
    ['4 GiB', Buffer.from('ffffffff00000000', 'hex')],
    ['a head beyond its message', Buffer.from('00000006000000037b7d', 'hex')],
    ['no JSON', message('{"type":"abandon","run":1')],
    [
      'bytes that are no UTF-8',
      Buffer.concat([message('').subarray(0, 3), Buffer.from('0500000001ff', 'hex')]),
    ],
    ['null', message('null')],
    ['a list', message([])],
    ['no type', message({})],
    ['an unknown type', message({ type: 'sign', id: 1 }, new Uint8Array(32))],
    ['the type of an answer', message({ type: 'welcome', version: 1, algorithms: [], kept: [], pipes: [] })],
    ['a type of objects', message('{"type":"__proto__"}')],
    ['a prototype', message('{"type":"abandon","run":1,"__proto__":{"run":2}}')],
    ['a second hello', message(HELLO)],
    ['a field that is not known', message({ ...START, sign: 'x' })],
    ['a field of the context that is not known', message({ ...START, context: { ...CONTEXT, T: 'x' } })],
    ['a field that is missing', message(withoutOffer)],
    ['a number as text', message({ ...START, id: '1' })],
    ['a broken number', message({ ...START, id: 1.5 })],
    ['request 0', message({ ...START, id: 0 })],
    ['a request beyond 32 bits', message({ ...START, id: 2 ** 32 })],
    ['a depth beyond 8 bits', message({ ...START, context: { ...CONTEXT, depth: 256 } })],
    ['a label that is too long', message({ ...START, offer: { ...OFFER, label: 'a'.repeat(65) } })],
    ['data where there is none', message(START, data)],
    ['data with abandon', message({ type: 'abandon', run: 1 }, data)],
    ['a message for a run that there is not', message({ type: 'receive', id: 1, run: 1 }, data)],
  ])('%s', async (_what, bytes) => {
    const { caller, audit, path } = await greeted();
    caller.socket.write(bytes);
    await caller.closed;
    expect(caller.replies).toHaveLength(1);
    expect(violations(audit)).toHaveLength(1);
    // The keeper itself goes on.
    const other = await RawCaller.connect(scope, path);
    other.send(HELLO);
    expect(await other.reply(0)).toMatchObject({ type: 'welcome' });
  });

  test('a request before hello', async () => {
    const { path, audit } = await serveKeeper(scope, keys.keeper());
    const caller = await RawCaller.connect(scope, path);
    caller.send(START);
    await caller.closed;
    expect([caller.replies, violations(audit)]).toEqual([[], ['a request before hello']]);
  });

  test('hello with data', async () => {
    const { path } = await serveKeeper(scope, keys.keeper());
    const caller = await RawCaller.connect(scope, path);
    caller.send(HELLO, data);
    await caller.closed;
    expect(caller.replies).toEqual([]);
  });

  test('nothing at all, for as long as a caller may take', async () => {
    const { path, audit } = await serveKeeper(scope, keys.keeper(), { helloTimeout: 20 });
    const caller = await RawCaller.connect(scope, path);
    await caller.closed;
    expect(violations(audit)).toEqual(['no message within 20 ms']);
  });

  test('a request number for the second time', async () => {
    const { caller, audit } = await greeted();
    caller.send(START);
    await caller.reply(1);
    caller.send(START);
    await caller.closed;
    expect(violations(audit)).toEqual(['a request with a number that was used before']);
  });

  test('a second message for a run while the first is looked at', async () => {
    const { caller, audit } = await greeted();
    caller.send(START);
    await caller.reply(1);
    const next = (id: number) => message({ type: 'receive', id, run: 1 }, data);
    caller.socket.write(Buffer.concat([next(2), next(3)]));
    await caller.closed;
    expect(violations(audit)).toEqual(['a message for a run that awaits none']);
  });
});

describe('a keeper that is given other keys', () => {
  const ALL = { type: 'changed', algorithms: [1, 2, 3, 6] };
  const keptFor = (authority: string) => ({ label: keys.of(authority), authority, proves: 'key' });

  test('tells each caller what has changed for him, and nobody what has not', async () => {
    const keeper = keys.keeper();
    const { server, path, caller } = await greeted({}, keeper);
    const alone = await RawCaller.connect(scope, path);
    const silent = await RawCaller.connect(scope, path); // says no hello
    alone.send(HELLO);
    await alone.reply(0);
    server.announce();
    const keyring = new Keyring();
    keyring.add(keys.alpha, { authorities: [ALPHA] });
    keeper.replace({ keyring });
    server.announce();
    server.announce();
    expect(await caller.reply(1)).toMatchObject({ ...ALL, kept: [keptFor(ALPHA)] });
    expect(await alone.reply(1)).toMatchObject({ ...ALL, kept: [keptFor(ALPHA)] });
    caller.send(START);
    expect(await caller.reply(2)).toMatchObject({ type: 'step' });
    expect([caller.replies.length, alone.replies.length, silent.replies.length]).toEqual([3, 2, 0]);
  });

  test('tells nobody of what he may not use', async () => {
    const keeper = keys.keeper();
    const { server, caller } = await greeted({}, keeper.limitedTo(['beta.test']));
    const keyring = new Keyring();
    keyring.add(keys.beta, { authorities: ['beta.test'] });
    keeper.replace({ keyring });
    server.announce();
    caller.send(START);
    expect(await caller.reply(1)).toMatchObject({ type: 'failed', code: 'ERR_KEYMUX_KEY_UNKNOWN' });
  });
});

test('who speaks no version in common is told which there are', async () => {
  const { path, audit } = await serveKeeper(scope, keys.keeper());
  const caller = await RawCaller.connect(scope, path);
  caller.send({ type: 'hello', versions: [2, 7] });
  await caller.closed;
  expect(caller.replies).toEqual([{ type: 'refused', reason: 'version', versions: [1] }]);
  expect(violations(audit)).toEqual(['no version in common: it speaks 2, 7']);
  const later = await RawCaller.connect(scope, path);
  later.send({ type: 'hello', versions: [7, 1] });
  expect(await later.reply(0)).toMatchObject({ type: 'welcome', version: 1 });
});

test('messages may come in any pieces', async () => {
  const { path } = await serveKeeper(scope, keys.keeper());
  const caller = await RawCaller.connect(scope, path);
  for (const byte of Buffer.concat([message(HELLO), message(START)])) {
    caller.socket.write(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  expect(await caller.reply(1)).toMatchObject({ type: 'step', id: 1 });
});

test('no run of another caller can be gone on with or abandoned', async () => {
  const keeper = keys.keeper();
  const { caller, path } = await greeted({}, keeper);
  caller.send(START);
  const first = await caller.reply(1);
  const other = await RawCaller.connect(scope, path);
  other.send(HELLO);
  other.send({ type: 'abandon', run: first.run });
  other.send({ type: 'receive', id: 1, run: first.run }, new Uint8Array(12));
  await other.closed;
  expect(other.replies).toHaveLength(1);
  // The run itself is as it was: a wrong message ends it in the way it does.
  caller.send({ type: 'receive', id: 2, run: first.run }, new Uint8Array(12));
  expect(await caller.reply(2)).toEqual({
    ...{ type: 'failed', id: 2, code: 'ERR_KEYMUX_KEY_FAILURE', scope: 'session', reason: 'malformed' },
  });
});

test('an error is told by its code alone; the text stands in the log', async () => {
  const { caller, audit } = await greeted();
  caller.send({ ...START, offer: { ...OFFER, authority: 'gamma.test' } });
  expect(await caller.reply(1)).toEqual({
    type: 'failed',
    id: 1,
    code: 'ERR_KEYMUX_KEY_UNKNOWN',
    scope: 'usage',
  });
  expect(audit.at(-1)).toMatchObject({ event: 'refused', problem: expect.stringContaining('"gamma.test"') });
});

test('what a keeper throws, whatever it is, becomes an answer', async () => {
  const keeper: KeyHolder = {
    ...{ algorithms: [3], kept: [] },
    start: () => {
      throw new TypeError('CANARY');
    },
    accept: () => Promise.reject(undefined),
    receive: () => Promise.reject(new Error('never')),
    abandon: () => undefined,
  };
  const { caller } = await greeted({}, keeper);
  caller.send(START);
  caller.send({ type: 'accept', id: 2, context: { ...CONTEXT, role: 'responder' } }, new Uint8Array(12));
  const failed = { type: 'failed', code: 'ERR_KEYMUX_KEY_FAILURE', scope: 'session', reason: 'keeper' };
  expect([await caller.reply(1), await caller.reply(2)]).toEqual([
    { ...failed, id: 1 },
    { ...failed, id: 2 },
  ]);
});

describe('handshakes of spiped', () => {
  const pipeKey = new LocalSpipedKeeper({ key: keys.connection });
  const pipes = { labels: ['mail'], find: (label: string) => (label === 'mail' ? pipeKey : undefined) };
  const PIPE = { type: 'pipe', id: 1, role: 'client', label: 'mail' };

  test('are begun with a key that there is, and no other', async () => {
    const { caller, welcome, audit } = await greeted({ pipes });
    expect(welcome).toMatchObject({ pipes: ['mail'] });
    caller.send({ ...PIPE, label: 'other' });
    caller.send({ ...PIPE, id: 2 });
    const answers = [await caller.reply(1), await caller.reply(2)];
    expect(answers.sort((a, b) => Number(a.id) - Number(b.id))).toEqual([
      { type: 'failed', id: 1, code: 'ERR_KEYMUX_KEY_UNKNOWN', scope: 'usage' },
      { type: 'turn', id: 2, run: 2, awaits: 32, keys: false },
    ]);
    expect(audit.filter(({ event }) => event === 'begun').at(-1)).toEqual({
      ...{ caller: '1', event: 'begun', run: 2, pipe: { role: 'client', label: 'mail' } },
    });
  });

  test.each([31, 33])('go on with 32 bytes, and not with %i', async (length) => {
    const { caller, audit } = await greeted({ pipes });
    caller.send(PIPE);
    await caller.reply(1);
    caller.send({ type: 'receive', id: 2, run: 1 }, new Uint8Array(length));
    await caller.closed;
    expect(violations(audit)).toHaveLength(1);
  });

  test('are counted with the runs, and forgotten with them', async () => {
    const { caller } = await greeted({ pipes, maxRuns: 1 });
    caller.send(PIPE);
    await caller.reply(1);
    caller.send({ ...PIPE, id: 2 });
    expect(await caller.reply(2)).toMatchObject({ code: 'ERR_KEYMUX_KEEPER_BUSY' });
    caller.send({ type: 'abandon', run: 1 });
    caller.send({ ...PIPE, id: 3 });
    expect(await caller.reply(3)).toMatchObject({ type: 'turn', id: 3, run: 2 });
  });
});

describe('quotas', () => {
  const begin = (id: number) => ({ ...START, id });

  test('runs in progress: more are refused, until one is over', async () => {
    const { caller, audit } = await greeted({ maxRuns: 2 });
    for (const id of [1, 2, 3, 4]) caller.send(begin(id));
    await caller.reply(4);
    expect(caller.replies).toMatchObject([
      { type: 'welcome' },
      { type: 'failed', id: 3, code: 'ERR_KEYMUX_KEEPER_BUSY' },
      { type: 'failed', id: 4, code: 'ERR_KEYMUX_KEEPER_BUSY' },
      { type: 'step', run: 1 },
      { type: 'step', run: 2 },
    ]);
    expect(audit.filter(({ event }) => event === 'busy')).toHaveLength(1);
    caller.send({ type: 'abandon', run: 2 });
    caller.send(begin(5));
    expect(await caller.reply(5)).toMatchObject({ type: 'step', id: 5, run: 3 });
  });

  test('requests: who has used them up begins nothing more, may end what he has begun, and gains new ones with time', async () => {
    let now = 0;
    const { caller } = await greeted({ requests: { burst: 4, rate: 1 }, now: () => now });
    for (const id of [1, 2, 3, 4]) caller.send(begin(id)); // with hello one too many
    expect(await caller.reply(4)).toMatchObject({ type: 'step', id: 3 });
    expect(caller.replies[1]).toMatchObject({ type: 'failed', id: 4, code: 'ERR_KEYMUX_KEEPER_BUSY' });
    caller.send({ type: 'receive', id: 5, run: 1 }, new Uint8Array(12));
    expect(await caller.reply(5)).toMatchObject({ type: 'failed', id: 5, reason: 'malformed' });
    now = 3_000;
    caller.send(begin(6));
    expect(await caller.reply(6)).toMatchObject({ type: 'step', id: 6 });
  });

  test('who does not listen is disconnected', async () => {
    const { caller, audit } = await greeted({ requests: { burst: 4, rate: 1 }, now: () => 0 });
    for (let run = 1; run < 9; run++) caller.send({ type: 'abandon', run });
    await caller.closed;
    expect(violations(audit)).toEqual(['more requests than a caller may send']);
  });

  test('callers', async () => {
    const { path, caller, audit } = await greeted({ maxCallers: 1 });
    const second = await RawCaller.connect(scope, path);
    await second.closed;
    expect(second.replies).toEqual([{ type: 'refused', reason: 'too-many', versions: [1] }]);
    expect(audit.at(-1)).toMatchObject({ caller: '2', event: 'busy' });
    caller.socket.destroy();
    await expect.poll(() => audit.at(-1)?.event).toBe('disconnected');
    const third = await RawCaller.connect(scope, path);
    third.send(HELLO);
    expect(await third.reply(0)).toMatchObject({ type: 'welcome' });
  });

  test('connections: nobody gets new requests by connecting again', async () => {
    let now = 0;
    const { path, audit } = await greeted({ connections: { burst: 2, rate: 1 }, now: () => now });
    const connect = async () => {
      const caller = await RawCaller.connect(scope, path);
      caller.send(HELLO);
      return caller.reply(0);
    };
    const answers = [await connect(), await connect(), await connect()];
    expect(answers.map(({ type }) => type)).toEqual(['welcome', 'refused', 'refused']);
    expect(audit.filter(({ event }) => event === 'busy')).toHaveLength(1);
    now = 1_000; // those that were refused are owed by nobody
    expect(await connect()).toMatchObject({ type: 'welcome' });
  });

  test('a caller with a name has them once, whatever he connects', async () => {
    const server = new KeeperServer({ keeper: keys.keeper(), maxRuns: 2, maxConnections: 2 });
    const name = (index: number) => (index < 3 ? 'edge' : 'other');
    let accepted = 0;
    const sockets = createServer((socket) => server.serve(socket, { name: name(accepted++) }));
    const path = (await scope.directory())('named.sock');
    await once(sockets.listen(path), 'listening');
    scope.defer(() => Promise.all([sockets.close(), server.close()]));
    const [one, two, three, other] = [0, 0, 0, 0].map(() => RawCaller.connect(scope, path));
    const all = await Promise.all([one, two, three, other]);
    for (const caller of all) caller?.send(HELLO);
    const greetings = await Promise.all(all.map((caller) => caller?.reply(0)));
    expect(greetings.map((greeting) => greeting?.type).sort()).toEqual([
      'refused',
      'welcome',
      'welcome',
      'welcome',
    ]);
    for (const caller of all) for (const id of [1, 2]) caller?.send(begin(id));
    const answers = await Promise.all(
      all
        .filter((_, at) => greetings[at]?.type === 'welcome')
        .map((caller) => caller?.reply(2).then(() => caller?.replies)),
    );
    const steps = answers.map((replies) => replies?.filter(({ type }) => type === 'step').length ?? 0);
    expect(steps.reduce((sum, count) => sum + count)).toBe(4); // two of the edge, two of the other
  });

  test('the runs of who disconnects are forgotten', async () => {
    const keeper = keys.keeper({ maxRuns: 1 });
    const { caller, path, audit } = await greeted({}, keeper);
    caller.send(START);
    await caller.reply(1);
    caller.socket.destroy();
    await expect.poll(() => audit.at(-1)?.event).toBe('disconnected');
    const other = await RawCaller.connect(scope, path);
    other.send(HELLO);
    other.send(START);
    expect(await other.reply(1)).toMatchObject({ type: 'step' });
  });

  test('who does not read what he is told is not read from', async () => {
    const { caller } = await greeted({ requests: { burst: 1_000_000, rate: 1 }, maxRuns: 1 });
    caller.socket.pause();
    let blocked = false;
    for (let id = 1; id < 200_000 && !blocked; id++) {
      if (caller.socket.write(message(begin(id)))) continue;
      const drained = once(caller.socket, 'drain').then(() => true);
      blocked = !(await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, 500))]));
    }
    expect(blocked).toBe(true);
    caller.socket.destroy();
  });
});

test('a socket that was left behind is taken over, one that answers is not, nor is what is no socket', async () => {
  const { path } = await serveKeeper(scope, keys.keeper());
  await expect(serveKeeper(scope, keys.keeper(), {}, path)).rejects.toMatchObject({ code: 'EADDRINUSE' });
  const file = await scope.directory();
  const left = createServer().listen(file('before'));
  await once(left, 'listening');
  await rename(file('before'), file('left'));
  left.close();
  await serveKeeper(scope, keys.keeper(), {}, file('left'));
  const caller = await RawCaller.connect(scope, file('left'));
  caller.send(HELLO);
  expect(await caller.reply(0)).toMatchObject({ type: 'welcome' });
  await writeFile(file('file'), 'precious');
  await expect(serveKeeper(scope, keys.keeper(), {}, file('file'))).rejects.toMatchObject({
    code: 'EADDRINUSE',
  });
  expect(await readFile(file('file'), 'utf8')).toBe('precious');
});

test('a path that the system would cut is refused, at both ends', async () => {
  const long = (await scope.directory())('s'.repeat(120));
  const refused = { code: 'ENAMETOOLONG', message: expect.stringMatching(/has at most 10[37] bytes/) };
  await expect(serveKeeper(scope, keys.keeper(), {}, long)).rejects.toMatchObject(refused);
  await expect(RawCaller.connect(scope, long)).rejects.toMatchObject(refused);
});

test('no connection that could not be accepted ends the process', async () => {
  const server = new KeeperServer({ keeper: keys.keeper() });
  const place = (await scope.directory())('keeper.sock');
  const listen = vi.spyOn(Server.prototype, 'listen');
  await server.listen({ path: place });
  scope.defer(() => server.close());
  const [inner] = listen.mock.instances;
  listen.mockRestore();
  // Throws if nobody listens to it.
  (inner as unknown as Server).emit('error', new Error('accept EMFILE'));
  const caller = await RawCaller.connect(scope, place);
  caller.send(HELLO);
  expect(await caller.reply(0)).toMatchObject({ type: 'welcome' });
});

test.skipIf(process.platform === 'win32')(
  'only the user, or the group where that is asked for, can connect',
  async () => {
    const { path } = await serveKeeper(scope, keys.keeper());
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const shared = new KeeperServer({ keeper: keys.keeper() });
    const place = (await scope.directory())('shared.sock');
    await shared.listen({ path: place, mode: 0o660 });
    scope.defer(() => shared.close());
    expect((await stat(place)).mode & 0o777).toBe(0o660);
  },
);
