import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Client } from '@keymux/client';
import { ConnectProxy } from '@keymux/proxy';
import { UsageError } from '@keymux/session';
import type { MuxStream } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { oddSpellings } from '../support/destinations.ts';
import { connectClient } from '../support/library.ts';
import { Scope } from '../support/scope.ts';
import { tcpServer } from '../support/servers.ts';

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

async function start(allow: readonly string[]): Promise<Client> {
  // A resolver that the attacker owns.
  const lookup = async (): Promise<{ address: string }[]> => [{ address: '127.0.0.1' }, { address: '::1' }];
  const proxy = new ConnectProxy({ allow, lookup });
  const { port } = (await proxy.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(() => proxy.close());
  return connectClient(scope, `127.0.0.1:${port}`);
}

describe('odd spellings of destinations', () => {
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
