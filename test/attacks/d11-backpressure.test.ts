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
const LARGE = 128 * MIB;
const GROWTH = 72 * MIB;
/** What the buffers of the kernel on two hops and the window of a stream may hold. */
const ON_THE_WAY = 64 * MIB;

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

const expected = { sha256: payloadHash(LARGE), bytes: LARGE };

/** Bytes that are made as they are read, and how many have been. */
class Source {
  taken = 0;
  readonly bytes = Readable.from(this.#made(), { objectMode: false, highWaterMark: MIB });

  async *#made(): AsyncGenerator<Buffer> {
    for await (const block of payload(LARGE)) {
      this.taken += (block as Buffer).length;
      yield block as Buffer;
    }
  }

  /** Resolves when nothing has been taken for a while: there is room for no more, or all is on its way. */
  async stalled(): Promise<void> {
    for (let quiet = 0, before = -1; quiet < 5; before = this.taken) {
      await pause(80);
      quiet = this.taken === before ? quiet + 1 : 0;
    }
  }
}

describe('D11: a proxy between a fast side and a slow one holds next to nothing', () => {
  test('of an upload', async () => {
    const connections: Socket[] = [];
    const port = await tcpServer(scope, (socket) => connections.push(socket.pause()));
    const source = new Source();
    const aftermath = await siege.during(bystanders, async () => {
      const uploading = pipeline(source.bytes, await client.tunnel('127.0.0.1', port));
      await source.stalled();
      expect(source.taken).toBeLessThan(ON_THE_WAY);
      const [origin] = connections as [Socket];
      expect(await hashOf(origin)).toEqual(expected);
      origin.end();
      await uploading;
    });
    expectUnharmed(aftermath, { growth: GROWTH });
  });

  test('of a download', async () => {
    const source = new Source();
    const port = await tcpServer(scope, (socket) => void pipeline(source.bytes, socket));
    const aftermath = await siege.during(bystanders, async () => {
      const tunnel = await client.tunnel('127.0.0.1', port);
      tunnel.end();
      await source.stalled();
      expect(source.taken).toBeLessThan(ON_THE_WAY);
      expect(await hashOf(tunnel)).toEqual(expected);
    });
    expectUnharmed(aftermath, { growth: GROWTH });
  });

  test('of either inside a session of its own, whose windows are larger than what may wait', async () => {
    const limits = { streamWindow: 2 * LARGE, sessionWindow: 2 * LARGE };
    const [up, down] = [new Source(), new Source()];
    const handler = async ({ method, body }: { method: string; body: Readable }) => {
      if (method === 'GET') return { status: 200, body: down.bytes };
      await up.stalled();
      return { status: 200, body: JSON.stringify(await hashOf(body)) };
    };
    const origin = new Origin({ hosts: [{ name: 'slow.test', handler }], limits });
    const { port } = (await origin.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    scope.defer(() => origin.close());
    const inner = await client.through('127.0.0.1', port, {}, { config: limits });
    scope.defer(() => inner.session.destroy());
    const aftermath = await siege.during(bystanders, async () => {
      const posted = await inner.request({
        ...{ host: 'slow.test', path: '/', method: 'POST' },
        body: up.bytes,
      });
      expect(JSON.parse(await text(posted.body))).toEqual(expected);
      const got = await inner.request({ host: 'slow.test', path: '/' });
      await down.stalled();
      expect(await hashOf(got.body)).toEqual(expected);
    });
    expectUnharmed(aftermath, { growth: GROWTH });
  });
});
