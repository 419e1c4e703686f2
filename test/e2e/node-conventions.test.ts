import { EventEmitter, once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request } from 'node:http';
import * as http2 from 'node:http2';
import { Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { Client } from '@keymux/client';
import { Origin } from '@keymux/origin';
import { ConnectProxy } from '@keymux/proxy';
import { type MuxSession, type MuxStream, SessionServer } from '@keymux/streams';
import { afterEach, describe, expect, test, vi } from 'vitest';
import WebSocket, { WebSocketServer } from 'ws';
import { overTcp } from '../support/carriers.ts';
import { PROGRAM, run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';

const scope = new Scope();
afterEach(() => scope.close());

const OPEN = [
  [':method', 'POST'],
  [':path', '/'],
] as const;

/** A session whose server hands every stream, answered, to `serve`; returns what opens streams. */
async function streams(
  serve: (stream: MuxStream) => void,
): Promise<{ open: () => MuxStream; client: MuxSession; server: MuxSession }> {
  const { client, server } = await overTcp(scope, {}, {});
  server.on('stream', (stream) => {
    stream.respond([[':status', '200 OK']]);
    serve(stream);
  });
  return { open: () => client.openStream(OPEN), client, server };
}

describe('a stream does as a socket', () => {
  test('http.Server takes it as a connection, http.Agent as a socket, and keeps it alive', async () => {
    let connections = 0;
    const http = createServer(async (asked, answer) => answer.end(`${asked.url}: ${await text(asked)}`));
    const { open } = await streams((stream) => {
      connections++;
      http.emit('connection', stream);
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    agent.createConnection = (() => open()) as never;
    const ask = async (path: string): Promise<string> => {
      const asked = request({ agent, path, method: 'POST', host: 'a.test', timeout: 5_000 });
      asked.end('body');
      const [answer] = (await once(asked, 'response')) as [IncomingMessage];
      return text(answer);
    };
    expect(await ask('/1')).toBe('/1: body');
    expect(await ask('/2')).toBe('/2: body');
    expect(await ask('/3')).toBe('/3: body');
    expect(connections).toBe(1);
    agent.destroy();
  });

  test('ws opens a WebSocket over it', async () => {
    const http = createServer();
    const sockets = new WebSocketServer({ server: http });
    sockets.on('connection', (socket) => {
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    });
    const { open } = await streams((stream) => http.emit('connection', stream));
    const socket = new WebSocket('ws://a.test/', { createConnection: (() => open()) as never });
    await once(socket, 'open');
    socket.send(Buffer.alloc(300_000, 'x'));
    const [data] = (await once(socket, 'message')) as [Buffer];
    expect(data.equals(Buffer.alloc(300_000, 'x'))).toBe(true);
    socket.close();
    await once(socket, 'close');
  });

  test('http2 runs over it', async () => {
    const server = http2.createServer((asked, answer) => {
      asked.pipe(answer);
    });
    const { open } = await streams((stream) => server.emit('connection', stream));
    const session = http2.connect('http://a.test', { createConnection: () => open() });
    const asked = session.request({ ':method': 'POST', ':path': '/' });
    asked.end(Buffer.alloc(200_000, 'y'));
    expect((await buffer(asked)).equals(Buffer.alloc(200_000, 'y'))).toBe(true);
    session.close();
    await once(session, 'close');
  });

  test('it has the methods that are called on sockets, and its idle time-out works', async () => {
    const { open } = await streams(() => undefined);
    const stream = open();
    expect(stream.setKeepAlive().setNoDelay().ref().unref()).toBe(stream);
    const idle = once(stream, 'timeout');
    stream.setTimeout(10);
    await idle;
    stream.setTimeout(0);
  });
});

describe('every call takes a signal', () => {
  const reason = new Error('no longer wanted');

  test('openStream: before, and while it is open', async () => {
    const { client } = await streams(() => undefined);
    expect(() => client.openStream(OPEN, { signal: AbortSignal.abort(reason) })).toThrow(reason);
    const gone = new AbortController();
    const stream = client.openStream(OPEN, { signal: gone.signal });
    const ended = finished(stream);
    gone.abort(reason);
    await expect(ended).rejects.toBe(reason);
    expect(client.canOpen).toBe(true);
  });

  test('connect, negotiate, tunnel, request', async () => {
    const server = new SessionServer(); // accepts and answers nothing
    server.on('session', (session) => session.on('stream', () => undefined));
    const address = await server.listen({ host: '127.0.0.1', port: 0 });
    scope.defer(async () => {
      for (const session of server.sessions) session.destroy();
      await server.close();
    });
    const place = `127.0.0.1:${typeof address === 'string' ? '' : address.port}`;
    for (const where of [place, `ws://${place}/`])
      await expect(Client.connect(where, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const client = await Client.connect(place);
    scope.defer(() => client.session.destroy());
    const aborts = async (call: (signal: AbortSignal) => Promise<unknown>): Promise<void> => {
      const gone = new AbortController();
      const rejected = expect(call(gone.signal)).rejects.toBe(reason);
      gone.abort(reason);
      await rejected;
    };
    await aborts((signal) => client.tunnel('a.test', 80, { signal }));
    await aborts((signal) => client.request({ host: 'a.test', path: '/', signal }));
    await aborts((signal) => client.request({ host: 'a.test', path: '/', signal, body: 'x' }));
    expect(client.session.streamCount).toBe(0);
  });
});

test('a body whose answer is not wanted any more is let go', async () => {
  const origin = new Origin({ hosts: [{ name: 'a.test', handler: () => ({ status: 200 }) }] });
  const address = await origin.listen({ host: '127.0.0.1', port: 0 });
  const client = await Client.connect(`127.0.0.1:${typeof address === 'string' ? '' : address.port}`);
  scope.defer(async () => {
    client.session.destroy();
    await origin.close();
  });
  const over = new EventEmitter();
  const letGo = once(over, 'over');
  async function* endless(): AsyncGenerator<Buffer> {
    try {
      for (;;) yield Buffer.alloc(1024 * 1024);
    } finally {
      over.emit('over');
    }
  }
  const asked = client.request({ host: 'a.test', path: '/', body: endless(), level: 'authenticated' });
  await expect(asked).rejects.toMatchObject({ code: 'ERR_KEYMUX_LEVEL' });
  await letGo;
});

test.each([
  ['a proxy', () => new ConnectProxy({ allow: [] })],
  ['an origin', () => new Origin({ hosts: [] })],
])('%s tells of errors of its listening socket if somebody wants to know', async (_, create) => {
  const listen = vi.spyOn(Server.prototype, 'listen');
  const service = create();
  await service.listen({ host: '127.0.0.1', port: 0 });
  const socket = listen.mock.contexts[0] as Server;
  listen.mockRestore();
  socket.emit('error', new Error('nobody listens'));
  const told = once(service, 'close', { signal: AbortSignal.timeout(10_000) });
  socket.emit('error', new Error('accept failed'));
  await expect(told).rejects.toThrow('accept failed');
  await service.close();
});

test('servers, sessions and clients are disposed of with `await using`', async () => {
  const origin = new Origin({ hosts: [{ name: 'a.test', handler: () => ({ status: 200 }) }] });
  const address = await origin.listen({ host: '127.0.0.1', port: 0 });
  const client = await Client.connect(`127.0.0.1:${typeof address === 'string' ? '' : address.port}`);
  expect((await client.request({ host: 'a.test', path: '/' })).status).toBe(200);
  const closed = client.session.closed;
  await client[Symbol.asyncDispose]();
  expect(await closed).toBeUndefined();
  await origin[Symbol.asyncDispose]();
  const proxy = new ConnectProxy({ allow: [] });
  await proxy.listen({ host: '127.0.0.1', port: 0 });
  await proxy[Symbol.asyncDispose]();
});

test('1,000 resets end no process: nobody listens for errors, and none is thrown', async () => {
  // A process of its own, since the test runner would catch what is not handled.
  const script = `
    import { duplexPair } from 'node:stream';
    import { MuxSession } from '@keymux/streams';
    const [near, far] = duplexPair();
    const client = new MuxSession(near, { role: 'client' });
    const server = new MuxSession(far, { role: 'server' });
    let ended = 0;
    server.on('stream', (stream) => {
      stream.respond([[':status', '200']]);
      stream.write('x');
      if (stream.id % 4 === 1) stream.destroy();
      else if (stream.id % 4 === 3) stream.destroy(new Error('failed'));
    });
    const one = () => {
      const stream = client.openStream([[':method', 'GET'], [':path', '/']]);
      stream.write('y');
      stream.once('close', () => {
        if (++ended < 1000) one();
        else { console.log('ended', ended, client.canOpen); client.close(); }
      });
    };
    one();
  `;
  const { code, stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', script], {
    cwd: PROGRAM.replace(/bin\/keymux\.js$/, ''),
  });
  expect(stderr).toBe('');
  expect(stdout).toBe('ended 1000 true\n');
  expect(code).toBe(0);
});

test('a stream that was reset while it is piped fails its pipe and not the process', async () => {
  const { open } = await streams((stream) => stream.destroy(new Error('no')));
  const stream: Duplex = open();
  await expect(finished(stream)).rejects.toMatchObject({ code: 'ERR_KEYMUX_STREAM_RESET' });
});
