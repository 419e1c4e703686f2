import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import type { Client } from '@keymux/client';
import { Origin } from '@keymux/origin';
import { ConnectProxy, type ConnectReport, type ProxyOptions } from '@keymux/proxy';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { connectClient } from '../support/library.ts';
import { hashOf, payload, payloadHash } from '../support/payload.ts';
import { Scope } from '../support/scope.ts';
import { closedPort, silentPort, tcpServer } from '../support/servers.ts';

const scope = new Scope();
afterEach(() => scope.close());

interface Running {
  readonly client: Client;
  readonly proxy: ConnectProxy;
  readonly reports: ConnectReport[];
  readonly address: string;
}

/** A proxy and a client of it, over TCP. */
async function start(options: Partial<ProxyOptions> = {}): Promise<Running> {
  const proxy = new ConnectProxy({ allow: ['127.0.0.1:*'], ...options });
  const reports: ConnectReport[] = [];
  proxy.on('connect', (report) => reports.push(report));
  const listening = await proxy.listen({ host: '127.0.0.1', port: 0 });
  scope.defer(() => {
    for (const session of proxy.sessions) session.destroy();
    return proxy.close();
  });
  const address = `127.0.0.1:${typeof listening === 'string' ? 0 : listening.port}`;
  return { client: await connectClient(scope, address), proxy, reports, address };
}

/** A server and the first connection to it. */
async function destination(): Promise<{ port: number; accepted: Promise<Socket>; count: () => number }> {
  let count = 0;
  let accept = (_socket: Socket): void => undefined;
  const accepted = new Promise<Socket>((resolve) => {
    accept = resolve;
  });
  const port = await tcpServer(scope, (socket) => {
    count++;
    accept(socket);
  });
  return { port, accepted, count: () => count };
}

describe('a tunnel ends as its ends say', () => {
  test('the client ends first: the server still answers', async () => {
    const { client } = await start();
    const { port, accepted } = await destination();
    const tunnel = await client.tunnel('127.0.0.1', port);
    tunnel.end('the question');
    const socket = await accepted;
    expect(await text(socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)).toBe(
      'the question',
    );
    socket.end('the answer');
    expect(await text(tunnel)).toBe('the answer');
  });

  test('the server ends first: the client still sends', async () => {
    const { client } = await start();
    const { port, accepted } = await destination();
    const tunnel = await client.tunnel('127.0.0.1', port);
    const socket = await accepted;
    socket.end('only this');
    expect(await text(tunnel.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)).toBe(
      'only this',
    );
    const bytes = 4 * 2 ** 20;
    payload(bytes).pipe(tunnel);
    expect(await hashOf(socket)).toEqual({ sha256: payloadHash(bytes), bytes });
    await finished(tunnel);
  });

  test('the client resets: the server must not take it for an end', async () => {
    const { client } = await start();
    const { port, accepted } = await destination();
    const tunnel = await client.tunnel('127.0.0.1', port);
    tunnel.write('half of it');
    const socket = await accepted;
    await once(socket, 'data');
    tunnel.destroy();
    await expect(finished(socket)).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  test('the session of the client is cut: the server must not take it for an end', async () => {
    const { client } = await start();
    const { port, accepted } = await destination();
    const tunnel = await client.tunnel('127.0.0.1', port);
    tunnel.write('half of it');
    const socket = await accepted;
    await once(socket, 'data');
    client.session.carrier.destroy();
    await expect(finished(socket)).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  test('the server resets: the client must not take it for an end', async () => {
    const { client } = await start();
    const { port, accepted } = await destination();
    const tunnel = await client.tunnel('127.0.0.1', port);
    const socket = await accepted;
    socket.write('half of it');
    await once(tunnel, 'data');
    socket.resetAndDestroy();
    await expect(finished(tunnel)).rejects.toMatchObject({
      code: 'ERR_KEYMUX_STREAM_RESET',
      status: 6, // INTERNAL_ERROR (spec 5.3)
      origin: 'remote',
    });
  });

  test('a server that closes at once: the tunnel is over, the session is not', async () => {
    const { client } = await start();
    const closer = await tcpServer(scope, (socket) => socket.destroy());
    const tunnel = await client.tunnel('127.0.0.1', closer);
    tunnel.resume();
    tunnel.end(Buffer.alloc(1024 * 1024));
    await finished(tunnel).catch(() => undefined);
    const { port, accepted } = await destination();
    const next = await client.tunnel('127.0.0.1', port);
    next.end('still here');
    expect(await text(await accepted)).toBe('still here');
  });
});

describe('where a tunnel may lead', () => {
  test('nowhere without a rule, and no name is resolved for it', async () => {
    const asked: string[] = [];
    const lookup = async (host: string): Promise<{ address: string }[]> => {
      asked.push(host);
      return [{ address: '127.0.0.1' }];
    };
    const { client, reports } = await start({ allow: [], lookup });
    const { port, count } = await destination();
    for (const host of ['127.0.0.1', 'localhost', 'name.test'])
      await expect(client.tunnel(host, port)).rejects.toMatchObject({ status: 403 });
    expect(asked).toEqual([]);
    expect(count()).toBe(0);
    expect(reports.map(({ status }) => status)).toEqual([403, 403, 403]);
  });

  test('a name that turns to loopback is refused', async () => {
    const asked: string[] = [];
    const lookup = async (host: string): Promise<{ address: string }[]> => {
      asked.push(host);
      return [{ address: '127.0.0.1' }, { address: '::1' }];
    };
    const { client } = await start({ allow: ['*.rebind.test:*', 'flip.test:*', '*:*'], lookup });
    const { port, count } = await destination();
    for (const host of ['a.rebind.test', 'flip.test', 'other.test'])
      await expect(client.tunnel(host, port)).rejects.toMatchObject({ status: 403 });
    expect(asked).toEqual(['a.rebind.test', 'flip.test', 'other.test']);
    expect(count()).toBe(0);
  });

  test('a name is resolved once, and its answer is what is connected to', async () => {
    const { port, accepted, count } = await destination();
    const answers = ['127.0.0.1', '127.9.9.9'];
    const lookup = async () => [{ address: String(answers.shift()) }];
    const { client } = await start({ allow: ['127.0.0.0/8:*'], lookup });
    const tunnel = await client.tunnel('flip.test', port);
    tunnel.end('hello');
    expect(await text(await accepted)).toBe('hello');
    expect(answers).toEqual(['127.9.9.9']);
    expect(count()).toBe(1);
  });

  test('an address that does not answer leaves time for the next', async () => {
    const port = await silentPort(scope);
    // The client leaves as soon as it has read the answer.
    const server = createServer((socket) => socket.on('error', () => undefined).end('second'));
    server.listen(port, '127.0.0.2');
    await once(server, 'listening');
    scope.defer(() => server.close());
    const lookup = async () => ['127.0.0.1', '127.0.0.2'].map((address) => ({ address }));
    const { client } = await start({ allow: ['127.0.0.0/8:*'], lookup, limits: { connectTimeout: 1000 } });
    const tunnel = await client.tunnel('several.test', port);
    tunnel.end();
    expect(await text(tunnel)).toBe('second');
  });

  test('of several addresses only those are tried that a rule allows', async () => {
    const { port, accepted } = await destination();
    const lookup = async () => ['127.0.0.2', '::1', '127.0.0.1'].map((address) => ({ address }));
    const { client } = await start({ allow: ['127.0.0.1:*'], lookup });
    const tunnel = await client.tunnel('several.test', port);
    tunnel.end('hello');
    const socket = await accepted;
    expect(socket.localAddress).toBe('127.0.0.1');
    expect(await text(socket)).toBe('hello');
  });
});

describe('answers that are not 200', () => {
  test('504: the resolver does not answer', async () => {
    const lookup = () => new Promise<never>(() => undefined);
    const { client } = await start({ lookup, limits: { connectTimeout: 100 } });
    await expect(client.tunnel('slow.test', 80)).rejects.toMatchObject({ status: 504 });
  });

  test('503: too many lookups, even if nobody waits for them any more', async () => {
    const { port, accepted } = await destination();
    const asked: (() => void)[] = [];
    const lookup = (): Promise<{ address: string }[]> =>
      new Promise((resolve) => asked.push(() => resolve([{ address: '127.0.0.1' }])));
    const { client, proxy, address } = await start({ lookup, countedBy: 'connection' });
    // All at once: one after the other, each would wait for the next turn of a busy machine several times.
    const askedFor = async (client: Client, names: number): Promise<void> => {
      const wanted = asked.length + names;
      let reports = 0;
      const count = (): void => void reports++;
      proxy.on('connect', count);
      const callers = Array.from({ length: names }, () => new AbortController());
      const tunnels = callers.map(({ signal }, i) => client.tunnel(`n${i}.test`, port, { signal }));
      const ends = Promise.allSettled(tunnels);
      await vi.waitUntil(() => asked.length >= wanted, { interval: 5, timeout: 60_000 });
      for (const caller of callers) caller.abort();
      for (const { status } of await ends) expect(status).toBe('rejected');
      await vi.waitUntil(() => reports === names, { interval: 5, timeout: 60_000 });
      proxy.off('connect', count);
    };
    await askedFor(client, 256);
    await expect(client.tunnel('more.test', port)).rejects.toMatchObject({ status: 503 });
    expect(asked.length).toBe(256);
    const others = await Promise.all(Array.from({ length: 4 }, () => connectClient(scope, address)));
    for (const other of others.slice(1)) await askedFor(other, 256);
    await expect(others[0]?.tunnel('more.test', port)).rejects.toMatchObject({ status: 503 });
    expect(asked.length).toBe(1024);
    for (const answer of asked.splice(0)) answer();
    const tunnel = client.tunnel('again.test', port);
    await vi.waitUntil(() => asked.length > 0, { timeout: 60_000 });
    asked[0]?.();
    (await tunnel).end('hello');
    expect(await text(await accepted)).toBe('hello');
  });

  test('502: the name has no address', async () => {
    const lookup = async () => Promise.reject(Object.assign(new Error('ENOTFOUND'), { code: 'ENOTFOUND' }));
    const { client } = await start({ lookup });
    await expect(client.tunnel('nobody.test', 80)).rejects.toMatchObject({ status: 502 });
  });

  test('503: the system has no room for a connection', async () => {
    const lookup = async () => Promise.reject(Object.assign(new Error('too many files'), { code: 'EMFILE' }));
    const { client } = await start({ lookup });
    await expect(client.tunnel('any.test', 80)).rejects.toMatchObject({ status: 503 });
  });

  test('405 for what is no CONNECT', async () => {
    const { client } = await start();
    expect((await client.request({ host: 'a.test', path: '/' })).status).toBe(405);
  });

  test('400 for a header name that fills the frame, and the proxy lives on', async () => {
    const { client, proxy } = await start();
    const stream = client.session.openStream([[`:${'a'.repeat(64_880)}`, '']]);
    await once(stream, 'reply');
    expect(stream.replyHeaders?.[0]).toEqual([':status', '400 Bad Request']);
    stream.destroy();
    proxy.once('connect', () => {
      throw new Error('a listener that fails');
    });
    await expect(client.tunnel('10.0.0.1', 80)).rejects.toMatchObject({ code: 'ERR_KEYMUX_STREAM_RESET' });
    await expect(client.tunnel('10.0.0.1', 80)).rejects.toMatchObject({ status: 403 });
  });

  test('a client that gives up while the name is resolved gets no connection', async () => {
    const { port, count } = await destination();
    let answer = (_addresses: { address: string }[]): void => undefined;
    const lookup = () =>
      new Promise<{ address: string }[]>((resolve) => {
        answer = resolve;
        gone.abort();
      });
    const gone = new AbortController();
    const { client, proxy } = await start({ lookup });
    const report = once(proxy, 'connect');
    await expect(client.tunnel('slow.test', port, { signal: gone.signal })).rejects.toThrow();
    answer([{ address: '127.0.0.1' }]);
    expect(((await report) as [ConnectReport])[0].status).not.toBe(200);
    expect(count()).toBe(0);
  });

  test('early data after a refusal is thrown away, and its window given back', async () => {
    const { client } = await start({ limits: { sessionWindow: 4 * 2 ** 20 } });
    // Each is more than the window of a stream, together they are more than that of the session.
    for (let round = 0; round < 20; round++) {
      const stream = client.session.openStream([
        [':method', 'CONNECT'],
        [':path', '10.0.0.1:80'],
        [':version', 'HTTP/1.1'],
      ]);
      stream.resume();
      stream.end(Buffer.alloc(300_000));
      await finished(stream);
      expect(stream.replyHeaders?.[0]).toEqual([':status', '403 Forbidden']);
    }
    const { port, accepted } = await destination();
    const bytes = 8 * 2 ** 20;
    payload(bytes).pipe(await client.tunnel('127.0.0.1', port));
    expect(await hashOf(await accepted)).toEqual({ sha256: payloadHash(bytes), bytes });
  });

  test('early data of a CONNECT that is accepted arrives first', async () => {
    const { client } = await start();
    const { port, accepted } = await destination();
    const stream = client.session.openStream([
      [':method', 'CONNECT'],
      [':path', `127.0.0.1:${port}`],
      [':version', 'HTTP/1.1'],
    ]);
    stream.write('early, ');
    await once(stream, 'reply');
    stream.end('late');
    expect(await text(await accepted)).toBe('early, late');
  });
});

describe('a session inside a tunnel that is not waited for', () => {
  /** An origin, which the proxy allows. */
  async function origin(): Promise<number> {
    const handler = () => ({ status: 200, body: 'hello' });
    const server = new Origin({ hosts: [{ name: 'a.test', handler }] });
    const listening = await server.listen({ host: '127.0.0.1', port: 0 });
    scope.defer(() => server.close());
    return typeof listening === 'string' ? 0 : listening.port;
  }

  test('begins before the proxy knows where to', async () => {
    const asked: (() => void)[] = [];
    const lookup = (): Promise<{ address: string }[]> =>
      new Promise((resolve) => asked.push(() => resolve([{ address: '127.0.0.1' }])));
    const { client, reports } = await start({ lookup, allow: ['127.0.0.1:*', '*:*'] });
    const inner = await client.through('a.test', await origin(), { eager: true });
    const answer = inner.request({ host: 'a.test', path: '/' });
    await vi.waitUntil(() => asked.length > 0, { timeout: 60_000 });
    expect(reports).toEqual([]);
    asked[0]?.();
    expect(await text((await answer).body)).toBe('hello');
    await inner.close();
  });

  test.each([
    ['forbidden', '10.0.0.1', 403],
    ['out of reach', '127.0.0.1', 502],
  ])('fails with the refusal of the proxy: %s', async (_why, host, status) => {
    const { client } = await start();
    const port = await closedPort();
    const inner = await client.through(host, port, { eager: true });
    const refusal = { code: 'ERR_KEYMUX_REFUSED', status };
    await expect(inner.request({ host: 'a.test', path: '/' })).rejects.toMatchObject(refusal);
    await expect(inner.request({ host: 'a.test', path: '/' })).rejects.toMatchObject(refusal);
    await expect(inner.negotiate({ algorithm: 5, label: 'x' })).rejects.toMatchObject(refusal);
    expect(client.session.takesStreams).toBe(true);
  });

  test('fails as the tunnel does if the proxy is gone before it answers', async () => {
    const lookup = (): Promise<{ address: string }[]> => new Promise(() => undefined);
    const { client, proxy } = await start({ lookup, allow: ['127.0.0.1:*', '*:*'] });
    const inner = await client.through('a.test', 80, { eager: true });
    const answer = inner.request({ host: 'a.test', path: '/' });
    await vi.waitUntil(() => proxy.sessions.size > 0, { timeout: 60_000 });
    for (const session of proxy.sessions) session.destroy();
    await expect(answer).rejects.toMatchObject({ code: 'ERR_KEYMUX_STREAM_RESET' });
  });

  test('sends nothing in the clear that was promised to be sealed', async () => {
    const { client } = await start();
    const inner = await client.through('127.0.0.1', await origin(), { eager: true, selfProtected: true });
    await expect(inner.request({ host: 'a.test', path: '/' })).rejects.toMatchObject({
      code: 'ERR_KEYMUX_SEALED_ONLY',
    });
  });
});
