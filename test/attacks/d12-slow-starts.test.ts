import type { AddressInfo } from 'node:net';
import { encodeControl } from '@keymux/frames';
import { createHttpFront } from '@keymux/proxy';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ANNOUNCEMENT } from '../support/attacker.ts';
import { Scope } from '../support/scope.ts';
import { listen } from '../support/servers.ts';
import { type Bystander, expectUnharmed, regulars, Siege } from '../support/siege.ts';
import { Stranger, upgradeHead, webSocketFrame } from '../support/stranger.ts';

const HOST = 'alpha.test';
const GROWTH = 32 * 2 ** 20;
/** What a connection, or a frame, may take, in milliseconds. */
const LIMIT = 600;
/** When it must be over: far below what an idle timer would give to who sends a byte every 50 milliseconds, which is for ever. */
const OVER = 15_000;

const shared = new Scope();
const scope = new Scope();
let siege: Siege;
let bystanders: Bystander[];
beforeAll(async () => {
  const limits = ['greeting-timeout', 'frame-timeout'].flatMap((name) => ['--limit', `${name}=${LIMIT}`]);
  siege = await Siege.start(shared, ['origin', '--host', HOST, '--anonymous', ...limits]);
  bystanders = await regulars(shared, siege, HOST);
});
afterEach(() => scope.close());
afterAll(() => shared.close());

const PING = encodeControl({ type: 'ping', id: 1 });
/** SETTINGS as long as they may be, so that it takes longer than the time for it. */
const LONG = encodeControl({
  type: 'settings',
  clear: false,
  entries: Array.from({ length: 60 }, (_, id) => ({ id: id + 100, value: 0, flags: 0 })),
});
const NEGO = encodeControl({
  ...{ type: 'key-nego', keyId: 1, algorithm: 5, fin: false, reject: false, retire: false },
  data: new Uint8Array(2_000),
});
const HEAD = upgradeHead('SPDY/3.1', `X-Long: ${'x'.repeat(8_000)}`);

const ATTACKS: [string, (stranger: Stranger) => Promise<number>][] = [
  ['who says nothing', (stranger) => stranger.closed],
  ['the first frame of a session', (stranger) => stranger.trickle(LONG)],
  [
    'a frame in a session that has begun',
    (stranger) => {
      stranger.send(ANNOUNCEMENT);
      return stranger.trickle(LONG);
    },
  ],
  [
    'the message of a negotiation',
    (stranger) => {
      stranger.send(ANNOUNCEMENT);
      return stranger.trickle(NEGO);
    },
  ],
  ['the head of a request for an upgrade', (stranger) => stranger.trickle(HEAD)],
  ['the head of any other request', (stranger) => stranger.trickle(`GET /${'x'.repeat(8_000)}`)],
  [
    'the session after an upgrade',
    async (stranger) => {
      stranger.send(upgradeHead('SPDY/3.1'));
      await stranger.until('101 Switching Protocols');
      return stranger.trickle(LONG);
    },
  ],
  [
    'a WebSocket on which nothing comes',
    async (stranger) => {
      await stranger.openWebSocket();
      return stranger.closed;
    },
  ],
  [
    'a WebSocket message',
    async (stranger) => {
      await stranger.openWebSocket();
      return stranger.trickle(webSocketFrame(Buffer.alloc(500), { length: 60_000 }));
    },
  ],
  [
    'a frame in WebSocket messages of a byte',
    async (stranger) => {
      await stranger.openWebSocket();
      for (const byte of LONG.subarray(0, 100)) stranger.send(webSocketFrame(Buffer.of(byte)));
      return stranger.closed;
    },
  ],
];

describe('D12: who takes his time', () => {
  // At the same time: each takes as long as it may.
  test('is cut off in the end, however it is spread over bytes, and nobody else', async () => {
    const ends = new Map<string, number>();
    const aftermath = await siege.during(bystanders, async () => {
      await Promise.all(
        ATTACKS.map(async ([what, attack]) => {
          ends.set(what, await attack(await Stranger.connect(scope, siege.port)));
        }),
      );
    });
    for (const [what, lasted] of ends) {
      expect(lasted, what).toBeGreaterThan(LIMIT - 100);
      expect(lasted, what).toBeLessThan(OVER);
    }
    expect(ends.size).toBe(ATTACKS.length);
    expectUnharmed(aftermath, { growth: GROWTH });
    expect(aftermath.after.streams).toHaveLength(1); // that of the bystander who keeps his session
  });

  test('is not cut off while frames come whole', async () => {
    const slow = await Stranger.connect(scope, siege.port);
    const since = performance.now();
    while (performance.now() - since < 3 * LIMIT) {
      slow.send(PING.subarray(0, 5));
      await new Promise((resolve) => setTimeout(resolve, LIMIT / 5));
      slow.send(PING.subarray(5));
    }
    expect(slow.over).toBe(false);
  });

  test('the local HTTP proxy waits as little for the head of a request', async () => {
    let opened = 0;
    const server = createHttpFront(
      () => {
        opened++;
        return Promise.reject(new Error('not here'));
      },
      { headTimeout: LIMIT },
    );
    await listen(scope, server);
    const { port } = server.address() as AddressInfo;
    const heads = [
      `CONNECT a.test:443 HTTP/1.1\r\nHost: ${'x'.repeat(8_000)}`,
      'GET http://a.test/ HTTP/1.1\r\nX',
    ];
    const lasted = await Promise.all(
      heads.map(async (head) => (await Stranger.connect(scope, port)).trickle(head)),
    );
    for (const time of lasted) expect(time).toBeLessThan(OVER);
    expect(opened).toBe(0);
  });
});
