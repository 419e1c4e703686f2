import { encodeControl, GOAWAY } from '@keymux/frames';
import { type FrontLink, FrontSession, UsageError } from '@keymux/session';
import { describe, expect, test } from 'vitest';
import { createSha256 } from '../../../test/support/fake-keys.ts';
import { HEADERS, ScriptedPeer } from '../../../test/support/scripted-peer.ts';
import { expectFailure } from './support.ts';

const PING = encodeControl({ type: 'ping', id: 1 });
const config = { frameTimeout: 30_000, outputTimeout: 60_000, keepAlive: 0 };

/** A server, which its tests begin at 1000 milliseconds. */
const server = (options: object = {}): ScriptedPeer =>
  new ScriptedPeer({ config: { ...config, ...options } });

/** What went wrong when the clock is moved there. */
function errorAt(peer: ScriptedPeer, now: number): string | undefined {
  peer.now = now;
  peer.session.handleDeadline(now);
  return peer.session.error?.code;
}

describe('a frame has to come whole in time, whatever comes of it (spec 7.2)', () => {
  test('a server waits so long for the first one', () => {
    const peer = server();
    peer.sees();
    expect(peer.session.nextDeadline()).toBe(31_000);
    expect(errorAt(peer, 30_999)).toBeUndefined();
    expect(errorAt(peer, 31_000)).toBe('ERR_KEYMUX_TIMEOUT');
    expectFailure(peer, 'EXCESSIVE_LOAD');
  });

  test('a byte now and then does not prolong it', () => {
    const peer = server();
    for (const [index, byte] of PING.subarray(0, -1).entries()) {
      peer.now = 1000 + index * 2000;
      peer.receives(Buffer.of(byte));
    }
    expect(peer.session.nextDeadline()).toBe(31_000);
    expect(errorAt(peer, 31_000)).toBe('ERR_KEYMUX_TIMEOUT');
  });

  test('a client waits for a server that has nothing to say', () => {
    const peer = new ScriptedPeer({ role: 'client', config });
    expect(peer.session.nextDeadline()).toBeUndefined();
    expect(errorAt(peer, 10_000_000)).toBeUndefined();
  });

  test('once it is there, nothing is waited for before the next begins', () => {
    const peer = server();
    peer.receives(PING);
    expect(peer.session.nextDeadline()).toBeUndefined();
    expect(errorAt(peer, 500_000)).toBeUndefined();
    peer.receives(PING.subarray(0, 1));
    expect(peer.session.nextDeadline()).toBe(530_000);
    peer.now = 520_000;
    peer.receives(PING.subarray(1, 9));
    expect(errorAt(peer, 530_000)).toBe('ERR_KEYMUX_TIMEOUT');
  });

  test('what comes behind a whole frame has its own time', () => {
    const peer = server();
    peer.now = 25_000;
    peer.receives(Buffer.concat([PING, PING.subarray(0, 3)]));
    expect(peer.session.nextDeadline()).toBe(55_000);
    peer.now = 54_000;
    peer.receives(Buffer.concat([PING.subarray(3), PING.subarray(0, 3)]));
    expect(peer.session.nextDeadline()).toBe(84_000);
  });

  test('payload does not wait for its frame, and takes as long as it likes', () => {
    const peer = server();
    peer.sends({ type: 'syn-stream', streamId: 1 });
    const frame = peer.encode({ type: 'data', streamId: 1, payload: 'slow but steady' });
    for (const byte of frame) {
      peer.now += 29_000;
      peer.receives(Buffer.of(byte));
      if (peer.received(1).length > 0) expect(peer.session.nextDeadline()).toBeUndefined();
      else peer.now -= 29_000;
    }
    expect(errorAt(peer, peer.now + 1_000_000)).toBeUndefined();
    expect(String(peer.received(1))).toBe('slow but steady');
  });

  test('the time that a key takes on this side is not counted', () => {
    const peer = new ScriptedPeer({ keys: true, config });
    peer.establish({ keyId: 1 });
    peer.keys.stall(1);
    peer.receives(Buffer.concat([peer.envelope(1, { type: 'padding', length: 0 }), PING.subarray(0, 5)]));
    expect(peer.session.nextDeadline()).toBeUndefined();
    expect(errorAt(peer, 100_000)).toBeUndefined();
    peer.keys.resume(1);
    peer.session.keysProgressed(100_000);
    expect(peer.session.nextDeadline()).toBe(130_000);
    expect(errorAt(peer, 130_000)).toBe('ERR_KEYMUX_TIMEOUT');
  });
});

describe('a carrier has to take what it was given in time (spec 7.2)', () => {
  test('else the session ends, however busily the peer sends', () => {
    const peer = server();
    peer.receives(PING);
    peer.session.carrierBlocked(5_000);
    for (let now = 6_000; now < 65_000; now += 1_000) {
      peer.now = now;
      peer.sends({ type: 'window-update', streamId: 0, delta: 1 });
      peer.session.carrierBlocked(now);
    }
    expect(peer.session.nextDeadline()).toBe(65_000);
    expect(errorAt(peer, 64_999)).toBeUndefined();
    expect(errorAt(peer, 65_000)).toBe('ERR_KEYMUX_TIMEOUT');
    expectFailure(peer, 'EXCESSIVE_LOAD');
  });

  test('a slow one has the time again for each piece', () => {
    const peer = server();
    peer.receives(PING);
    for (let now = 5_000; now < 1_000_000; now += 59_000) {
      peer.session.carrierBlocked(now);
      expect(errorAt(peer, now + 58_999)).toBeUndefined();
      peer.session.carrierReady();
      expect(peer.session.nextDeadline()).toBeUndefined();
    }
  });

  test('a peer that knows no windows may stop reading: it has nothing else', () => {
    const peer = server({ peerFlowControl: 'none' });
    peer.receives(PING);
    peer.session.carrierBlocked(5_000);
    expect(errorAt(peer, 1_000_000)).toBeUndefined();
  });
});

describe('a session that both sides end is over when the carrier has taken the rest (spec 2.8)', () => {
  /** A server whose last answer is on a slow carrier, going away. */
  function leaving(options: object = {}): ScriptedPeer {
    const peer = server(options);
    peer.sends({ type: 'syn-stream', streamId: 1, headers: HEADERS, fin: true });
    peer.session.reply(1, HEADERS, { fin: true });
    peer.sees();
    peer.session.carrierBlocked(1_000);
    peer.sends({ type: 'goaway', lastGoodId: 0, status: 0 });
    return peer;
  }

  test('and not before', () => {
    const peer = leaving();
    expect(errorAt(peer, 60_999)).toBeUndefined();
    expect(peer.session.over).toBe(false);
    peer.session.carrierReady();
    expect(peer.session.over).toBe(true);
    expect(peer.session.error).toBeUndefined();
  });

  test('a peer that does not read is waited for no longer than otherwise', () => {
    const peer = leaving();
    expect(peer.session.nextDeadline()).toBe(61_000);
    expect(errorAt(peer, 61_000)).toBe('ERR_KEYMUX_TIMEOUT');
    expect(peer.session.over).toBe(true);
  });

  test('who goes away waits no longer than for open streams', () => {
    const peer = leaving({ drainTimeout: 10_000 });
    peer.session.goAway(GOAWAY.OK, 2_000);
    expect(errorAt(peer, 11_999)).toBeUndefined();
    expect(peer.session.over).toBe(false);
    expect(errorAt(peer, 12_000)).toBeUndefined();
    expect(peer.session.over).toBe(true);
  });

  test('or for as long as they take; then it can be told to hurry, and not to take longer', () => {
    const peer = server({ drainTimeout: 10_000, keepAlive: 0 });
    peer.sends({ type: 'syn-stream', streamId: 1, headers: HEADERS, fin: true });
    peer.session.reply(1, HEADERS);
    peer.sees();
    peer.session.goAway(GOAWAY.OK, 2_000, Number.POSITIVE_INFINITY);
    peer.sees();
    expect(errorAt(peer, 1_000_000)).toBeUndefined();
    expect(peer.session.over).toBe(false);
    peer.session.goAway(GOAWAY.OK, 1_000_000, 5_000);
    peer.session.goAway(GOAWAY.OK, 1_000_000, 9_000);
    expect(peer.session.nextDeadline()).toBe(1_005_000);
    expect(errorAt(peer, 1_005_000)).toBeUndefined();
    expect(peer.session.streamCount).toBe(0);
  });
});

describe('the same at a front', () => {
  const front = (): FrontSession =>
    new FrontSession({
      config,
      algorithms: 2,
      client: { address: '192.0.2.1', port: 1 },
      createHash: createSha256,
      connect: (_authority: string, _link: FrontLink) => undefined,
      now: 1000,
    });

  test('a first frame that does not come', () => {
    const session = front();
    session.receive(PING.subarray(0, 11), 20_000);
    session.handleDeadline(30_999);
    expect(session.over).toBe(false);
    session.handleDeadline(31_000);
    expect(session.error?.code).toBe('ERR_KEYMUX_TIMEOUT');
  });

  test('a client that does not read', () => {
    const session = front();
    session.receive(PING, 2_000);
    session.carrierBlocked(3_000);
    expect(session.nextDeadline()).toBe(63_000);
    session.carrierReady(4_000);
    session.carrierBlocked(4_000);
    session.handleDeadline(63_000);
    expect(session.over).toBe(false);
    session.handleDeadline(64_000);
    expect(session.error?.code).toBe('ERR_KEYMUX_TIMEOUT');
  });

  test.each([
    ['frameTimeout', 0],
    ['outputTimeout', 1.5],
    ['keyWindow', 65_535],
    ['hostTimeout', -1],
  ])('%s cannot be %s', (field, value) => {
    const begin = (): FrontSession =>
      new FrontSession({
        config: { [field]: value },
        algorithms: 2,
        client: { address: '', port: 0 },
        createHash: createSha256,
        connect: () => undefined,
        now: 0,
      });
    expect(begin).toThrow(UsageError);
    expect(begin).toThrow(field);
  });
});
