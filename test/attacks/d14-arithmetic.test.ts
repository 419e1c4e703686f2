import { encodeControl, GOAWAY, MAX_WINDOW_DELTA, RST, SETTING } from '@keymux/frames';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { clearRequest, clearSyn, FloodCompressor } from '../support/forge.ts';
import { Scope } from '../support/scope.ts';
import { HEADERS, ScriptedPeer } from '../support/scripted-peer.ts';
import { type Bystander, expectUnharmed, regulars, Siege } from '../support/siege.ts';

const HOST = 'alpha.test';

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

const update = (streamId: number, delta: number): Uint8Array =>
  encodeControl({ type: 'window-update', streamId, delta });
/** SETTINGS of any value, also those that a sender of ours would not write. */
const settings = (...entries: readonly (readonly [id: number, value: number])[]): Uint8Array => {
  const body = Buffer.alloc(12 + 8 * entries.length);
  body.writeUInt32BE(0x80030004, 0);
  body.writeUInt32BE(4 + 8 * entries.length, 4);
  body.writeUInt32BE(entries.length, 8);
  for (const [n, [id, value]] of entries.entries()) {
    body.writeUInt32BE(id, 12 + 8 * n);
    body.writeUInt32BE(value, 16 + 8 * n);
  }
  return body;
};
const initialWindow = (value: number): Uint8Array => settings([SETTING.INITIAL_WINDOW_SIZE, value]);
const post = (streamId: number): Uint8Array => clearSyn(streamId, clearRequest('POST', HOST, '/account'));

describe('D14: windows and SETTINGS beyond what numbers hold', () => {
  test.each<[string, readonly Uint8Array[], number]>([
    ['the session window beyond 2^31 - 1', [update(0, MAX_WINDOW_DELTA)], GOAWAY.FLOW_CONTROL_ERROR],
    ['a window of 2^31', [initialWindow(2 ** 31)], GOAWAY.FLOW_CONTROL_ERROR],
    ['a window of 2^32 - 1', [initialWindow(2 ** 32 - 1)], GOAWAY.FLOW_CONTROL_ERROR],
    [
      'SETTINGS that make the window of a stream too large',
      [post(1), update(1, 65_536), initialWindow(2 ** 31 - 1)],
      GOAWAY.FLOW_CONTROL_ERROR,
    ],
    ['a delta of 0', [Buffer.from('80030009000000080000000000000000', 'hex')], GOAWAY.PROTOCOL_ERROR],
    ['65 settings in one frame', [settings(...new Array(65).fill([9, 9]))], GOAWAY.PROTOCOL_ERROR],
  ])('%s: the session ends', async (_what, frames, status) => {
    const attacker = await siege.attacker(scope);
    attacker.send(...frames);
    await attacker.closed;
    expect(attacker.goaways).toEqual([status]);
  });

  test('the window of one stream beyond 2^31 - 1 ends that stream alone', async () => {
    const attacker = await siege.attacker(scope);
    attacker.send(post(1), update(1, MAX_WINDOW_DELTA));
    await attacker.until(({ resets }) => resets.size === 1);
    expect([...attacker.resets]).toEqual([[1, RST.FLOW_CONTROL_ERROR]]);
    expect(attacker.goaways).toEqual([]);
  });

  test('windows below zero and streams of all priorities keep nobody waiting, and end as soon as they may', async () => {
    const attacker = await siege.attacker(scope);
    const compressor = new FloodCompressor();
    const syn = (n: number): Uint8Array =>
      clearSyn(2 * n + 1, clearRequest('GET', HOST, '/'), { compressor, fin: true, priority: n % 8 });
    const churn = [100_000, 5, 0, 2 ** 31 - 1, 0].map(initialWindow);
    const aftermath = await siege.during(bystanders, async () => {
      attacker.send(initialWindow(0), update(0, 2 ** 30), ...Array.from({ length: 1_000 }, (_, n) => syn(n)));
      await attacker.until(({ replies }) => replies.size === 1_000);
      attacker.send(...churn); // each touches every stream
    });
    expectUnharmed(aftermath);
    attacker.send(initialWindow(65_536));
    await siege.until(({ streams }) => streams.at(-1) === 0);
    expect(attacker.goaways).toEqual([]);
  });

  /** What a peer says of windows: a changed setting, or an update of stream 1 or the session. */
  const said = fc.oneof(
    fc.record({ of: fc.constant('settings'), by: fc.integer({ min: 0, max: 2 ** 31 - 1 }) }),
    fc.record({ of: fc.constantFrom('stream', 'session'), by: fc.integer({ min: 1, max: 2 ** 31 - 1 }) }),
    fc.record({
      of: fc.constantFrom('settings', 'stream', 'session'),
      by: fc.integer({ min: 1, max: 70_000 }),
    }),
  );

  test('whatever a peer says, the engine counts as exact arithmetic does', () => {
    fc.assert(
      fc.property(fc.array(said, { maxLength: 12 }), (all) => {
        const peer = new ScriptedPeer({ role: 'client' });
        peer.session.open(HEADERS);
        peer.session.send(1, new Uint8Array(400_000));
        let [initial, stream, session, left] = [65_536n, 65_536n, 65_536n, 400_000n];
        let sent = 0n;
        const takeOut = (): void => {
          for (const frame of peer.sees()) if (frame.type === 'data') sent += BigInt(frame.length as number);
          const most = [stream, session, left].reduce((a, b) => (a < b ? a : b));
          const size = most > 0n ? most : 0n;
          [stream, session, left] = [stream - size, session - size, left - size];
        };
        takeOut();
        for (const { of, by } of all) {
          if (of === 'settings') {
            peer.receives(initialWindow(by));
            stream += BigInt(by) - initial;
            initial = BigInt(by);
          } else {
            peer.receives(update(of === 'stream' ? 1 : 0, by));
            if (of === 'stream') stream += BigInt(by);
            else session += BigInt(by);
          }
          const overflow = (window: bigint): boolean => window > 2n ** 31n - 1n;
          if (overflow(session) || (of === 'settings' && overflow(stream))) {
            expect(peer.session.error?.status).toBe(GOAWAY.FLOW_CONTROL_ERROR);
            return;
          }
          expect(peer.session.error).toBeUndefined();
          if (overflow(stream)) {
            expect(peer.session.isOpen(1)).toBe(false);
            return;
          }
          takeOut();
          expect(sent).toBe(400_000n - left);
        }
      }),
      { numRuns: 300 },
    );
  });
});
