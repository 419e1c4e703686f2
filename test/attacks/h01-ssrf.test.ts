import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import type { Client } from '@keymux/client';
import { ALGORITHM, type KeyInfo } from '@keymux/keys';
import { ConnectProxy } from '@keymux/proxy';
import { UsageError } from '@keymux/session';
import type { MuxStream } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { oddSpellings } from '../support/destinations.ts';
import { connectClient } from '../support/library.ts';
import { Scope } from '../support/scope.ts';
import { tcpServer } from '../support/servers.ts';
import { ALPHA, failureOf, Keys } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** The status that a CONNECT gets whose destination is written exactly so. */
async function statusOf(client: Client, destination: string): Promise<string> {
  let stream: MuxStream;
  try {
    stream = client.session.openStream([
      [':method', 'CONNECT'],
      [':path', destination],
      [':version', 'HTTP/1.1'],
    ]);
  } catch (error) {
    if (error instanceof UsageError) return 'no header value';
    throw error;
  }
  await Promise.race([once(stream, 'reply'), once(stream, 'close')]);
  const status = stream.replyHeaders?.find(([name]) => name === ':status')?.[1] ?? 'reset';
  stream.destroy();
  return status.slice(0, 3);
}

/** A resolver that the attacker owns. */
const OWNED = async (): Promise<{ address: string }[]> => [{ address: '127.0.0.1' }, { address: '::1' }];

async function start(allow: readonly string[], lookup = OWNED): Promise<Client> {
  const proxy = new ConnectProxy({ allow, lookup });
  const { port } = (await proxy.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(() => proxy.close());
  return connectClient(scope, `127.0.0.1:${port}`);
}

describe('H1: odd spellings of destinations', () => {
  test('none reaches loopback when the rules name only the rest of the world', async () => {
    let reached = 0;
    const port = await tcpServer(scope, () => reached++);
    const client = await start(['*:*', '*.test:*', '8.8.8.8:*', '[2606:4700::1111]:*']);
    const spellings = oddSpellings(port);
    expect(spellings.length).toBeGreaterThan(100);
    const statuses = new Map<string, string>();
    for (const spelling of spellings) statuses.set(spelling, await statusOf(client, spelling));
    const unexpected = [...statuses].filter(
      ([, status]) => !['400', '403', 'no header value'].includes(status),
    );
    expect(unexpected).toEqual([]);
    expect(reached).toBe(0);
    expect(client.session.canOpen).toBe(true);
  });

  test('a rule that names an address or localhost lets that through, and nothing else', async () => {
    const port = await tcpServer(scope, (socket) => socket.end());
    const byAddress = await start(['127.0.0.1:*']);
    expect(await statusOf(byAddress, `127.0.0.1:${port}`)).toBe('200');
    expect(await statusOf(byAddress, `[::ffff:127.0.0.1]:${port}`)).toBe('200');
    expect(await statusOf(byAddress, `127.0.0.2:${port}`)).toBe('403');
    expect(await statusOf(byAddress, `[::1]:${port}`)).toBe('403');
    const byName = await start(['localhost:*']);
    expect(await statusOf(byName, `LOCALHOST.:${port}`)).toBe('200');
    expect(await statusOf(byName, `127.0.0.1:${port}`)).toBe('403');
    expect(await statusOf(byName, `a.localhost:${port}`)).toBe('403');
  });
});

describe('H1: a resolver that changes its mind', () => {
  /** A proxy that may reach what listens on 127.0.0.1, and must not reach the same port of 127.0.0.2. */
  async function flipping(answers: readonly (readonly string[])[]) {
    let [outside, inside, lookups] = [0, 0, 0];
    const server = createServer((socket) => {
      if (socket.localAddress === '127.0.0.2') inside++;
      else outside++;
      socket.on('error', () => undefined);
      socket.end();
    });
    server.listen(0, '0.0.0.0');
    await once(server, 'listening');
    scope.defer(() => server.close());
    const { port } = server.address() as AddressInfo;
    const lookup = async () => (answers[lookups++] ?? []).map((address) => ({ address }));
    const client = await start([`127.0.0.1:${port}`], lookup);
    const ask = () => statusOf(client, `flip.test:${port}`);
    return { ask, counts: () => ({ outside, inside, lookups }) };
  }

  test('each request looks the name up once, and goes where that answer says or nowhere', async () => {
    const { ask, counts } = await flipping([['127.0.0.1'], ['127.0.0.2'], ['127.0.0.1']]);
    expect([await ask(), await ask(), await ask()]).toEqual(['200', '403', '200']);
    expect(counts()).toEqual({ outside: 2, inside: 0, lookups: 3 });
  });

  test('of several addresses only those that are allowed are tried', async () => {
    const { ask, counts } = await flipping([['127.0.0.2', '127.0.0.1', '169.254.169.254', '::1']]);
    expect(await ask()).toBe('200');
    expect(counts()).toEqual({ outside: 1, inside: 0, lookups: 1 });
  });

  test('nothing is looked up that no rule could allow', async () => {
    let lookups = 0;
    const lookup = async () => {
      lookups++;
      return [{ address: '127.0.0.1' }];
    };
    const client = await start(['*.example.test:443', 'one.test:80'], lookup);
    for (const destination of [
      'internal.test:443',
      'one.test:443',
      'a.example.test:80',
      'example.test:443',
    ]) {
      expect(await statusOf(client, destination)).toBe('403');
    }
    expect(lookups).toBe(0);
  });
});

describe('H1: open relay', () => {
  test('a proxy that has keys connects for nobody without one, and for no host key', async () => {
    let reached = 0;
    const port = await tcpServer(scope, (socket) => {
      reached++;
      socket.end();
    });
    const keys = new Keys();
    const proxy = new ConnectProxy({ keeper: keys.keeper({ anonymous: [''] }), allow: ['127.0.0.1:*'] });
    const address = (await proxy.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    scope.defer(() => proxy.close());
    const client = await connectClient(scope, `127.0.0.1:${address.port}`, {
      keeper: keys.keeper({ anonymous: [''] }),
    });
    const open = (key?: KeyInfo) => failureOf(client.tunnel('127.0.0.1', port, { key }));
    const request = { algorithm: ALGORITHM.PSK_X25519 };
    expect(await open()).toMatchObject({ status: 403 });
    const anonymous = await client.negotiate({ algorithm: ALGORITHM.ANONYMOUS, label: 'anonymous' });
    expect(await open(anonymous)).toMatchObject({ status: 403 });
    const host = await client.negotiate({ ...request, label: keys.of(ALPHA), authority: ALPHA });
    expect(await open(host)).toMatchObject({ status: 403 });
    expect(reached).toBe(0);
    expect(await open(await client.negotiate({ ...request, label: keys.of('') }))).toBeUndefined();
    expect(reached).toBe(1);
  });
});
