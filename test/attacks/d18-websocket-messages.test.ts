import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Scope } from '../support/scope.ts';
import { type Bystander, expectUnharmed, regulars, Siege } from '../support/siege.ts';
import { Stranger, webSocketFrame } from '../support/stranger.ts';

const HOST = 'alpha.test';
const MIB = 2 ** 20;
const GROWTH = 32 * MIB;
/** Close frames with their status: the payload is not to our liking, or too much. */
const [POLICY, TOO_BIG] = [1008, 1009];

const shared = new Scope();
const scope = new Scope();
let siege: Siege;
let bystanders: Bystander[];
beforeAll(async () => {
  siege = await Siege.start(shared, ['origin', '--host', HOST]);
  bystanders = await regulars(shared, siege, HOST);
});
afterEach(() => scope.close());
afterAll(() => shared.close());

/** Has a WebSocket do something; resolves with what it has received when the server has nothing more for it. */
async function until(done: (stranger: Stranger) => boolean, attack: (stranger: Stranger) => unknown) {
  const stranger = await Stranger.connect(scope, siege.port);
  await stranger.openWebSocket();
  const aftermath = await siege.during(bystanders, async () => {
    attack(stranger);
    await siege.until(() => done(stranger));
    stranger.socket.destroy();
    await siege.until(({ streams }) => streams.length === 1);
  });
  expectUnharmed(aftermath, { growth: GROWTH });
  return stranger;
}

/** The status of the close frame that is the end of what has come. */
function closed(stranger: Stranger): number | undefined {
  const bytes = stranger.received;
  const at = bytes.lastIndexOf(0x88);
  return at >= 0 && at + 4 <= bytes.length ? bytes.readUInt16BE(at + 2) : undefined;
}

const BYTE = Buffer.of(0x80);

describe('D18: WebSocket messages made to cost more than they bring', () => {
  test('one in frames of a byte', async () => {
    const frames = Array.from({ length: 10_000 }, (_, index) =>
      webSocketFrame(BYTE, { opcode: index === 0 ? 2 : 0, fin: false }),
    );
    const stranger = await until(
      (one) => one.over || closed(one) === POLICY,
      (one) => one.send(Buffer.concat(frames)),
    );
    expect(closed(stranger)).toBe(POLICY);
  });

  test('one in frames of nothing', async () => {
    const frames = Array.from({ length: 10_000 }, (_, index) =>
      webSocketFrame(Buffer.alloc(0), { opcode: index === 0 ? 2 : 0, fin: false }),
    );
    const stranger = await until(
      (one) => one.over || closed(one) === POLICY,
      (one) => one.send(Buffer.concat(frames)),
    );
    expect(closed(stranger)).toBe(POLICY);
  });

  test('one that is too long, before it has come', async () => {
    const frame = webSocketFrame(Buffer.alloc(100), { length: MIB + 1 });
    const stranger = await until(
      (one) => closed(one) === TOO_BIG,
      (one) => one.send(frame),
    );
    expect(closed(stranger)).toBe(TOO_BIG);
  });

  test('one that is too long in all its frames together', async () => {
    const frames = [0, 1, 2].map((index) =>
      webSocketFrame(Buffer.alloc(MIB / 2), { opcode: index === 0 ? 2 : 0, fin: false }),
    );
    const stranger = await until(
      (one) => closed(one) === TOO_BIG,
      (one) => one.send(Buffer.concat(frames)),
    );
    expect(closed(stranger)).toBe(TOO_BIG);
  });

  test('text', async () => {
    // DATA for a stream that is not there, without payload: as bytes it would be harmless.
    const frame = webSocketFrame(Buffer.from('\0\0\0\x01\0\0\0\0'), { opcode: 1 });
    await until(
      (one) => one.over,
      (one) => one.send(frame),
    );
  });

  test('PINGs whose answers nobody reads', async () => {
    const pings = Buffer.concat(
      Array.from({ length: 1_000 }, () => webSocketFrame(Buffer.alloc(125), { opcode: 9 })),
    );
    const stranger = await Stranger.connect(scope, siege.port);
    await stranger.openWebSocket();
    stranger.socket.pause();
    const aftermath = await siege.during(bystanders, async () => {
      const drained = (): Promise<unknown> =>
        new Promise((resolve) => stranger.socket.once('drain', resolve));
      while (!stranger.over) {
        if (!stranger.socket.write(pings)) await Promise.race([drained(), stranger.closed]);
      }
      await siege.until(({ streams }) => streams.length === 1);
    });
    expectUnharmed(aftermath, { growth: GROWTH });
  });

  test.each(['permessage-deflate', 'permessage-deflate; client_max_window_bits, x-webkit-deflate-frame'])(
    'compression is not taken: %s',
    async (offer) => {
      const stranger = await Stranger.connect(scope, siege.port);
      await stranger.openWebSocket(`Sec-WebSocket-Extensions: ${offer}`);
      expect(stranger.text).toMatch(/^HTTP\/1\.1 101 /);
      expect(stranger.text.toLowerCase()).not.toContain('extensions');
      const compressed = webSocketFrame(BYTE);
      compressed[0] = 0xc2; // the bit that says so
      stranger.send(compressed);
      await siege.until(() => closed(stranger) === 1002);
    },
  );

  test.each([
    ['many', Array.from({ length: 5_000 }, (_, index) => `X-${index}: 1`), '431'],
    [
      'names of prototypes among',
      ['__proto__: x', 'constructor: x', 'Sec-WebSocket-Extensions: constructor'],
      '101',
    ],
  ])('a head with %s headers does no harm', async (_what, lines, status) => {
    const stranger = await Stranger.connect(scope, siege.port);
    await stranger.openWebSocket(...lines);
    expect(stranger.text.slice(9, 12)).toBe(status);
    for (const request of bystanders) await request();
  });
});
