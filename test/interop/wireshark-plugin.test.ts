import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Client } from '@keymux/client';
import { ALGORITHM, Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { type MuxSession, SessionServer } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { pcapOf } from '../support/pcap.ts';
import { run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { Wiretap } from '../support/wiretap.ts';

const PLUGIN = fileURLToPath(new URL('../../packages/trace/wireshark/keymux.lua', import.meta.url));
const hasTshark = (await run('tshark', ['--version']).catch(() => undefined))?.code === 0;

const scope = new Scope();
afterEach(() => scope.close());

function keys(algorithms?: readonly number[]): { keeper: LocalKeeper; label: string } {
  const keyring = new Keyring();
  const label = keyring.add(new PreSharedKey(Buffer.alloc(32, 'plugin')), { authorities: ['a.test'] });
  return { keeper: new LocalKeeper({ keyring, ...(algorithms && { algorithms }) }), label };
}

/** A session with a clear stream, one of 200 KB under a key, and a rejected negotiation; captured as a file. */
async function capture(addressOf: (address: string) => string): Promise<string> {
  const server = new SessionServer({ keeper: keys([ALGORITHM.PSK_X25519]).keeper });
  server.on('session', (session) =>
    session.on('stream', (stream) => {
      if (stream.priority === 7) return stream.reset(3);
      stream.respond([[':status', '200']]);
      return stream.pipe(stream);
    }),
  );
  const over = once(server, 'session').then(([session]) => (session as MuxSession).closed);
  const { port } = (await server.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(() => server.close());
  const tap = await Wiretap.start(scope, port);
  const { keeper, label } = keys();
  const client = await Client.connect(addressOf(tap.address), { keeper });
  const { session } = client;
  const clear = session.openStream([[':method', 'POST']], { priority: 2 });
  clear.end('clear');
  expect(await text(clear)).toBe('clear');
  const refused = session.openStream([[':method', 'GET']], { priority: 7 });
  await once(refused, 'error');
  const algorithm = [ALGORITHM.HYBRID, ALGORITHM.PSK_X25519];
  const key = await client.negotiate({ algorithm, label, authority: 'a.test' });
  const sealed = session.openStream([[':method', 'POST']], { key });
  sealed.end(Buffer.alloc(200_000, 'sealed'));
  expect(await text(sealed)).toHaveLength(200_000);
  await session.ping();
  await client.close();
  await over;
  const file = (await scope.directory())('session.pcap');
  await writeFile(file, pcapOf(tap.only));
  return file;
}

type Fields = Readonly<Record<string, readonly string[]>>;

async function dissect(file: string, filter: string, names: readonly string[]): Promise<Fields[]> {
  const { code, stdout, stderr } = await run('tshark', [
    ...['-X', `lua_script:${PLUGIN}`, '-r', file, '-Y', filter, '-T', 'json'],
    ...names.flatMap((name) => ['-e', name]),
  ]);
  expect(stderr).not.toMatch(/lua/i);
  expect(code, stderr).toBe(0);
  return (JSON.parse(stdout) as { _source: { layers?: Fields } }[]).map(
    ({ _source }) => _source.layers ?? {},
  );
}

describe.skipIf(!hasTshark).each([
  ['TCP', (address: string) => address],
  ['a WebSocket', (address: string) => `ws://${address}/`],
])('the plugin for Wireshark, over %s', (_name, addressOf) => {
  test('names every frame and its fields, and finds nothing malformed', async () => {
    const file = await capture(addressOf);
    expect(
      await dissect(file, 'keymux.malformed or _ws.malformed or _ws.lua.error', ['frame.number']),
    ).toEqual([]);
    const names = ['type', 'stream', 'key', 'priority', 'goaway_status', 'rst_status', 'setting', 'ping'];
    const nego = ['label', 'authority', 'algorithm', 'reason', 'accepted'].map((name) => `nego.${name}`);
    const seen = await dissect(
      file,
      'keymux',
      [...names, ...nego].map((name) => `keymux.${name}`),
    );
    const all = (name: string): string[] => seen.flatMap((fields) => fields[`keymux.${name}`] ?? []);
    expect(new Set(all('type'))).toEqual(
      new Set([
        ...['SETTINGS', 'WINDOW_UPDATE', 'SYN_STREAM', 'SYN_REPLY', 'DATA', 'RST_STREAM', 'PING', 'GOAWAY'],
        ...['KEY_NEGO', 'SEALED'],
      ]),
    );
    expect(all('nego.label')).toEqual([keys().label, keys().label]);
    expect(all('nego.authority')).toEqual(['a.test', 'a.test']);
    expect(all('nego.reason')).toEqual(['2']);
    expect(all('nego.accepted')).toEqual(['3']);
    expect(all('rst_status')).toEqual(['3']);
    expect(all('goaway_status')).toContain('0');
    expect(all('priority')).toEqual(['2', '7']);
    expect(all('type').filter((type) => type === 'SEALED').length).toBeGreaterThan(4);
    expect(new Set(all('setting').map(Number))).toContain(0x4b4d58);
  });
});
