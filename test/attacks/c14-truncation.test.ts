import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { encodeControl, encodeDataHead } from '@keymux/frames';
import { ALGORITHM } from '@keymux/keys';
import { ConnectProxy } from '@keymux/proxy';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { clearData } from '../support/forge.ts';
import { connectClient } from '../support/library.ts';
import { Middle, type Way, type Wire } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { tcpServer } from '../support/servers.ts';
import { ALPHA, Keys, PIECES, setVictims, type Told, tell, type Victims } from '../support/victims.ts';

const scope = new Scope();
const shared = new Scope();
afterEach(() => scope.close());
afterAll(() => shared.close());

/** Lets only so many bytes of envelopes through, then ends the carrier as it properly ends. */
const cut = { way: 'down' as Way, after: Number.POSITIVE_INFINITY };
const passed = new WeakMap<Wire, number>();
let victims: Victims;
beforeAll(async () => {
  victims = await setVictims(shared, {
    meddle: ({ way, type, bytes }, wire) => {
      if (way !== cut.way || type !== 'sealed') return undefined;
      const before = passed.get(wire) ?? 0;
      passed.set(wire, before + bytes.length);
      const left = cut.after - before;
      if (bytes.length < left) return undefined;
      queueMicrotask(() => wire.end(way));
      return bytes.subarray(0, Math.max(0, left));
    },
  });
});

/** An upload in pieces, and an answer in pieces, over a connection of its own. */
async function exchange(): Promise<Told | undefined> {
  const client = await victims.connect();
  const key = await victims.key(ALPHA, ALGORITHM.PSK, client); // the fastest
  const body = (async function* () {
    for (const piece of PIECES) {
      yield Buffer.from(piece);
      await new Promise(setImmediate);
    }
  })();
  const told = await tell(client.request({ host: ALPHA, path: '/pieces', method: 'POST', body, key })).catch(
    () => undefined,
  );
  client.session.destroy();
  return told;
}

const WHOLE = PIECES.join('');

describe('C14: truncation', () => {
  test.each(['down', 'up'] as const)('%s: cut anywhere, never a normal end', async (way) => {
    cut.after = Number.POSITIVE_INFINITY;
    cut.way = way;
    expect((await exchange())?.body).toBe(WHOLE);
    const total = passed.get(victims.middle.wires.at(-1) as Wire) as number;
    expect(victims.delivered.at(-1)?.body).toBe(WHOLE);
    expect(total).toBeGreaterThan(100);
    victims.delivered.length = 0;
    // After every byte of the answer, and of the question after every third.
    for (let after = 0; after < total; after += way === 'up' ? 3 : 1) {
      cut.after = after;
      const told = await exchange();
      expect(told?.body, `after ${after} of ${total} bytes`).toBeUndefined();
    }
    if (way === 'up') {
      // The end of the carrier cannot take back a body that had come whole.
      for (const { body } of victims.delivered) expect([undefined, WHOLE]).toContain(body);
      expect(
        victims.delivered.filter(({ received }) => received !== '' && received !== WHOLE).length,
      ).toBeGreaterThan(5);
    }
    cut.after = Number.POSITIVE_INFINITY;
    expect((await exchange())?.body).toBe(WHOLE);
  });

  const ends: readonly (readonly [string, Uint8Array])[] = [
    ['DATA with FIN', encodeDataHead(1, true, 0)],
    ['DATA with payload and FIN', clearData(1, 'FORGED', true)],
    ['RST_STREAM', encodeControl({ type: 'rst-stream', streamId: 1, status: 5 })],
    [
      'HEADERS with FIN',
      encodeControl({ type: 'headers', streamId: 1, fin: true, block: new Uint8Array(0) }),
    ],
  ];
  describe.each(['down', 'up'] as const)('%s', (way) => {
    test.each(ends)('forged %s ends a sealed body with an error', async (_name, frame) => {
      const attacked = await setVictims(scope, {
        meddle: ({ way: went, type, bytes }) =>
          went === way && type === 'sealed' ? [bytes, frame] : undefined,
      });
      const key = await attacked.key(ALPHA);
      const stream = attacked.client.session.openStream(
        [
          [':method', 'POST'],
          [':path', '/'],
          [':host', ALPHA],
          [':version', 'HTTP/1.1'],
        ],
        { key },
      );
      stream.on('headers', () => undefined);
      stream.resume();
      stream.write('half of it');
      if (way === 'down') stream.end();
      await new Promise((resolve) => stream.once('close', resolve));
      if (way === 'up') expect(attacked.delivered.map(({ body }) => body)).not.toContain('half of it');
      expect(attacked.delivered.map(({ received }) => received).join()).not.toContain('FORGED');
      await attacked.client.session.closed;
    });
  });
});

describe('C14: truncation of a tunnel', () => {
  test.each([
    ['the carrier to the proxy ends', (wire: Wire) => wire.end('up')],
    [
      'a forged RST_STREAM',
      (wire: Wire) => wire.send('up', encodeControl({ type: 'rst-stream', streamId: 1, status: 5 })),
    ],
    ['a forged end', (wire: Wire) => wire.send('up', encodeDataHead(1, true, 0))],
  ])('%s: the destination sees an error, and no end', async (_what, attack) => {
    const keys = new Keys();
    const seen: { ended: boolean; error: string | undefined; closed: Promise<unknown> }[] = [];
    const destination = await tcpServer(scope, (socket) => {
      const entry = { ended: false, error: undefined as string | undefined, closed: once(socket, 'close') };
      seen.push(entry);
      socket.on('data', (chunk) => socket.write(chunk));
      socket.on('end', () => {
        entry.ended = true;
      });
      socket.on('error', (error: NodeJS.ErrnoException) => {
        entry.error = error.code;
      });
    });
    const proxy = new ConnectProxy({ keeper: keys.keeper(), allow: ['127.0.0.1:*'] });
    const { port } = (await proxy.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    scope.defer(() => proxy.close());
    const middle = await Middle.start(scope, port);
    const client = await connectClient(scope, middle.address, { keeper: keys.keeper() });
    const key = await client.negotiate({ algorithm: 3, label: keys.of(''), authority: '' });
    const tunnel = await client.tunnel('127.0.0.1', destination, { key });
    tunnel.write('half of it');
    await once(tunnel, 'data'); // the destination has read it: with bytes before it, libuv takes a reset for an end
    attack(middle.wire);
    await seen[0]?.closed.catch(() => undefined);
    expect(seen).toMatchObject([{ ended: false, error: 'ECONNRESET' }]);
  });
});
