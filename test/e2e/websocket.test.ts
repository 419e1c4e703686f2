import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connectWebSocket, MuxSession, SessionServer, SUBPROTOCOL } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import WebSocket, { type ClientOptions, WebSocketServer } from 'ws';
import { Scope } from '../support/scope.ts';
import { listen } from '../support/servers.ts';

const scope = new Scope();
afterEach(() => scope.close());

async function start(origins: readonly string[] = []): Promise<{ url: string; server: SessionServer }> {
  const server = new SessionServer({ origins });
  const { port } = (await server.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(async () => {
    for (const session of server.sessions) session.destroy();
    await server.close();
  });
  return { url: `ws://127.0.0.1:${port}/`, server };
}

/** Tries to open a WebSocket; resolves with it, or with the HTTP status that it was refused with. */
async function open(
  url: string,
  protocols: string[],
  options: ClientOptions = {},
): Promise<WebSocket | number> {
  const socket = new WebSocket(url, protocols, options);
  socket.on('error', () => undefined);
  scope.defer(() => socket.terminate());
  return new Promise((resolve) => {
    socket.once('open', () => resolve(socket));
    socket.once('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
  });
}

describe('a server that takes WebSockets (spec 6.2)', () => {
  test('refuses pages of web sites that it does not list', async () => {
    const { url, server } = await start(['https://listed.example']);
    for (const origin of ['https://evil.example', 'null', 'https://listed.example.evil.example', ''])
      expect(await open(url, [SUBPROTOCOL], { headers: { origin } })).toBe(403);
    expect(server.sessions.size).toBe(0);
    const headers = { origin: 'https://listed.example' };
    expect(await open(url, [SUBPROTOCOL], { headers })).toBeInstanceOf(WebSocket);
    expect(await open(url, [SUBPROTOCOL])).toBeInstanceOf(WebSocket); // no page
  });

  test('runs no session where other subprotocols were offered', async () => {
    const { url, server } = await start();

    expect(await open(url, ['spdy-3', 'chat'])).toBe(400);
    expect(server.sessions.size).toBe(0);
    const socket = await open(url, ['chat', SUBPROTOCOL]);
    expect((socket as WebSocket).protocol).toBe(SUBPROTOCOL);
  });

  test('runs a session where no subprotocol was offered', async () => {
    const { url, server } = await start();
    const accepted = once(server, 'session');
    expect(((await open(url, [])) as WebSocket).protocol).toBe('');
    await accepted;
  });

  test('negotiates no compression, whatever is offered', async () => {
    const { url } = await start();
    const socket = (await open(url, [SUBPROTOCOL], { perMessageDeflate: true })) as WebSocket;
    expect(socket.extensions).toBe('');
  });

  test('ends the connection on a text message, even if its bytes are a harmless frame', async () => {
    const { url, server } = await start();
    const accepted = once(server, 'session');
    const socket = (await open(url, [SUBPROTOCOL])) as WebSocket;
    const [session] = (await accepted) as [MuxSession];
    const closed = once(socket, 'close');
    socket.send('\0\0\0\x01\0\0\0\0'); // DATA for a stream that is not there, without payload
    await closed;
    expect(await session.closed).toBeInstanceOf(Error);
  });

  test('ends the connection on a message that is too long, and the process goes on', async () => {
    const { url, server } = await start();
    const accepted = once(server, 'session');
    const socket = (await open(url, [SUBPROTOCOL])) as WebSocket;
    const [session] = (await accepted) as [MuxSession];
    const closed = once(socket, 'close');
    socket.send(Buffer.alloc(1024 * 1024 + 1));
    expect((await closed)[0]).toBe(1009); // too big
    await session.closed;
    expect(await open(url, [SUBPROTOCOL])).toBeInstanceOf(WebSocket);
  });

  test('answers plain HTTP on the same port with 426', async () => {
    const { url } = await start();
    const asked = request(url.replace('ws:', 'http:')).end();
    const [response] = await once(asked, 'response');
    expect(response.statusCode).toBe(426);
    response.resume();
  });
});

describe('a client that opens a WebSocket', () => {
  test('fails when the server does not select the subprotocol', async () => {
    const server = new WebSocketServer({ noServer: true, handleProtocols: () => false });
    const http = createServer().on('upgrade', (...args) => server.handleUpgrade(...args, () => undefined));
    await expect(connectWebSocket(`ws://127.0.0.1:${await listen(scope, http)}/`)).rejects.toThrow();
  });

  test('offers no compression', async () => {
    const { url } = await start();
    const seen = new Promise((resolve) => {
      const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: true });
      scope.defer(() => server.close());
      server.on('connection', (socket, { headers }) => {
        resolve([headers['sec-websocket-extensions'], headers['sec-websocket-protocol']]);
        socket.terminate();
      });
      server.on('listening', () => {
        const { port } = server.address() as AddressInfo;
        connectWebSocket(url.replace(/:[0-9]+\//, `:${port}/`)).then(
          (carrier) => carrier.on('error', () => undefined),
          () => undefined,
        );
      });
    });
    expect(await seen).toEqual([undefined, SUBPROTOCOL]);
  });

  test('ends the session on a text message', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    scope.defer(() => server.close());
    await once(server, 'listening');
    server.on('connection', (socket) => socket.send('text'));
    const { port } = server.address() as AddressInfo;
    const session = new MuxSession(await connectWebSocket(`ws://127.0.0.1:${port}/`), { role: 'client' });
    expect(await session.closed).toBeInstanceOf(Error);
  });
});
