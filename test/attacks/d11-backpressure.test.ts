import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from '@keymux/client';
import { Origin } from '@keymux/origin';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { connectClient } from '../support/library.ts';
import { hashOf, payload, payloadHash } from '../support/payload.ts';
import { Scope } from '../support/scope.ts';
import { tcpServer } from '../support/servers.ts';
import { type Bystander, expectUnharmed, Siege } from '../support/siege.ts';

const MIB = 2 ** 20;
/** Far more than may be held on the way, and than collection of garbage leaves behind. */
const LARGE = 256 * MIB;
const NESTED = 128 * MIB; // in each direction
const GROWTH = 96 * MIB;

const shared = new Scope();
const scope = new Scope();
let siege: Siege;
let client: Client;
let bystanders: Bystander[];
beforeAll(async () => {
  siege = await Siege.start(shared, ['proxy', '--clear', '--allow', '127.0.0.1:*']);
  const port = await tcpServer(shared, (socket) => void socket.pipe(socket));
  const other = await connectClient(shared, siege.address);
  client = await connectClient(shared, siege.address);
  // In the session of who transfers, and in one of their own.
  bystanders = [client, other].map((from) => async () => {
    const tunnel = await from.tunnel('127.0.0.1', port);
    tunnel.write('word');
    await once(tunnel, 'data');
    tunnel.destroy();
  });
});
afterEach(() => scope.close());
afterAll(() => shared.close());

/** Takes nothing for a while, then little for a while, then everything. */
async function* reluctantly(source: Readable): AsyncGenerator<Buffer> {
  await pause(700);
  let read = 0;
  for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    if (read < 4 * MIB) await pause(2);
    read += chunk.length;
    yield chunk;
  }
}

const slowHashOf = (source: Readable): ReturnType<typeof hashOf> =>
  hashOf(Readable.from(reluctantly(source), { objectMode: false }));

const expected = (bytes: number): { sha256: string; bytes: number } => ({
  sha256: payloadHash(bytes),
  bytes,
});

describe('D11: a proxy between a fast side and a slow one holds next to nothing', () => {
  test('of an upload', async () => {
    const connections: Socket[] = [];
    const port = await tcpServer(scope, (socket) => connections.push(socket.pause()));
    const aftermath = await siege.during(bystanders, async () => {
      const uploading = pipeline(payload(LARGE), await client.tunnel('127.0.0.1', port));
      expect(await slowHashOf(connections[0] as Socket)).toEqual(expected(LARGE));
      connections[0]?.end();
      await uploading;
    });
    expectUnharmed(aftermath, { growth: GROWTH });
  });

  test('of a download', async () => {
    const port = await tcpServer(scope, (socket) => void pipeline(payload(LARGE), socket));
    const aftermath = await siege.during(bystanders, async () => {
      const tunnel = await client.tunnel('127.0.0.1', port);
      tunnel.end();
      expect(await slowHashOf(tunnel)).toEqual(expected(LARGE));
    });
    expectUnharmed(aftermath, { growth: GROWTH });
  });

  test('of either inside a session of its own, whose windows are larger than what may wait', async () => {
    const limits = { streamWindow: 64 * MIB, sessionWindow: 64 * MIB };
    const handler = async ({ method, body }: { method: string; body: Readable }) =>
      method === 'POST'
        ? { status: 200, body: JSON.stringify(await slowHashOf(body)) }
        : { status: 200, body: payload(NESTED) };
    const origin = new Origin({ hosts: [{ name: 'slow.test', handler }], limits });
    const { port } = (await origin.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    scope.defer(() => origin.close());
    const inner = await client.through('127.0.0.1', port, {}, { config: limits });
    scope.defer(() => inner.session.destroy());
    const aftermath = await siege.during(bystanders, async () => {
      const posted = await inner.request({
        ...{ host: 'slow.test', path: '/', method: 'POST' },
        body: payload(NESTED),
      });
      expect(JSON.parse(await text(posted.body))).toEqual(expected(NESTED));
      const got = await inner.request({ host: 'slow.test', path: '/' });
      expect(await slowHashOf(got.body)).toEqual(expected(NESTED));
    });
    expectUnharmed(aftermath, { growth: GROWTH });
  });
});
