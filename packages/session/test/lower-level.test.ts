import { describe, expect, test } from 'vitest';
import {
  HEADERS,
  ScriptedPeer,
  type ScriptSwitch,
  switchDigestOf,
} from '../../../test/support/scripted-peer.ts';
import { expectFailure, refusalOf } from './support.ts';

/** Keys 1 and 5 prove the peer, key 3 proves nobody. */
function engine(role: 'client' | 'server'): ScriptedPeer {
  const peer = new ScriptedPeer({ role, keys: true });
  peer.establish({ keyId: 1, authority: 'a' });
  peer.establish({ keyId: 3, authority: 'a', level: 'passive' });
  peer.establish({ keyId: 5, authority: 'a' });
  peer.sees();
  return peer;
}

const switchTo = (count: number, digest: Uint8Array, previousKeyId: number): ScriptSwitch => ({
  ...{ type: 'key-switch', streamId: 1, previousKeyId, previousGeneration: 0, count, digest },
});

describe('C18: who has negotiated an anonymous key', () => {
  test.each([
    [1, 3, false],
    [1, 5, true],
    [3, 1, true],
  ])('goes on with a stream under key %i by key %i: %s', (from, to, taken) => {
    const peer = engine('server');
    peer.seals(from, { type: 'syn-stream', streamId: 1, slot: from });
    peer.seals(to, switchTo(1, switchDigestOf(1, []), from), {
      ...{ type: 'data', streamId: 1, payload: 'goes on', fin: true },
    });
    if (taken) expect(peer.received(1).toString()).toBe('goes on');
    else expectFailure(peer, 'KEY_FAILURE');
  });

  test.each([
    [1, 3, false],
    [1, 5, true],
    [3, 1, true],
  ])('answers a request under key %i by key %i: %s', (from, to, taken) => {
    const peer = engine('client');
    const id = peer.session.open(HEADERS, { keyId: from });
    const [syn] = peer.sees();
    const digest = switchDigestOf(id, [], syn?.bytes as Uint8Array);
    peer.seals(
      to,
      { ...switchTo(0, digest, 0), proves: { keyId: from, generation: 0 } },
      { type: 'syn-reply', streamId: id },
    );
    if (taken) expect(peer.take('reply').key).toMatchObject({ keyId: to });
    else expectFailure(peer, 'KEY_FAILURE');
  });

  test.each([
    [1, 3, false],
    [1, 5, true],
    [3, 1, true],
  ])('sends session frames after key %i under key %i: %s', (from, to, taken) => {
    const peer = new ScriptedPeer({ keys: true });
    for (const keyId of [1, 3, 5])
      peer.establish({ keyId, level: keyId === 3 ? 'passive' : 'authenticated' });
    peer.seals(from, peer.controlSwitch(0));
    expect(peer.session.error).toBeUndefined();
    peer.seals(to, peer.controlSwitch(0, { keyId: from, generation: 0 }), { type: 'ping', id: 1 });
    if (taken) expect(peer.session.error).toBeUndefined();
    else expectFailure(peer, 'KEY_FAILURE');
  });
});

describe('this side is told so beforehand', () => {
  test('for its direction of a stream, also behind a switch that waits', () => {
    const peer = engine('client');
    const id = peer.session.open(HEADERS, { keyId: 1 });
    expect(refusalOf(() => peer.session.switchKey(id, 3))).toBe('ERR_KEYMUX_SWITCH');
    const weak = peer.session.open(HEADERS, { keyId: 3 });
    peer.session.switchKey(weak, 1);
    expect(refusalOf(() => peer.session.switchKey(weak, 3))).toBe('ERR_KEYMUX_SWITCH');
    peer.session.switchKey(weak, 5);
    expect(peer.session.error).toBeUndefined();
  });

  test('for an answer', () => {
    const peer = engine('server');
    peer.seals(1, { type: 'syn-stream', streamId: 1, slot: 1 });
    const reply = (keyId: number) => () => peer.session.reply(1, [[':status', '200']], { keyId });
    expect(refusalOf(reply(3))).toBe('ERR_KEYMUX_SWITCH');
    reply(5)();
    expect(peer.sees()).toMatchObject([
      { under: 5, type: 'key-switch' },
      { under: 5, type: 'syn-reply' },
    ]);
  });
});
