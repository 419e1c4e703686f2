import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { createHttpFront, type OpenTunnel } from '@keymux/proxy';
import { afterEach, describe, expect, test } from 'vitest';
import { Scope } from '../support/scope.ts';
import { httpServer, tcpServer } from '../support/servers.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** The local HTTP proxy on a Unix socket, with tunnels that `open` makes; returns a connection to it. */
async function start(open: OpenTunnel): Promise<Socket> {
  const path = (await scope.directory())('front.sock');
  const front = createHttpFront(open).listen(path);
  await once(front, 'listening');
  scope.defer(() => front.close());
  const local = connect({ path, allowHalfOpen: true });
  scope.defer(() => local.destroy());
  return local;
}

describe('the local HTTP proxy', () => {
  test('what comes with CONNECT in one piece is payload', async () => {
    const port = await tcpServer(scope, (socket) => socket.pipe(socket));
    const local = await start(async () => connect({ port, host: '127.0.0.1', allowHalfOpen: true }));
    local.end('CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\nearly');
    expect(await text(local)).toBe('HTTP/1.1 200 Connection Established\r\n\r\nearly');
  });

  test('a tunnel that fails closes the local connection, on a Unix socket too', async () => {
    const stream = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
    const local = await start(async () => stream);
    local.write('CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n');
    await once(local, 'data');
    stream.destroy(new Error('gone'));
    local.on('end', () => local.end());
    await finished(local).catch(() => undefined);
  });

  test('a local program that goes away before the answer gives its tunnel up', async () => {
    let opening = (_signal: AbortSignal): void => undefined;
    const asked = new Promise<AbortSignal>((resolve) => {
      opening = resolve;
    });
    const local = await start((_destination, signal) => {
      opening(signal);
      return new Promise(() => undefined);
    });
    local.write('GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n');
    const signal = await asked;
    const aborted = once(signal, 'abort');
    local.destroy();
    await aborted;
    expect(signal.aborted).toBe(true);
  });

  test.each([
    ['status 000', 'HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n', '502 Bad Gateway'],
    ['status 101', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n', '502 Bad Gateway'],
    ['a switch', 'HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n', '502 Bad Gateway'],
    ['control characters beside the status', 'HTTP/1.1 200 a\x01b\r\nContent-Length: 0\r\n\r\n', '200 OK'],
    ['nothing', '', '502 Bad Gateway'],
  ])('a destination that answers with %s', async (_, answer, expected) => {
    const port = await tcpServer(scope, (socket) => {
      socket.once('data', () => socket.end(answer));
    });
    const local = await start(async () => connect({ port, host: '127.0.0.1' }));
    local.write('GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n');
    expect((await text(local)).split('\r\n')[0]).toBe(`HTTP/1.1 ${expected}`);
  });

  const hidden = 'GET /second HTTP/1.1\r\nHost: a.test\r\n\r\n';
  const chunks = `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`;
  test.each([
    ...['DELETE', 'GET', 'HEAD', 'OPTIONS', 'POST'].map((method) => [
      method,
      'Transfer-Encoding: Chunked',
      chunks,
    ]),
    ['DELETE', `Connection: content-length\r\nContent-Length: ${hidden.length}`, hidden],
    ['GET', `Connection: Content-Length, x\r\nContent-Length: ${hidden.length}`, hidden],
    ['GET', 'Connection: transfer-encoding\r\nTransfer-Encoding: chunked', chunks],
  ])('the body of a %s with %s is no second request', async (method, headers, body) => {
    const seen: string[] = [];
    const port = await httpServer(scope, async (request, response) => {
      seen.push(`${request.method} ${request.url}`, await text(request));
      const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
      seen.push(`${length ?? ''}${coding ?? ''}`);
      response.end();
    });
    const local = await start(async () => connect({ port, host: '127.0.0.1' }));
    local.write(`${method} http://a.test/first HTTP/1.1\r\nHost: a.test\r\n${headers}\r\n\r\n${body}`);
    const [answer] = (await once(local, 'data')) as [Buffer];
    expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /);
    expect(seen).toEqual([`${method} /first`, hidden, body === hidden ? String(hidden.length) : 'chunked']);
  });

  test('a transfer coding other than chunked is refused', async () => {
    const local = await start(() => Promise.reject(new Error('not called')));
    local.write(
      'POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    );
    expect(await text(local)).toMatch(/^HTTP\/1\.1 501 /);
  });

  test.each([
    [100, 502],
    [201, 502],
    [204, 502],
    [302, 502],
    [403, 403],
    [799, 502],
  ])('a refusal of the tunnel with %d is passed on as %d', async (status, expected) => {
    for (const target of ['CONNECT a.test:80', 'GET http://a.test/']) {
      const local = await start(() => Promise.reject(Object.assign(new Error('refused'), { status })));
      local.write(`${target} HTTP/1.1\r\nHost: a.test:80\r\nConnection: close\r\n\r\n`);
      expect((await text(local)).split(' ')[1]).toBe(String(expected));
    }
  });
});
