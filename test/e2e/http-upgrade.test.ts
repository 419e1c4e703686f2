import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { connectCarrier, parseAddress } from '@keymux/client';
import { MuxSession, SessionServer } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { Scope } from '../support/scope.ts';
import { httpServer, listen } from '../support/servers.ts';

const scope = new Scope();
afterEach(() => scope.close());

async function start(options: ConstructorParameters<typeof SessionServer>[0] = {}): Promise<number> {
  const server = new SessionServer(options);
  server.on('session', (session) =>
    session.on('stream', (stream) => {
      stream.respond([[':status', '200']]);
      stream.pipe(stream);
    }),
  );
  const { port } = (await server.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(async () => {
    for (const session of server.sessions) session.destroy();
    await server.close();
  });
  return port;
}

async function dial(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined);
  scope.defer(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** The status line that a request is answered with. */
async function statusOf(port: number, head: string[]): Promise<string | undefined> {
  const socket = await dial(port);
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  return String(chunk).split('\r\n')[0];
}

const ASK = ['POST /anywhere HTTP/1.1', 'Host: a.example', 'Connection: Upgrade', 'Upgrade: SPDY/3.1'];

describe('a server that is asked for an upgrade (spec 6.3)', () => {
  test('changes to SPDY/3.1, also where the session begins in the same segment', async () => {
    const socket = await dial(await start());
    const ping = '800300060000000400000001';
    socket.write(Buffer.concat([Buffer.from(`${ASK.join('\r\n')}\r\n\r\n`), Buffer.from(ping, 'hex')]));
    let received = Buffer.alloc(0);
    while (!received.toString('hex').includes(ping))
      received = Buffer.concat([received, (await once(socket, 'data'))[0]]);
    expect(String(received)).toMatch(
      /^HTTP\/1\.1 101 .*\r\nConnection: Upgrade\r\nUpgrade: SPDY\/3\.1\r\n\r\n/,
    );
  });

  test.each([
    ['a page of a web site', [...ASK, 'Origin: https://evil.example'], '403'],
    ['a body, which would be taken for the session', [...ASK, 'Content-Length: 12'], '400'],
    ['a body of unknown length', [...ASK, 'Transfer-Encoding: chunked'], '400'],
    ['another protocol', ['GET / HTTP/1.1', 'Host: a', 'Connection: Upgrade', 'Upgrade: SPDY/3'], '400'],
    ['no upgrade at all', ['GET / HTTP/1.1', 'Host: a'], '426'],
    ['no Connection header', ['GET / HTTP/1.1', 'Host: a', 'Upgrade: SPDY/3.1'], '426'],
  ])('refuses %s', async (_what, head, status) => {
    expect(await statusOf(await start(), head)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  });

  test('takes pages that it lists', async () => {
    const port = await start({ origins: ['https://listed.example'] });
    expect(await statusOf(port, [...ASK, 'Origin: https://listed.example'])).toMatch(/ 101 /);
  });

  test('cuts off who does not finish asking', async () => {
    const socket = await dial(await start({ limits: { greetingTimeout: 50 } }));
    socket.write('POST / HTTP/1.1\r\nHost: a\r\n');
    await once(socket.resume(), 'end');
  });
});

describe('a client that asks for an upgrade', () => {
  test('gets a session', async () => {
    const carrier = await connectCarrier(parseAddress(`http://127.0.0.1:${await start()}/`));
    const session = new MuxSession(carrier, { role: 'client' });
    const stream = session.openStream([[':method', 'POST']]);
    stream.end('through HTTP');
    expect(await text(stream)).toBe('through HTTP');
    await session.close();
  });

  test.each([
    ['answers something else', 200, 'answers 200, so it does not speak SPDY/3.1 there'],
    ['refuses', 403, 'answers 403'],
  ])('fails if the server %s', async (_what, status, message) => {
    const port = await httpServer(scope, (_request, response) => response.writeHead(status).end('hello'));
    const failing = connectCarrier(parseAddress(`http://127.0.0.1:${port}/`));
    await expect(failing).rejects.toMatchObject({
      code: 'ERR_KEYMUX_UPGRADE',
      message: expect.stringContaining(message),
    });
  });

  test('fails if the server changes to another protocol', async () => {
    const server = createServer().on('upgrade', (_request, socket) =>
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'),
    );
    const failing = connectCarrier(parseAddress(`http://127.0.0.1:${await listen(scope, server)}/`));
    await expect(failing).rejects.toMatchObject({ code: 'ERR_KEYMUX_UPGRADE' });
  });

  test('stops asking on its signal', async () => {
    const abort = new AbortController();
    const server = createServer().on('upgrade', () => abort.abort(new Error('changed my mind')));
    const address = parseAddress(`http://127.0.0.1:${await listen(scope, server)}/`);
    await expect(connectCarrier(address, { signal: abort.signal })).rejects.toThrow('changed my mind');
  });
});
