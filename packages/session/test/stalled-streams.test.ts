import { type HeaderList, RST } from '@keymux/frames';
import { DEFAULT_BUDGETS, type SessionConfig } from '@keymux/session';
import { describe, expect, test } from 'vitest';
import { ScriptedPeer, type SeenFrame } from '../../../test/support/scripted-peer.ts';
import { expectFailure } from './support.ts';

const OK: HeaderList = [[':status', '200']];
const WINDOW = 65_536;
const budgets = { ...DEFAULT_BUDGETS, stalledPayload: 10_000 };

/** A server with streams 1, 3, … of the peer, each with an answer of so many bytes more than the peer's window lets go out. */
function server(waiting: readonly number[], config: Partial<SessionConfig> = {}): ScriptedPeer {
  const peer = new ScriptedPeer({ config: { keepAlive: 0, stallTimeout: 1000, budgets, ...config } });
  peer.sends({ type: 'window-update', streamId: 0, delta: 2 ** 30 });
  for (const [n, bytes] of waiting.entries()) {
    peer.sends({ type: 'syn-stream', streamId: 2 * n + 1, fin: true });
    peer.session.reply(2 * n + 1, OK);
    peer.session.send(2 * n + 1, new Uint8Array(WINDOW + bytes));
  }
  peer.sees();
  return peer;
}

/** Lets the time come that the engine wants, again and again until `until`. */
function pass(peer: ScriptedPeer, until: number): SeenFrame[] {
  for (
    let at = peer.session.nextDeadline();
    at !== undefined && at <= until;
    at = peer.session.nextDeadline()
  ) {
    peer.now = Math.max(peer.now, at);
    peer.session.handleDeadline(peer.now);
  }
  peer.now = until;
  return peer.sees();
}

describe('payload that waits for the windows of the peer (spec 7.2, attack D2)', () => {
  test('may wait for ever while it is little', () => {
    const peer = server([5_000, 5_000]);
    expect(peer.session.nextDeadline()).toBeUndefined();
    expect(pass(peer, 1_000_000)).toEqual([]);
    expect(peer.session.streamCount).toBe(2);
  });

  test('if it is too much, the oldest streams are ended until it is not', () => {
    const peer = server([4_000, 4_000, 4_000]);
    expect(pass(peer, 1_999)).toEqual([]);
    expect(pass(peer, 2_000)).toMatchObject([{ type: 'rst-stream', streamId: 1, status: RST.CANCEL }]);
    expect(peer.take('reset')).toMatchObject({
      id: 1,
      origin: 'local',
      cause: { code: 'ERR_KEYMUX_STALLED' },
    });
    expect(pass(peer, 1_000_000)).toEqual([]);
    expect(peer.session.streamCount).toBe(2);
  });

  test('a stream that gets on is left alone, however slowly', () => {
    const peer = server([4_000, 4_000, 4_000]);
    pass(peer, 1_500);
    peer.sends({ type: 'window-update', streamId: 1, delta: 1 });
    expect(peer.sees()).toMatchObject([{ type: 'data', streamId: 1, length: 1 }]);
    expect(pass(peer, 2_000)).toMatchObject([{ type: 'rst-stream', streamId: 3 }]);
  });

  test('a stream has the whole time, from when it stalled', () => {
    const peer = server([20_000]);
    pass(peer, 1_500);
    peer.sends({ type: 'syn-stream', streamId: 3, fin: true });
    peer.session.reply(3, OK);
    peer.session.send(3, new Uint8Array(WINDOW + 20_000));
    peer.sees();
    expect(pass(peer, 2_999)).toMatchObject([{ type: 'rst-stream', streamId: 1 }]);
    expect(pass(peer, 3_000)).toMatchObject([{ type: 'rst-stream', streamId: 3 }]);
  });

  test('the time that the session was told last may be long ago', () => {
    const peer = server([20_000]);
    peer.now = 500_000;
    peer.session.handleDeadline(peer.now); // the first look
    expect(peer.session.nextDeadline()).toBe(501_000);
    expect(peer.session.streamCount).toBe(1);
  });

  test('the window of the session counts as theirs', () => {
    const peer = new ScriptedPeer({ config: { keepAlive: 0, stallTimeout: 1000, budgets } });
    peer.sends({ type: 'settings', clear: false, entries: [{ id: 7, value: 2 ** 30, flags: 0 }] });
    for (const streamId of [1, 3]) {
      peer.sends({ type: 'syn-stream', streamId, fin: true });
      peer.session.reply(streamId, OK);
      peer.session.send(streamId, new Uint8Array(WINDOW));
    }
    peer.sees();
    expect(pass(peer, 2_000)).toMatchObject([{ type: 'rst-stream', streamId: 3 }]); // the first has used it up
  });

  test('what has a window and only waits for the carrier is not the peer’s stalling', () => {
    const peer = new ScriptedPeer({ config: { keepAlive: 0, stallTimeout: 1000, budgets } });
    peer.sends({ type: 'syn-stream', streamId: 1, fin: true });
    peer.session.reply(1, OK);
    peer.session.send(1, new Uint8Array(20_000)); // nothing of it is taken out
    peer.session.output(1);
    for (let at = 1_000; at < 10_000; at += 1_000) peer.session.handleDeadline(at);
    expect(peer.session.streamCount).toBe(1);
  });

  test('streams of our own are for their user to end', () => {
    const peer = new ScriptedPeer({ role: 'client', config: { keepAlive: 0, stallTimeout: 1000, budgets } });
    const id = peer.session.open(OK);
    peer.session.send(id, new Uint8Array(WINDOW + 100_000));
    peer.sees();
    expect(peer.session.nextDeadline()).toBeUndefined();
  });

  test('each costs the peer: whoever stalls many loses the session', () => {
    const few = { ...budgets, resets: { burst: 3, perSecond: 1 } };
    const peer = server([20_000, 20_000, 20_000, 20_000], { budgets: few });
    pass(peer, 1_999);
    expect(peer.session.error).toBeUndefined();
    peer.now = 2_000;
    peer.session.handleDeadline(peer.now);
    expectFailure(peer, 'EXCESSIVE_LOAD');
  });

  test('it can be turned off', () => {
    const peer = server([20_000], { stallTimeout: 0 });
    expect(peer.session.nextDeadline()).toBeUndefined();
  });
});
