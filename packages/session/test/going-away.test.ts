import { encodeControl, GOAWAY, RST } from '@keymux/frames';
import { SessionError } from '@keymux/session';
import { describe, expect, test } from 'vitest';
import { HEADERS, ScriptedPeer } from '../../../test/support/scripted-peer.ts';
import { SessionPair } from '../../../test/support/session-pair.ts';
import { expectFailure, refusalOf } from './support.ts';

const goaway = (lastGoodId: number, status: number = GOAWAY.OK) =>
  ({ type: 'goaway', lastGoodId, status }) as const;

describe('GOAWAY of ours (spec 2.4)', () => {
  test('lets open streams end, refuses new ones, and then the session is over', () => {
    const peer = new ScriptedPeer();
    peer.sends({ type: 'syn-stream', streamId: 5 });
    peer.sees();
    peer.session.goAway();
    peer.session.goAway(); // nothing more
    expect(peer.sees()).toEqual([expect.objectContaining({ type: 'goaway', lastGoodId: 5, status: 0 })]);
    expect(refusalOf(() => peer.session.open(HEADERS))).toBe('ERR_KEYMUX_GOING_AWAY');
    expect(peer.session.canOpen).toBe(false);
    peer.sends({ type: 'syn-stream', streamId: 7, fin: true });
    expect(peer.sees()).toMatchObject([{ type: 'rst-stream', streamId: 7, status: RST.REFUSED_STREAM }]);
    expect(peer.session.over).toBe(false);
    peer.sends({ type: 'data', streamId: 5, payload: 'the rest', fin: true });
    peer.session.reply(5, [[':status', '200']], { fin: true });
    expect(peer.session.over).toBe(false); // the answer is not out
    peer.sees();
    expect(peer.session.over).toBe(true);
    expect(peer.received(5).toString()).toBe('the rest');
  });

  test('ends what has not ended after the drain timeout, from when it was told', () => {
    const peer = new ScriptedPeer({ config: { drainTimeout: 500, keepAlive: 0 } });
    peer.sends({ type: 'syn-stream', streamId: 1 });
    peer.session.goAway(GOAWAY.OK, 60_000);
    expect(peer.session.nextDeadline()).toBe(60_500);
    peer.session.handleDeadline(60_499);
    expect(peer.session.streamCount).toBe(1);
    peer.session.handleDeadline(60_500);
    expect(peer.sees().at(-1)).toMatchObject({ type: 'rst-stream', streamId: 1, status: RST.CANCEL });
    expect(peer.session.over).toBe(true);
    expect(peer.session.nextDeadline()).toBeUndefined();
  });

  test('after the drain timeout the session is over even if nothing can be written', () => {
    const peer = new ScriptedPeer({ config: { drainTimeout: 500 } });
    peer.sends({ type: 'syn-stream', streamId: 1 });
    peer.session.goAway();
    peer.session.handleDeadline(1500);
    expect(peer.session.over).toBe(true);
  });

  test('an error after it names no later stream than it did', () => {
    const peer = new ScriptedPeer();
    peer.sends({ type: 'syn-stream', streamId: 1 });
    peer.session.goAway();
    peer.sends({ type: 'syn-stream', streamId: 9 });
    peer.session.destroy(new SessionError('TEST', GOAWAY.INTERNAL_ERROR, 'local', 'enough'));
    expect(peer.sees().at(-1)).toMatchObject({ lastGoodId: 1, status: GOAWAY.INTERNAL_ERROR });
  });
});

describe('GOAWAY of the peer', () => {
  test('ends the streams it disowns and no others', () => {
    const peer = new ScriptedPeer({ role: 'client' });
    for (let i = 0; i < 3; i++) peer.session.open(HEADERS);
    peer.sees();
    const unsent = peer.session.open(HEADERS);
    peer.sends(goaway(3));
    expect(peer.types).toEqual(['goaway', 'reset', 'closed', 'reset', 'closed']);
    for (const id of [5, unsent]) {
      expect(peer.take('reset')).toMatchObject({ id, status: RST.REFUSED_STREAM, origin: 'remote' });
    }
    expect(refusalOf(() => peer.session.open(HEADERS))).toBe('ERR_KEYMUX_GOING_AWAY');
    expect(peer.sees()).toEqual([]); // it need not be told
    peer.sends({ type: 'syn-reply', streamId: 1, fin: true }, { type: 'rst-stream', streamId: 3, status: 3 });
    expect(peer.session.over).toBe(false);
    peer.session.end(1);
    peer.sees();
    expect(peer.session.over).toBe(true);
    expect(peer.session.error).toBeUndefined();
  });

  test('with the last stream reset while it had something to send: nothing is left', () => {
    const peer = new ScriptedPeer({ role: 'client' });
    peer.session.open(HEADERS);
    peer.session.open(HEADERS);
    peer.sees();
    peer.sends(goaway(3));
    peer.session.send(1, new Uint8Array(10));
    peer.session.end(3);
    peer.sends(
      { type: 'rst-stream', streamId: 1, status: RST.CANCEL },
      { type: 'rst-stream', streamId: 3, status: RST.CANCEL },
    );
    expect(peer.session.over).toBe(true);
    expect(peer.sees()).toEqual([]);
  });

  test('may be followed by one that disowns more, but takes nothing back', () => {
    const peer = new ScriptedPeer({ role: 'client' });
    for (let i = 0; i < 3; i++) peer.session.open(HEADERS);
    peer.sees();
    peer.sends(goaway(3), goaway(1), goaway(99));
    const seen = peer.events.filter(({ type }) => type === 'goaway');
    expect(seen).toMatchObject([{ lastGoodId: 3 }, { lastGoodId: 1 }, { lastGoodId: 1 }]);
    expect(peer.session.streamCount).toBe(1);
  });

  test('with an error status ends the session', () => {
    const peer = new ScriptedPeer({ role: 'client' });
    peer.session.open(HEADERS);
    peer.sees();
    peer.sends(goaway(1, GOAWAY.PROTOCOL_ERROR), { type: 'ping', id: 2 });
    expect(peer.types).toEqual(['goaway', 'reset', 'closed', 'error']);
    expectFailure(peer, 'OK');
  });

  test('does not stop the peer from opening streams', () => {
    const peer = new ScriptedPeer();
    peer.sends({ type: 'syn-stream', streamId: 1 }, goaway(0), { type: 'syn-stream', streamId: 3 });
    expect(peer.session.streamCount).toBe(2);
  });
});

describe('the end of the carrier (spec 2.8, 4.7)', () => {
  test('with nothing open is a normal end', () => {
    const peer = new ScriptedPeer();
    peer.sees();
    peer.session.carrierEnded(peer.now);
    expect(peer.session.over).toBe(true);
    expect(peer.session.error).toBeUndefined();
    expect(peer.session.canOpen).toBe(false);
  });

  test('lets what is left be written', () => {
    const peer = new ScriptedPeer();
    peer.sends({ type: 'ping', id: 1 });
    peer.session.carrierEnded(peer.now);
    expect(peer.session.over).toBe(false);
    expect(peer.sees().at(-1)).toMatchObject({ type: 'ping' });
    expect(peer.session.over).toBe(true);
  });

  test.each([
    ['open streams', [] as number[]],
    ['a stream that the peer has ended', [0]],
  ])('with %s is an error', (_name, [fin]) => {
    const peer = new ScriptedPeer();
    peer.sends({ type: 'syn-stream', streamId: 1, fin: fin === 0 });
    peer.session.carrierEnded(peer.now);
    expect(peer.types.slice(-3)).toEqual(['reset', 'closed', 'error']);
    expectFailure(peer, 'PROTOCOL_ERROR');
    expect(peer.session.error).toMatchObject({ scope: 'carrier', origin: 'remote' });
  });

  test('after GOAWAY is an error that nobody has to be told of', () => {
    const peer = new ScriptedPeer();
    peer.sees();
    peer.sends({ type: 'syn-stream', streamId: 1 }, goaway(0));
    peer.session.carrierEnded(peer.now);
    expect(peer.types.at(-1)).toBe('error');
    expect(peer.session.error).toMatchObject({ code: 'ERR_KEYMUX_CARRIER_ENDED' });
    expect(peer.sees()).toEqual([]);
  });

  test('inside a frame is an error, wherever it is cut', () => {
    const whole = new ScriptedPeer().encode({ type: 'data', streamId: 1, payload: 'x' });
    for (let cut = 1; cut < whole.length; cut++) {
      const peer = new ScriptedPeer();
      peer.receives(whole.subarray(0, cut));
      peer.session.carrierEnded(peer.now);
      expectFailure(peer, 'PROTOCOL_ERROR');
    }
  });

  test('nobody sees half a body end normally', () => {
    const script = new ScriptedPeer();
    const bytes = Buffer.concat([
      script.encode({ type: 'syn-stream', streamId: 1 }),
      script.encode({ type: 'data', streamId: 1, payload: 'the whole body', fin: true }),
    ]);
    for (let cut = 0; cut < bytes.length; cut++) {
      const peer = new ScriptedPeer();
      peer.receives(bytes.subarray(0, cut));
      peer.session.carrierEnded(peer.now);
      expect(peer.types).not.toContain('end');
      if (peer.find('stream')) expect(peer.types).toContain('error');
    }
  });
});

describe('silence (spec 2.7)', () => {
  const SETTINGS = encodeControl({ type: 'settings', clear: false, entries: [] });
  const config = { keepAlive: 30_000, keepAliveTimeout: 15_000 };

  test('is asked about, and ends the session if it lasts', () => {
    const peer = new ScriptedPeer({ config });
    peer.receives(SETTINGS);
    peer.sees();
    expect(peer.session.nextDeadline()).toBe(31_000);
    peer.session.handleDeadline(30_999);
    expect(peer.sees()).toEqual([]);
    peer.session.handleDeadline(31_000);
    expect(peer.sees()).toMatchObject([{ type: 'ping', id: 2 }]);
    expect(peer.session.nextDeadline()).toBe(46_000);
    peer.session.handleDeadline(46_000);
    expect(peer.session.error?.code).toBe('ERR_KEYMUX_TIMEOUT');
    expectFailure(peer, 'OK');
  });

  test('is broken by any frame, at the same moment too', () => {
    const peer = new ScriptedPeer({ config });
    peer.receives(SETTINGS);
    peer.sees();
    peer.session.handleDeadline(31_000);
    peer.now = 31_000;
    peer.receives(encodeControl({ type: 'ping', id: 2 }));
    expect(peer.session.nextDeadline()).toBe(61_000);
    peer.session.handleDeadline(46_000);
    expect(peer.session.error).toBeUndefined();
  });

  test('says nothing while the carrier has yet to take what the peer is to answer; that it takes it is a sign of life', () => {
    const peer = new ScriptedPeer({ config: { ...config, outputTimeout: 60_000 } });
    peer.receives(SETTINGS);
    peer.sees();
    // 256 KiB at a time, on a link of 44 kbit/s.
    for (let now = 2_000; now < 500_000; now += 48_000) {
      peer.session.carrierBlocked(now);
      expect(peer.session.nextDeadline()).toBe(now + 60_000);
      peer.session.handleDeadline(now + 46_000);
      expect(peer.sees()).toEqual([]);
      peer.session.carrierReady(now + 48_000);
      expect(peer.session.nextDeadline()).toBe(now + 48_000 + 30_000);
    }
    expect(peer.session.error).toBeUndefined();
  });

  test('is not broken by a carrier that takes what it is given at once, and nobody reads it', () => {
    const peer = new ScriptedPeer({ config });
    peer.receives(SETTINGS);
    peer.sees();
    for (let now = 2_000; now < 31_000; now += 1_000) peer.session.carrierReady(now);
    expect(peer.session.nextDeadline()).toBe(31_000);
  });

  test('D12: is not broken by a frame that trickles in', () => {
    const peer = new ScriptedPeer({ config });
    peer.receives(SETTINGS);
    peer.sees();
    for (const byte of encodeControl({ type: 'goaway', lastGoodId: 0, status: 0 }).subarray(0, 15)) {
      peer.now += 3000;
      peer.session.handleDeadline(peer.now);
      peer.receives(Buffer.of(byte));
    }
    expect(peer.session.error?.code).toBe('ERR_KEYMUX_TIMEOUT');
  });

  test('never matters with keepAlive 0', () => {
    const peer = new ScriptedPeer({ config: { keepAlive: 0 } });
    peer.receives(SETTINGS);
    expect(peer.session.nextDeadline()).toBeUndefined();
    peer.session.handleDeadline(10_000_000);
    expect(peer.session.error).toBeUndefined();
  });

  test('two idle sides keep each other alive', () => {
    const pair = new SessionPair({ client: config, server: config });
    pair.settle();
    pair.advance(3_600_000);
    expect([pair.client.session.error, pair.server.session.error]).toEqual([undefined, undefined]);
  });
});

describe('PING', () => {
  test('is answered with the same ID; our own comes back with the time it took', () => {
    const pair = new SessionPair();
    pair.settle();
    pair.now += 5000;
    const id = pair.client.session.ping(pair.now);
    pair.carry(pair.client);
    pair.now += 70;
    pair.carry(pair.server);
    expect(pair.client.take('pong')).toEqual({ type: 'pong', id, elapsed: 70 });
    expect(pair.server.types).toEqual([]);
  });
});

describe('destroy', () => {
  test('names the last stream of the peer', () => {
    const peer = new ScriptedPeer();
    peer.sends({ type: 'syn-stream', streamId: 7 });
    peer.session.destroy(new SessionError('TEST', GOAWAY.INTERNAL_ERROR, 'local', 'enough'));
    expect(peer.sees().at(-1)).toMatchObject({ lastGoodId: 7, status: GOAWAY.INTERNAL_ERROR });
  });

  test('ends every stream, says GOAWAY once, and closes the keys', () => {
    const peer = new ScriptedPeer({ keys: true });
    peer.establish({ keyId: 1 });
    peer.seals(1, { type: 'syn-stream', streamId: 1, slot: 1 });
    const error = new SessionError('TEST', GOAWAY.OK, 'local', 'enough');
    peer.session.destroy(error);
    peer.session.destroy(new SessionError('OTHER', GOAWAY.INTERNAL_ERROR, 'local', 'too late'));
    expect(peer.types.slice(-3)).toEqual(['reset', 'closed', 'error']);
    expectFailure(peer, 'OK');
    expect(peer.keys.closed).toBe(true);
    const { types } = peer;
    peer.session.receive(new Uint8Array(100), peer.now);
    peer.session.carrierEnded(peer.now);
    peer.session.keysProgressed(peer.now);
    expect(peer.types).toEqual(types);
  });
});
