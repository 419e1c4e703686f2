import { type HeaderList, RST } from '@keymux/frames';
import { DEFAULT_BUDGETS } from '@keymux/session';
import { describe, expect, test } from 'vitest';
import { HEADERS, ScriptedPeer, type ScriptFrame } from '../../../test/support/scripted-peer.ts';
import { expectNothingBound } from './support.ts';

const OK: HeaderList = [[':status', '200']];
const syn = (streamId: number, more = {}): ScriptFrame => ({ type: 'syn-stream', streamId, ...more });
const rst = (streamId: number): ScriptFrame => ({ type: 'rst-stream', streamId, status: RST.CANCEL });

/** Which streams the engine has refused since the last call. */
function refused(peer: ScriptedPeer): unknown[] {
  return peer
    .sees()
    .filter(({ type, status }) => type === 'rst-stream' && status === RST.REFUSED_STREAM)
    .map(({ streamId }) => streamId);
}

describe('a stream counts until nobody handles it (spec 2.4, attack D3)', () => {
  const limited = (): ScriptedPeer => new ScriptedPeer({ config: { maxConcurrentStreams: 2 } });

  test('one that the peer has reset, while it is held', () => {
    const peer = limited();
    peer.sends(syn(1), syn(3));
    peer.session.hold(1);
    peer.session.hold(3);
    peer.sends(rst(1), rst(3), syn(5));
    expect(peer.session.streamCount).toBe(0);
    expect(refused(peer)).toEqual([5]);
    peer.session.letGo(3);
    peer.sends(syn(7), syn(9));
    expect(refused(peer)).toEqual([9]);
  });

  test('one that we have reset, or had to', () => {
    const peer = limited();
    peer.sends(syn(1), syn(3));
    peer.session.hold(1);
    peer.session.hold(3);
    peer.session.reset(1);
    peer.sends({ type: 'window-update', streamId: 3, delta: 2 ** 31 - 1 }); // a stream error
    peer.sends(syn(5));
    expect(refused(peer)).toEqual([5]);
  });

  test('not one that nobody holds, or no longer, nor one that is let go of twice', () => {
    const peer = limited();
    for (const id of [1, 5, 9]) {
      peer.sends(syn(id), syn(id + 2));
      peer.session.hold(id);
      peer.session.letGo(id);
      peer.session.letGo(id);
      peer.sends(rst(id), rst(id + 2));
      peer.session.letGo(id);
      peer.session.hold(id + 2); // too late
    }
    expect(refused(peer)).toEqual([]);
    peer.sends(syn(13), syn(15), syn(17));
    expect(refused(peer)).toEqual([17]);
  });

  test('not one whose answer is complete: the client may count on its place', () => {
    const peer = limited();
    peer.sends(syn(1, { fin: true }), syn(3));
    peer.session.hold(1);
    peer.session.hold(3);
    peer.session.reply(1, OK, { fin: true });
    peer.session.reply(3, OK);
    peer.session.end(3);
    peer.sees();
    peer.sends(rst(3), syn(5), syn(7));
    expect(refused(peer)).toEqual([]);
  });

  test('but one whose answer was only queued', () => {
    const peer = limited();
    peer.sends(syn(1), syn(3));
    peer.session.hold(1);
    peer.session.reply(1, OK, { fin: true });
    peer.sends(rst(1), syn(5)); // nothing was sent in between
    expect(refused(peer)).toEqual([5]);
  });

  test('it needs no key any more', () => {
    const peer = new ScriptedPeer({ keys: true, config: { maxConcurrentStreams: 1 } });
    peer.establish({ keyId: 1, authority: 'a' });
    peer.seals(1, syn(1, { slot: 1 }));
    peer.session.hold(1);
    peer.seals(1, rst(1));
    expectNothingBound(peer);
    peer.seals(1, syn(3, { slot: 1 }));
    expect(refused(peer)).toEqual([3]);
  });
});

describe('headers are held for a session within a bound (spec 7.3, attack D2)', () => {
  const budgets = { ...DEFAULT_BUDGETS, heldHeaders: 10_000 };
  /** 100 headers, 3,500 bytes as they are counted. */
  const many: HeaderList = Array.from({ length: 100 }, (_, n) => [`x${String(n).padStart(2, '0')}`, '']);

  test('of the streams of the peer: one beyond is refused, and may come again', () => {
    const peer = new ScriptedPeer({ config: { budgets } });
    peer.sends(syn(1, { headers: many }), syn(3, { headers: many }), syn(5, { headers: many }));
    expect(refused(peer)).toEqual([5]);
    peer.sends(syn(7)); // is small
    expect(refused(peer)).toEqual([]);
    peer.sends(rst(1), syn(9, { headers: many }));
    expect(refused(peer)).toEqual([]);
  });

  test('also of those that are over and held', () => {
    const peer = new ScriptedPeer({ config: { budgets } });
    peer.sends(syn(1, { headers: many }), syn(3, { headers: many }));
    peer.session.hold(1);
    peer.sends(rst(1), syn(5, { headers: many }));
    expect(refused(peer)).toEqual([5]);
    peer.session.letGo(1);
    peer.sends(syn(7, { headers: many }));
    expect(refused(peer)).toEqual([]);
  });

  test('of answers: the stream is reset', () => {
    const peer = new ScriptedPeer({ role: 'client', config: { budgets } });
    for (let n = 0; n < 3; n++) peer.session.open(HEADERS);
    peer.sees();
    for (const streamId of [1, 3, 5]) peer.sends({ type: 'syn-reply', streamId, headers: many });
    expect(peer.sees()).toMatchObject([{ type: 'rst-stream', streamId: 5, status: RST.FRAME_TOO_LARGE }]);
    peer.session.reset(1);
    peer.session.open(HEADERS);
    peer.sees();
    peer.sends({ type: 'syn-reply', streamId: 7, headers: many });
    expect(peer.sees()).toEqual([]);
    expect(peer.session.error).toBeUndefined();
  });

  test('a session that goes on for long holds none of what is over', () => {
    const peer = new ScriptedPeer({ config: { budgets, maxConcurrentStreams: 1 } });
    for (let id = 1; id < 400; id += 2) {
      peer.sends(syn(id, { headers: many, fin: true }));
      peer.session.hold(id);
      peer.session.reply(id, OK, { fin: true });
      expect(refused(peer)).toEqual([]);
      peer.session.letGo(id);
    }
  });
});
