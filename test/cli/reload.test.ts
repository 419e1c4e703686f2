import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { connect as connectSocket } from 'node:net';
import { text } from 'node:stream/consumers';
import { ALGORITHM } from '@keymux/keys';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { connectClient, keeperOf } from '../support/library.ts';
import { KeymuxProcess } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { tcpServer } from '../support/servers.ts';
import { makeKey, openTunnel } from '../support/tunnel.ts';

const scope = new Scope();
afterEach(() => scope.close());

const [A, B] = ['a.test', 'b.test'];
const LISTEN = ['--listen', '127.0.0.1:0'];

/** A server whose options are in a file, which can be changed. */
async function configured(scope: Scope, command: readonly string[], options: object) {
  const path = (await scope.directory())('keymux.json');
  const write = (changed: object | string): Promise<void> =>
    writeFile(path, typeof changed === 'string' ? changed : JSON.stringify(changed));
  await write(options);
  const server = await KeymuxProcess.start(scope, [...command, '--config', path]);
  let asked = 0;
  /** Changes the file, and waits until the server has read it. */
  const reload = async (changed: object | string): Promise<void> => {
    await write(changed);
    await hangUp(server, ++asked);
  };
  return { server, reload };
}

const isOutcome = ({ event }: { readonly event?: unknown }): boolean =>
  event === 'reloaded' || event === 'reload-refused';

/** Sends SIGHUP, and waits for the outcome with this number. */
async function hangUp(server: KeymuxProcess, number: number): Promise<void> {
  server.kill('SIGHUP');
  await expect.poll(() => server.events.filter(isOutcome).length, { interval: 20 }).toBe(number);
}

async function get(server: KeymuxProcess, host: string, ...args: readonly string[]): Promise<number | null> {
  const { code } = await keymuxInside([
    ...['get', `keymux://${host}/`, '--connect-to', server.address, ...args],
  ]);
  return code;
}

describe('SIGHUP', () => {
  test('gives an origin other hosts and keys; what it is sending goes on', async () => {
    const file = await scope.directory();
    const content = randomBytes(8 * 2 ** 20);
    await writeFile(file('large'), content);
    const [one, two] = [await makeKey(scope), await makeKey(scope)];
    const { server, reload } = await configured(scope, ['origin'], {
      key: [`${A}=${one}`],
      dir: [`${A}=${file('')}`],
    });
    const { keeper, labels } = await keeperOf({ file: one, authorities: [A] });
    const client = await connectClient(scope, server.address, { keeper });
    const key = await client.negotiate({
      algorithm: ALGORITHM.PSK_X25519,
      label: labels[0] ?? '',
      authority: A,
    });
    const { body } = await client.request({ host: A, path: '/large', key });
    const hash = createHash('sha256');
    let received = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      if (received === 0) {
        await reload({ key: [`${B}=${two}`] });
        await reload({ key: [`${B}=${two}`], limit: { 'max-concurrent-streams': 9 } });
      }
      hash.update(chunk);
      received += chunk.length;
    }
    expect(hash.digest('hex')).toBe(createHash('sha256').update(content).digest('hex'));
    expect(server.all('reloaded')).toHaveLength(2);
    expect((await client.request({ host: A, path: '/', key })).status).toBe(421);
    expect(await get(server, B, '--key', two)).toBe(0);
    expect(await get(server, A, '--key', one)).toBe(4);
  });

  test('disturbs no request, however often it comes', async () => {
    const options = { host: [A], limit: { 'max-concurrent-streams': 100 } };
    const { server, reload } = await configured(scope, ['origin'], options);
    const clients = await Promise.all([1, 2, 3, 4].map(() => connectClient(scope, server.address)));
    let goesOn = true;
    const asking = clients.map(async (client) => {
      let answers = 0;
      for (; goesOn; answers++) {
        const { status, body } = await client.request({ host: A, path: '/' });
        expect(status).toBe(200);
        await text(body);
      }
      return answers;
    });
    for (let times = 0; times < 20; times++) await reload({ ...options, key: [] });
    goesOn = false;
    for (const answers of await Promise.all(asking)) expect(answers).toBeGreaterThan(20);
    expect(server.all('reloaded')).toHaveLength(20);
  });

  test('gives a proxy and its clients another key; tunnels go on, and new ones are under the new key', async () => {
    const echo = await tcpServer(scope, (socket) => socket.pipe(socket));
    const [one, two] = [await makeKey(scope), await makeKey(scope)];
    const allow = [`127.0.0.1:${echo}`];
    const proxy = await configured(scope, ['proxy'], { key: [one], allow });
    const client = await configured(scope, ['connect', proxy.server.address], { key: one });
    const connect = client.server;
    const old = await openTunnel(scope, { connect }, echo);
    await proxy.reload({ key: [two], allow });
    await client.reload({ key: two });
    const fresh = await openTunnel(scope, { connect }, echo);
    for (const tunnel of [old, fresh]) {
      tunnel.end('as ever');
      expect(await text(tunnel)).toBe('as ever');
    }
    const [before, after] = await connect.atLeast(2, 'connected');
    expect([before?.level, after?.level]).toEqual(['authenticated', 'authenticated']);
    expect(await connect.next('disconnected')).not.toHaveProperty('error'); // the old session, as its tunnel has ended
    await proxy.reload({ key: [two], allow: ['127.0.0.1:1'] });
    await expect(openTunnel(scope, { connect }, echo)).rejects.toThrow(/403/);
    const refused = { destination: `127.0.0.1:${echo}`, status: 403 };
    expect(await connect.next('tunnel-failed')).toMatchObject(refused); // programs say little more than the status
  });

  test('gives a pipe another key and target', async () => {
    const saying = (word: string) => tcpServer(scope, (socket) => socket.end(word));
    const [one, two] = [await makeKey(scope), await makeKey(scope)];
    const [first, second] = [await saying('first'), await saying('second')];
    const source = ['-s', '[127.0.0.1]:0'];
    const inner = await configured(scope, ['pipe', '-d', ...source], {
      key: one,
      target: `[127.0.0.1]:${first}`,
    });
    const target = `[127.0.0.1]:${inner.server.port}`;
    const outer = await configured(scope, ['pipe', '-e', ...source], { key: one, target });
    const says = (): Promise<string> => text(connectSocket(outer.server.port, '127.0.0.1'));
    expect(await says()).toBe('first');
    await inner.reload({ key: two, target: `[127.0.0.1]:${second}` });
    await outer.reload({ key: '-', target });
    expect(outer.server.all('reload-refused')).toMatchObject([
      { error: expect.stringMatching(/cannot be read again/) },
    ]);
    await expect(says()).rejects.toMatchObject({ code: 'ECONNRESET' }); // the keys do not fit
    await outer.reload({ key: two, target });
    expect(await says()).toBe('second');
  });

  test('gives a front other hosts', async () => {
    const key = await makeKey(scope);
    const origin = await KeymuxProcess.start(scope, [
      'origin',
      '--behind-front',
      '--key',
      `${A}=${key}`,
      ...LISTEN,
    ]);
    const { server, reload } = await configured(scope, ['front'], { host: [`${B}=${origin.address}`] });
    expect(await get(server, A, '--key', key)).not.toBe(0);
    await reload({ host: [`${A}=${origin.address}`] });
    expect(await get(server, A, '--key', key)).toBe(0);
  });

  test('cannot change where a server listens; that is said, and the rest is taken', async () => {
    const path = (await scope.directory())('keymux.json');
    await writeFile(path, JSON.stringify({ host: [A], listen: '127.0.0.1:0' }));
    const server = await KeymuxProcess.start(scope, ['origin'], { KEYMUX_CONFIG: path });
    await writeFile(path, JSON.stringify({ host: [B], listen: '127.0.0.1:1' }));
    await hangUp(server, 1);
    expect(server.all('not-reloaded')).toMatchObject([{ option: '--listen' }]);
    expect(await get(server, B)).toBe(0); // where it has always listened
  });
});

describe('SIGHUP with a file', () => {
  const shared = new Scope();
  let server: KeymuxProcess;
  let reload: (changed: object | string) => Promise<void>;
  beforeAll(async () => {
    ({ server, reload } = await configured(shared, ['origin'], { host: [A] }));
  });
  afterAll(() => shared.close());

  test.each([
    ['is not JSON', '{ "host": ', /config file ".*" is not JSON/],
    ['has an unknown option', { hots: [B] }, /there is no option "hots"/],
    ['has a value that cannot be', { host: [B], limit: { connections: 0 } }, /connections must be/],
    ['names a key file that is not there', { key: [`${B}=/nowhere/b.key`] }, /\/nowhere\/b\.key/],
    ['names a directory that is not there', { dir: [`${B}=/nowhere`] }, /"\/nowhere" cannot be served/],
    ['has options that do not go together', { host: [B], sealed: true }, /--sealed needs a key/],
    ['has no host any more', {}, /no host to serve/],
  ])('that %s changes nothing, and the log says why', async (_, wrong, reason) => {
    await reload(wrong);
    expect(server.all('reload-refused').at(-1)).toMatchObject({ error: expect.stringMatching(reason) });
    expect(await get(server, A)).toBe(0);
    expect(await get(server, B)).toBe(1);
  });

  test('that is mended is taken', async () => {
    await reload({ host: [B] });
    expect(await get(server, B)).toBe(0);
  });
});
