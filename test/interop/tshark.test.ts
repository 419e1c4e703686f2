import { writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { Client } from '@keymux/client';
import { type MuxStream, SessionServer } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { PCAP_PORT, pcapOf } from '../support/pcap.ts';
import { run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { Wiretap } from '../support/wiretap.ts';

const hasTshark = (await run('tshark', ['--version']).catch(() => undefined))?.code === 0;

const scope = new Scope();
afterEach(() => scope.close());

type Fields = Readonly<Record<string, readonly string[]>>;

/** What tshark's own dissector for SPDY makes of the packets that pass a filter. */
async function dissect(file: string, filter: string, names: readonly string[]): Promise<Fields[]> {
  const { code, stdout, stderr } = await run('tshark', [
    ...['-r', file, '-d', `tcp.port==${PCAP_PORT},spdy`, '-Y', filter, '-T', 'json'],
    ...names.flatMap((name) => ['-e', name]),
  ]);
  expect(code, stderr).toBe(0);
  const packets = JSON.parse(stdout) as { _source: { layers: Fields } }[];
  return packets.map(({ _source }) => _source.layers);
}

describe.skipIf(!hasTshark)('tshark', () => {
  test('decodes every frame of a session without keys, and its headers', async () => {
    const server = new SessionServer();
    server.on('session', (session) =>
      session.on('stream', (stream) => {
        if (stream.unidirectional) return stream.resume();
        if (stream.priority === 7) return stream.reset(3);
        stream.respond([
          [':status', '200 OK'],
          [':version', 'HTTP/1.1'],
          ['x-answer', String(stream.id)],
        ]);
        stream.sendHeaders([['x-more', 'of it']]);
        return stream.pipe(stream);
      }),
    );
    const { port } = (await server.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    const tap = await Wiretap.start(scope, port);
    const { session } = await Client.connect(tap.address);
    const request = (path: string) =>
      [
        [':method', 'POST'],
        [':path', path],
        [':host', 'a.example'],
      ] as const;
    const echo = session.openStream(request('/echo'), { priority: 1 });
    echo.end(Buffer.alloc(300_000, 'body'));
    expect(await buffer(echo)).toHaveLength(300_000);
    const refused = session.openStream(request('/refused'), { priority: 7 });
    await expect(finished(refused)).rejects.toMatchObject({ status: 3 });
    const last = session.openStream(request('/last'), { unidirectional: true, associatedWith: echo });
    last.end();
    await finished(last);
    await session.ping();
    await session.close();
    await server.close();

    const file = (await scope.directory())('session.pcap');
    await writeFile(file, pcapOf(tap.only));
    const bad = '_ws.malformed or spdy.inflation_failed or spdy.type.invalid or spdy.malformed.frame_data';
    expect(await dissect(file, bad, ['frame.number'])).toEqual([]);
    const names = ['spdy.type', 'spdy.header.name', 'spdy.header.value', 'spdy.associated.streamid'];
    const seen = await dissect(file, 'spdy', [...names, 'spdy.rst_stream_status', 'spdy.goaway_status']);
    const all = (name: string): string[] => seen.flatMap((fields) => fields[name] ?? []);
    // SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE
    expect(new Set(all('spdy.type').map(Number))).toEqual(new Set([1, 2, 3, 4, 6, 7, 8, 9]));
    const headers = all('spdy.header.name').map((name, index) => [name, all('spdy.header.value')[index]]);
    expect(headers).toEqual(
      expect.arrayContaining([
        [':path', '/echo'],
        [':path', '/refused'],
        [':path', '/last'],
        ['x-answer', '1'],
        ['x-more', 'of it'],
      ]),
    );
    expect(all('spdy.associated.streamid').map(Number)).toContain((echo as MuxStream).id);
    expect(all('spdy.rst_stream_status').map(Number)).toEqual([3]);
    expect(all('spdy.goaway_status').map(Number)).toEqual([0, 0]);
  });
});
