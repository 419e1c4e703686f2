import { once } from 'node:events';
import { request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { Client } from '@keymux/client';
import { LocalSpipedKeeper, PreSharedKey } from '@keymux/keys';
import { type HostOptions, Origin, type OriginOptions } from '@keymux/origin';
import { PipeServer, type PipeServerOptions } from '@keymux/pipe';
import { ConnectProxy, Front, type FrontOptions, type ProxyOptions } from '@keymux/proxy';
import { afterEach, describe, expect, test } from 'vitest';
import { bodyOf, connectClient, keeperOf } from '../support/library.ts';
import { Scope } from '../support/scope.ts';
import { tcpServer } from '../support/servers.ts';
import { makeKey } from '../support/tunnel.ts';

const scope = new Scope();
afterEach(() => scope.close());

const LOOPBACK = { host: '127.0.0.1', port: 0 };
const A = 'a.test';
const B = 'b.test';

const saying = (name: string, body: string): HostOptions => ({
  name,
  handler: () => ({ status: 200, body }),
});

async function started<
  T extends { listen(options: typeof LOOPBACK): Promise<unknown>; close(): Promise<void> },
>(server: T): Promise<{ server: T; address: string; port: number }> {
  const { port } = (await server.listen(LOOPBACK)) as AddressInfo;
  scope.defer(() => server.close());
  return { server, port, address: `127.0.0.1:${port}` };
}

const startOrigin = (options: OriginOptions) => started(new Origin(options));
const startProxy = (options: ProxyOptions) => started(new ConnectProxy(options));

async function ask(client: Client, host: string): Promise<readonly [status: number, body: string]> {
  const answer = await client.request({ host, path: '/' });
  return [answer.status, await bodyOf(answer)];
}

/** Whether a server takes a further connection: it would close it at once. */
async function isTaken(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  scope.defer(() => socket.destroy());
  socket.write(Buffer.from([0x80])); // a session, which goes on later
  return Promise.race([once(socket, 'end').then(() => false), once(socket, 'data').then(() => true)]);
}

describe('an origin that gets other options', () => {
  test('has the new hosts at once, also for sessions that it has; what goes on goes on', async () => {
    const body = new PassThrough();
    const slow: HostOptions = { name: A, handler: () => ({ status: 200, body }) };
    const { server, address } = await startOrigin({ hosts: [slow] });
    const client = await connectClient(scope, address);
    const running = await client.request({ host: A, path: '/' });
    body.write('before, ');
    server.reconfigure({ hosts: [saying(B, 'b')] });
    expect((await ask(client, A))[0]).toBe(421);
    expect(await ask(client, B)).toEqual([200, 'b']);
    body.end('after');
    expect(await bodyOf(running)).toBe('before, after');
  });

  test('takes no more sessions of a client than it has, if it has more than may be', async () => {
    const hosts = [saying(A, 'a')];
    const { server, port, address } = await startOrigin({ hosts });
    const [first, second] = [await connectClient(scope, address), await connectClient(scope, address)];
    await Promise.all([first.session.ping(), second.session.ping()]);
    server.reconfigure({ hosts, limits: { connectionsPerClient: 2 } });
    expect(await isTaken(port)).toBe(false);
    expect(await ask(first, A)).toEqual([200, 'a']);
    await second.close();
    server.reconfigure({ hosts });
    expect(await isTaken(port)).toBe(true);
  });

  test('gives new sessions the new limits', async () => {
    const hosts = [saying(A, 'a')];
    const { server, address } = await startOrigin({ hosts });
    const old = await connectClient(scope, address);
    await old.session.ping();
    server.reconfigure({ hosts, limits: { maxConcurrentStreams: 1 } });
    const fresh = await connectClient(scope, address);
    await fresh.session.ping();
    const openThree = ({ session }: Client): void => {
      for (let count = 0; count < 3; count++)
        session.openStream([[':method', 'POST']]).on('error', () => undefined);
    };
    expect(() => openThree(old)).not.toThrow();
    expect(() => openThree(fresh)).toThrow(expect.objectContaining({ code: 'ERR_KEYMUX_TOO_MANY_STREAMS' }));
  });

  test('lets in pages of the origins that are listed now', async () => {
    const hosts = [saying(A, 'a')];
    const { server, port } = await startOrigin({ hosts, origins: ['https://old.test'] });
    const connects = (origin: string): Promise<boolean> =>
      new Promise((resolve) => {
        const headers = { connection: 'Upgrade', upgrade: 'SPDY/3.1', origin };
        request({ host: '127.0.0.1', port, headers })
          .on('upgrade', (_answer, socket) => {
            socket.destroy();
            resolve(true);
          })
          .on('response', (answer) => {
            answer.resume();
            resolve(false);
          })
          .end();
      });
    server.reconfigure({ hosts, origins: ['https://new.test'] });
    expect(await connects('https://old.test')).toBe(false);
    expect(await connects('https://new.test')).toBe(true);
  });

  test('has another keeper for new sessions', async () => {
    const file = await makeKey(scope);
    const { keeper, labels } = await keeperOf({ file, authorities: [A] });
    const [label = ''] = labels;
    const hosts = [saying(A, 'a')];
    const { server, address } = await startOrigin({ hosts });
    const connected = async (): Promise<Client> =>
      connectClient(scope, address, { keeper: (await keeperOf({ file, authorities: [A] })).keeper });
    const old = await connected();
    await old.session.ping();
    server.reconfigure({ hosts, keeper });
    const fresh = await connected();
    const key = await fresh.negotiate({ algorithm: 3, label, authority: A });
    expect(key.level).toBe('authenticated');
    expect(old.session.peerAlgorithms ?? 0).toBe(0);
  });

  test.each([
    ['a limit', { limits: { connections: 0 } }],
    ['a limit of sessions', { limits: { streamWindow: 1 } }],
    ['a limit of negotiations', { limits: { runs: 0 } }],
  ])('stays as it was if %s is out of its range', async (_, wrong) => {
    const { server, port, address } = await startOrigin({
      hosts: [saying(A, 'a')],
      limits: { connections: 2 },
    });
    const client = await connectClient(scope, address);
    expect(() => server.reconfigure({ hosts: [saying(B, 'b')], ...wrong })).toThrow(
      expect.objectContaining({ code: 'ERR_KEYMUX_CONFIG' }),
    );
    expect(await ask(client, A)).toEqual([200, 'a']);
    await connectClient(scope, address).then(({ session }) => session.ping());
    expect(await isTaken(port)).toBe(false); // the third
  });
});

describe('a proxy that gets other options', () => {
  const echo = (): Promise<number> => tcpServer(scope, (socket) => socket.pipe(socket));
  const open = (client: Client, port: number) => client.tunnel('127.0.0.1', port);

  test('has the new rules at once, also for sessions that it has; tunnels go on', async () => {
    const [one, two] = [await echo(), await echo()];
    const { server, address } = await startProxy({ allow: [`127.0.0.1:${one}`] });
    const client = await connectClient(scope, address);
    const tunnel = await open(client, one);
    server.reconfigure({ allow: [`127.0.0.1:${two}`] });
    await expect(open(client, one)).rejects.toMatchObject({ status: 403 });
    (await open(client, two)).destroy();
    tunnel.end('still here');
    expect(await text(tunnel)).toBe('still here');
  });

  test('has the new level at once, and the new bounds of tunnels', async () => {
    const port = await echo();
    const allow = [`127.0.0.1:${port}`];
    const { server, address } = await startProxy({ allow });
    const client = await connectClient(scope, address);
    await open(client, port);
    server.reconfigure({ allow, limits: { tunnelsPerClient: 1 } });
    await expect(open(client, port)).rejects.toMatchObject({ status: 503 });
    server.reconfigure({ allow, level: 'authenticated' });
    await expect(open(client, port)).rejects.toMatchObject({ status: 403 });
    server.reconfigure({ allow });
    await open(client, port);
  });

  test.each([
    ['a rule cannot be understood', { allow: ['nonsense'] }, 'ERR_KEYMUX_RULE'],
    ['a limit is out of its range', { allow: [], limits: { dials: 0 } }, 'ERR_KEYMUX_CONFIG'],
    ['a limit of sessions is', { allow: [], limits: { keepAlive: -1 } }, 'ERR_KEYMUX_CONFIG'],
  ])('stays as it was if %s', async (_, wrong, code) => {
    const port = await echo();
    const { server, address } = await startProxy({ allow: [`127.0.0.1:${port}`] });
    expect(() => server.reconfigure(wrong)).toThrow(expect.objectContaining({ code }));
    await open(await connectClient(scope, address), port);
  });
});

describe('a front that gets other options', () => {
  test('finds hosts where they are now, also for sessions that it has', async () => {
    const file = await makeKey(scope);
    const hostAt = async (): Promise<{ host: string; port: number }> => {
      const { keeper } = await keeperOf({ file, authorities: [A, B] });
      const hosts = [saying(A, 'a'), saying(B, 'b')];
      const { port } = await startOrigin({ hosts, keeper, behindFront: true });
      return { host: '127.0.0.1', port };
    };
    const place = await hostAt();
    const options = (names: readonly string[]): FrontOptions => ({
      hosts: new Map(names.map((name) => [name, place])),
    });
    const { server, address } = await started(new Front(options([A])));
    const { keeper, labels } = await keeperOf({ file, authorities: [A, B] });
    const client = await connectClient(scope, address, { keeper });
    const negotiate = (authority: string) =>
      client.negotiate({ algorithm: 3, label: labels[0] ?? '', authority });
    const key = await negotiate(A);
    await expect(negotiate(B)).rejects.toThrow();
    expect(() => server.reconfigure({ ...options([B]), limits: { keyWindow: 1 } })).toThrow();
    await expect(negotiate(B)).rejects.toThrow();
    server.reconfigure(options([B]));
    const other = await negotiate(B);
    for (const [host, with_] of [
      [A, key],
      [B, other],
    ] as const)
      expect(await bodyOf(await client.request({ host, path: '/', key: with_ }))).toBe(host[0]);
  });
});

describe('a pipe that gets other options', () => {
  test('carries new connections to the new target under the new key; old ones go on', async () => {
    const saysIts = (name: string) =>
      tcpServer(scope, (socket) => {
        socket.write(name);
        socket.pipe(socket);
      });
    const [one, two] = [await saysIts('one '), await saysIts('two ')];
    const keys = [1, 2].map((byte) => new PreSharedKey(Buffer.alloc(32, byte)));
    const options = (role: 'client' | 'server', index: number, port: number): PipeServerOptions => ({
      role,
      keeper: new LocalSpipedKeeper({ key: keys[index] as PreSharedKey }),
      target: { host: '127.0.0.1', port },
    });
    const inner = await started(new PipeServer(options('server', 0, one)));
    const outer = await started(new PipeServer(options('client', 0, inner.port)));
    const old = connect(outer.port, '127.0.0.1');
    expect(String(await once(old, 'data'))).toBe('one ');
    inner.server.reconfigure(options('server', 1, two));
    outer.server.reconfigure(options('client', 1, inner.port));
    const fresh = connect({ port: outer.port, host: '127.0.0.1', allowHalfOpen: true });
    fresh.end('new');
    expect(await text(fresh)).toBe('two new');
    old.end('old');
    expect(await text(old)).toBe('old');
  });
});
