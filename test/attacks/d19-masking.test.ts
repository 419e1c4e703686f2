import { encodeControl } from '@keymux/frames';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Scope } from '../support/scope.ts';
import { type Bystander, expectUnharmed, regulars, Siege } from '../support/siege.ts';
import { Stranger, webSocketFrame } from '../support/stranger.ts';

const HOST = 'alpha.test';
/** Status of a close frame: a rule of WebSocket is broken. */
const PROTOCOL_ERROR = 1002;

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

const PING = Buffer.from(encodeControl({ type: 'ping', id: 1 }));

/** Opens a WebSocket and sends a PING of a session in it. */
async function ping(options: { readonly masked: boolean }): Promise<Stranger> {
  const stranger = await Stranger.connect(scope, siege.port);
  await stranger.openWebSocket();
  stranger.send(webSocketFrame(PING, options));
  return stranger;
}

describe('D19: WebSocket frames that an old proxy could take for HTTP', () => {
  test('who does not mask his frames is cut off, and nothing in them counts', async () => {
    const aftermath = await siege.during(bystanders, async () => {
      const stranger = await ping({ masked: false });
      const close = Buffer.of(0x88, 0x02, PROTOCOL_ERROR >> 8, PROTOCOL_ERROR & 255);
      await siege.until(() => stranger.received.includes(close));
      expect(stranger.received.includes(PING)).toBe(false);
      await siege.until(({ streams }) => streams.length === 1);
    });
    expectUnharmed(aftermath, { growth: 32 * 2 ** 20 });
  });

  test('who masks them is answered, in frames without mask', async () => {
    const stranger = await ping({ masked: true });
    await siege.until(() => stranger.received.includes(PING));
    const frames = stranger.received.subarray(stranger.received.indexOf('\r\n\r\n') + 4);
    const answer = frames.subarray(frames.indexOf(PING) - 2);
    expect(answer[0]).toBe(0x82); // binary, whole
    expect(answer[1]).toBe(PING.length); // the highest bit would be the mask
  });
});
