import { describe, expect, test } from 'vitest';
import { HEADERS, ScriptedPeer, type SeenFrame } from '../../../test/support/scripted-peer.ts';
import { expectFailure } from './support.ts';

const OPEN = { type: 'syn-stream', streamId: 1, headers: HEADERS } as const;
const data = (length: number) => ({ type: 'data', streamId: 1, payload: new Uint8Array(length) }) as const;

const sent = (frames: readonly SeenFrame[]): number =>
  frames.reduce((sum, { type, length }) => sum + (type === 'data' ? (length as number) : 0), 0);
const updates = (frames: readonly SeenFrame[]) =>
  frames.filter(({ type }) => type === 'window-update').map(({ streamId }) => streamId);

describe('a peer that knows no windows', () => {
  const config = { peerFlowControl: 'none', sessionWindow: 100_000 } as const;

  test('is sent everything at once, whatever its SETTINGS say', () => {
    const peer = new ScriptedPeer({ role: 'client', config });
    const id = peer.session.open(HEADERS);
    peer.session.send(id, new Uint8Array(1_000_000));
    expect(sent(peer.sees())).toBe(1_000_000);
    expect(peer.find('error')).toBeUndefined();
  });

  test('may send more than any window, and is told of none', () => {
    const peer = new ScriptedPeer({ role: 'server', config: { ...config, streamWindow: 65_536 } });
    peer.sends(OPEN);
    for (let i = 0; i < 20; i++) {
      peer.sends(data(70_000));
      peer.session.consume(1, 70_000);
    }
    expect(updates(peer.sees())).toEqual([]);
    expect(peer.find('error')).toBeUndefined();
    expect(peer.find('reset')).toBeUndefined();
  });

  test('is not read while more than the session window waits to be consumed', () => {
    const peer = new ScriptedPeer({ role: 'server', config });
    peer.sends(OPEN, data(60_000));
    expect(peer.session.wantsInput).toBe(true);
    peer.sends(data(60_000));
    expect(peer.session.wantsInput).toBe(false);
    expect(peer.session.nextDeadline()).toBeUndefined(); // its silence is ours
    peer.session.consume(1, 20_000);
    expect(peer.session.wantsInput).toBe(true);
  });

  test('is read again when the stream that nobody read is over', () => {
    const peer = new ScriptedPeer({ role: 'server', config });
    peer.sends(OPEN, data(120_000));
    expect(peer.session.wantsInput).toBe(false);
    peer.session.reset(1);
    expect(peer.session.wantsInput).toBe(true);
  });
});

describe('a peer that knows the windows of streams only (SPDY/3)', () => {
  const config = { peerFlowControl: 'streams' } as const;

  test('is sent what its stream windows allow, and no session window holds it back', () => {
    const peer = new ScriptedPeer({ role: 'client', config });
    const ids = [1, 2, 3].map(() => peer.session.open(HEADERS));
    for (const id of ids) peer.session.send(id, new Uint8Array(100_000));
    expect(sent(peer.sees())).toBe(3 * 65_536);
    peer.sends({ type: 'window-update', streamId: 1, delta: 1_000_000 });
    expect(sent(peer.sees())).toBe(100_000 - 65_536);
  });

  test('keeps the windows of streams, and hears nothing of another', () => {
    const peer = new ScriptedPeer({ role: 'server', config: { ...config, sessionWindow: 65_536 } });
    peer.sends(OPEN, data(200_000));
    peer.session.consume(1, 200_000);
    expect(updates(peer.sees())).toEqual([1]);
    peer.sends(data(300_000));
    expect(peer.take('reset')).toMatchObject({ id: 1, origin: 'local' });
  });
});

test('every other peer that ignores windows is cut off', () => {
  const peer = new ScriptedPeer({ role: 'server', config: { sessionWindow: 65_536 } });
  peer.sends(OPEN, data(65_537));
  expectFailure(peer, 'FLOW_CONTROL_ERROR');
});

test('the configuration is checked', () => {
  expect(() => new ScriptedPeer({ role: 'client', config: { peerFlowControl: 'some' as 'none' } })).toThrow(
    'peerFlowControl is some; it must be full, streams or none',
  );
});
