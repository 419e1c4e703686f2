import type { AddressInfo, Socket } from 'node:net';
import { Origin } from '@keymux/origin';
import { ConnectProxy } from '@keymux/proxy';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { keeperOf } from '../support/library.ts';
import { Scope } from '../support/scope.ts';
import { closedPort, tcpServer } from '../support/servers.ts';
import { makeKey } from '../support/tunnel.ts';

const scope = new Scope();
afterEach(() => scope.close());

async function get(args: readonly string[]): Promise<{ code: number | null; stderr: string }> {
  const { code, stderr } = await keymuxInside(['get', ...args, '--host-memory', 'none']);
  return { code, stderr };
}

describe('a port where something else listens', () => {
  const OTHERS: [string, (socket: Socket) => void][] = [
    ['that ends each connection', (socket) => socket.end()],
    [
      'that answers in HTTP',
      (socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
    ],
    [
      'that answers in TLS',
      (socket) => socket.once('data', () => socket.end(Buffer.from('15030100020232', 'hex'))),
    ],
  ];

  test.each(OTHERS)('one %s is named, and what to look at', async (_what, serve) => {
    const key = await makeKey(scope);
    const address = `127.0.0.1:${await tcpServer(scope, (socket) => serve(socket.on('error', () => {})))}`;
    const said = (party: string) => ({
      code: 3,
      stderr: expect.stringMatching(
        new RegExp(
          `^keymux: ${party} does not answer, or not as a keymux server does.*port is right\n  because: `,
        ),
      ),
    });
    expect(await get([`keymux://${address}/`])).toEqual(said(address));
    expect(await get(['keymux://a.test/', '--key', key, '--connect-to', address])).toEqual(
      said(`a.test at ${address}`),
    );
    expect(await get(['keymux://a.test/', '--via', address, '--proxy-key', key])).toEqual(
      said(`the proxy ${address}`),
    );
  });

  test('one that does not speak HTTP cannot be upgraded', async () => {
    const port = await tcpServer(scope, (socket) =>
      socket.on('error', () => {}).end('SSH-2.0-OpenSSH_9.2\r\n'),
    );
    const via = `http://127.0.0.1:${port}`;
    expect(await get(['keymux://a.test/', '--via', via])).toEqual({
      code: 3,
      stderr: expect.stringContaining(`the proxy ${via} does not answer, or not as a keymux server does`),
    });
  });

  test('where nothing listens, that is said and no more', async () => {
    const address = `127.0.0.1:${await closedPort()}`;
    for (const way of ['--via', '--connect-to'])
      expect(await get(['keymux://a.test/', way, address])).toEqual({
        code: 3,
        stderr: `keymux: nothing listens on ${address}\n`,
      });
  });
});

describe('on a way with two parties', () => {
  let keys: { readonly proxy: string; readonly host: string; readonly other: string };
  let proxy: string;
  let origin: string;

  beforeEach(async () => {
    keys = { proxy: await makeKey(scope), host: await makeKey(scope), other: await makeKey(scope) };
    const ofHost = await keeperOf({ file: keys.host, authorities: ['a.test'] });
    const ofProxy = await keeperOf({ file: keys.proxy, authorities: [''] });
    const hosts = [{ name: 'a.test', handler: () => ({ status: 200 }) }];
    const servers = [
      new Origin({ keeper: ofHost.keeper, hosts }),
      new ConnectProxy({ keeper: ofProxy.keeper, allow: ['127.0.0.1:*'] }),
    ];
    [origin = '', proxy = ''] = await Promise.all(
      servers.map(async (server) => {
        scope.defer(() => server.close());
        return `127.0.0.1:${((await server.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo).port}`;
      }),
    );
  });

  const through = (proxyKey: string, key: string, ...more: readonly string[]) =>
    get([
      'keymux://a.test/',
      '--connect-to',
      origin,
      '--via',
      proxy,
      '--proxy-key',
      proxyKey,
      '--key',
      key,
      ...more,
    ]);

  test('the one whose key does not fit is named', async () => {
    expect(await through(keys.proxy, keys.host)).toMatchObject({ code: 0 });
    expect(await through(keys.other, keys.host)).toEqual({
      code: 4,
      stderr: expect.stringContaining(`the keys of this side and of the proxy ${proxy} do not fit`),
    });
    expect(await through(keys.proxy, keys.other)).toEqual({
      code: 4,
      stderr: expect.stringContaining(`the keys of this side and of a.test at ${origin} do not fit`),
    });
  });

  test('the one that takes no such algorithm is named', async () => {
    const anonymous = ['keymux://a.test/', '--via', proxy, '--proxy-key', keys.proxy, '--connect-to', origin];
    expect(await get([...anonymous, '--algorithm', 'anonymous'])).toEqual({
      code: 4,
      stderr: expect.stringMatching(
        `^keymux: no key could be negotiated with a.test at ${origin}\n  because: the peer rejected`,
      ),
    });
  });
});
