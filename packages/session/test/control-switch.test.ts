import { describe, expect, test } from 'vitest';
import { sha256 } from '../../../test/support/fake-keys.ts';
import { HEADERS, ScriptedPeer, type ScriptFrame } from '../../../test/support/scripted-peer.ts';
import { SessionPair } from '../../../test/support/session-pair.ts';
import { expectFailure } from './support.ts';

const ping: ScriptFrame = { type: 'ping', id: 1 };
const nego: ScriptFrame = {
  type: 'key-nego',
  keyId: 7,
  algorithm: 9,
  fin: false,
  reject: false,
  retire: false,
  data: new Uint8Array(0),
};

/** A server whose peer has sent one PING in the clear; key 1 is a connection key, key 3 speaks for a host, key 5 is early. */
function server(): ScriptedPeer {
  const peer = new ScriptedPeer({ keys: true });
  peer.sends(ping);
  peer.establish({ keyId: 3, authority: 'host' });
  peer.establish({ keyId: 5, early: true });
  peer.establish({ keyId: 1 });
  peer.sees();
  return peer;
}

/** The same after the peer has switched. */
function switched(): ScriptedPeer {
  const peer = server();
  peer.seals(1, peer.controlSwitch(1));
  expect(peer.session.error).toBeUndefined();
  return peer;
}

describe('our session frames move to a connection key (spec 4.5)', () => {
  test('at once, with the count and the digest of what went before', () => {
    const peer = new ScriptedPeer({ role: 'client', keys: true });
    const before = peer.output(); // SETTINGS and WINDOW_UPDATE
    peer.establish({ keyId: 1 });
    peer.session.ping();
    expect(peer.sees()).toMatchObject([
      {
        under: 1,
        type: 'key-switch',
        streamId: 0,
        previousKeyId: 0,
        previousGeneration: 0,
        count: 2,
        digest: sha256([before]),
      },
      { under: 1, type: 'ping' },
    ]);
  });

  test('to one key after the other, in the order in which they were made', () => {
    const peer = new ScriptedPeer({ role: 'client', keys: true });
    peer.sees();
    for (const key of [{ keyId: 1, level: 'passive' as const }, { keyId: 3 }]) {
      peer.keys.install(key);
      peer.peerKeys.install(key);
    }
    peer.session.keysProgressed(peer.now);
    expect(peer.sees().map(({ under, type, previousKeyId }) => [under, type, previousKeyId])).toEqual([
      [1, 'key-switch', 0],
      [3, 'key-switch', 1],
    ]);
  });

  test('before anything else goes under that key', () => {
    const peer = new ScriptedPeer({ role: 'client', keys: true });
    peer.sees();
    peer.session.ping();
    peer.keys.install({ keyId: 1 });
    peer.peerKeys.install({ keyId: 1 });
    peer.session.open(HEADERS, { keyId: 1 });
    peer.session.ping();
    expect(peer.sees().map(({ under, type }) => [under, type])).toEqual([
      [1, 'key-switch'],
      [1, 'ping'],
      [1, 'syn-stream'],
      [1, 'ping'],
    ]);
  });

  test.each([
    ['speaks for a host', { keyId: 1, authority: 'host' }],
    ['is early', { keyId: 1, early: true }],
    ['cannot seal', { keyId: 1, send: false }],
  ])('but not to a key that %s', (_name, key) => {
    const peer = new ScriptedPeer({ role: 'client', keys: true });
    peer.establish(key);
    peer.session.ping();
    expect(peer.sees().every(({ under }) => under === 0)).toBe(true);
  });

  test('and to a later key if it is no weaker; the earlier can be retired then', () => {
    const peer = new ScriptedPeer({ role: 'client', keys: true });
    peer.establish({ keyId: 1, forwardSecrecy: false });
    peer.sees();
    expect(peer.keys.bound.get(1)).toEqual(new Set([0]));
    peer.establish({ keyId: 3, forwardSecrecy: true });
    expect(peer.sees()).toMatchObject([{ under: 3, type: 'key-switch', previousKeyId: 1, count: 2 }]);
    expect([peer.keys.bound.get(1), peer.keys.bound.get(3)]).toEqual([new Set(), new Set([0])]);
    peer.establish({ keyId: 5, forwardSecrecy: false });
    peer.establish({ keyId: 7, level: 'passive' });
    expect(peer.sees()).toEqual([]);
    peer.establish({ keyId: 9 });
    expect(peer.sees()).toMatchObject([{ under: 9, type: 'key-switch', previousKeyId: 3, count: 2 }]);
  });

  test('two engines agree, with generations and several keys', () => {
    const pair = new SessionPair({ keys: true });
    for (const [keyId, generation] of [
      [1, 0],
      [1, 1],
      [3, 0],
      [3, 1],
      [5, 0],
    ] as const) {
      pair.client.session.ping();
      pair.settle();
      pair.establish({ keyId, generation });
      pair.server.session.ping();
      pair.settle();
    }
    expect([pair.client.session.error, pair.server.session.error]).toEqual([undefined, undefined]);
    expect(pair.client.types.filter((type) => type === 'pong')).toHaveLength(5);
  });
});

describe('the peer’s session frames', () => {
  test('come under its key from KEY_SWITCH on', () => {
    const peer = switched();
    peer.seals(1, ping, { type: 'window-update', streamId: 0, delta: 5 });
    expect(peer.sees()).toMatchObject([{ under: 1, type: 'ping' }]);
  });

  test('KEY_NEGO is the last frame of its envelope, but for padding (spec 4.3)', () => {
    const peer = switched();
    peer.seals(1, ping, nego, { type: 'padding', length: 3 });
    expect(peer.session.error).toBeUndefined();
    const { types } = peer;
    peer.seals(1, { ...nego, keyId: 9 }, ping);
    expect(peer.types).toEqual([...types, 'error']);
    expectFailure(peer, 'KEY_FAILURE');
  });

  const forged: [string, ScriptFrame][] = [
    ['PING', ping],
    ['an answer to PING', { type: 'ping', id: 2 }],
    ['SETTINGS', { type: 'settings', clear: false, entries: [{ id: 4, value: 0, flags: 0 }] }],
    ['GOAWAY', { type: 'goaway', lastGoodId: 0, status: 0 }],
    ['WINDOW_UPDATE', { type: 'window-update', streamId: 0, delta: 1 }],
    ['KEY_NEGO', nego],
  ];

  test.each(forged)('%s in the clear after it: the only outcome is an error (H2)', (_name, frame) => {
    const peer = switched();
    const { types } = peer;
    peer.sends(frame);
    expect(peer.types).toEqual([...types, 'error']);
    expectFailure(peer, 'KEY_FAILURE');
  });

  test.each(forged)('%s under another key after it (H2)', (_name, frame) => {
    const peer = switched();
    peer.seals(3, frame);
    expectFailure(peer, 'KEY_FAILURE');
  });

  test.each(forged)('%s under a key before it', (_name, frame) => {
    const peer = server();
    peer.seals(1, frame);
    expectFailure(peer, 'KEY_FAILURE');
  });

  test('unknown frames stay without effect', () => {
    const peer = switched();
    const unknown: ScriptFrame = { type: 'raw', bytes: Buffer.from('80030bad00000000', 'hex') };
    peer.sends(unknown);
    peer.seals(1, unknown);
    peer.seals(3, unknown);
    expect(peer.session.error).toBeUndefined();
    expect(peer.sees()).toEqual([]);
  });
});

describe('KEY_SWITCH of session frames that is not right ends the session', () => {
  const cases: [string, (peer: ScriptedPeer) => void][] = [
    ['a count too low', (peer) => peer.seals(1, peer.controlSwitch(0))],
    ['a count too high', (peer) => peer.seals(1, peer.controlSwitch(2))],
    ['another previous key', (peer) => peer.seals(1, peer.controlSwitch(1, { keyId: 3, generation: 0 }))],
    [
      'another previous generation',
      (peer) => peer.seals(1, peer.controlSwitch(1, { keyId: 0, generation: 1 })),
    ],
    [
      'another digest',
      (peer) =>
        peer.seals(1, {
          type: 'key-switch',
          streamId: 0,
          previousKeyId: 0,
          previousGeneration: 0,
          count: 1,
          digest: new Uint8Array(32),
        }),
    ],
    ['a host key', (peer) => peer.seals(3, peer.controlSwitch(1))],
    ['an early key', (peer) => peer.seals(5, peer.controlSwitch(1))],
    [
      'the key that is bound already',
      (peer) => {
        peer.seals(1, peer.controlSwitch(1));
        peer.seals(1, peer.controlSwitch(1, { keyId: 1, generation: 0 }));
      },
    ],
  ];

  test.each(cases)('%s', (_name, act) => {
    const peer = server();
    act(peer);
    expectFailure(peer, 'KEY_FAILURE');
  });

  const between: [string, (peer: ScriptedPeer) => Uint8Array][] = [
    ['a PING that the peer did not send', () => Buffer.from('800300060000000400000063', 'hex')],
    ['an unknown frame that the peer did not send', () => Buffer.from('80030bad00000000', 'hex')],
    [
      'a stream that the peer did not open',
      (peer) => new ScriptedPeer().encode({ type: 'syn-stream', streamId: peer.now + 1 }),
    ],
  ];

  test.each(between)('when somebody has added %s (C2)', (_name, bytes) => {
    const peer = server();
    peer.receives(bytes(peer)); // not in the peer's record
    peer.seals(1, peer.controlSwitch(1), { type: 'settings', clear: false, entries: [] });
    expectFailure(peer, 'KEY_FAILURE');
  });

  test('when somebody has swallowed what came before (C2)', () => {
    const peer = server();
    peer.encode({ type: 'settings', clear: false, entries: [] }); // sent and never received
    peer.seals(1, peer.controlSwitch(2));
    expectFailure(peer, 'KEY_FAILURE');
  });

  test('when the envelope before it was swallowed (C2)', () => {
    const peer = server();
    peer.envelope(3, { type: 'padding', length: 0 });
    peer.seals(1, peer.controlSwitch(1));
    expectFailure(peer, 'KEY_FAILURE');
  });
});

describe('KEY_NEGO', () => {
  /** Carries a run; `between` may change what goes from client to server. */
  function run(change?: (bytes: Uint8Array) => Uint8Array): SessionPair {
    const pair = new SessionPair({ keys: true });
    pair.settle();
    pair.client.keys.negotiate(1);
    pair.client.session.keysProgressed(pair.now);
    pair.carry(pair.client, change);
    pair.settle();
    return pair;
  }

  test('makes a key that both sides use at once', () => {
    const { client, server: other } = run();
    expect([client.take('key').key.keyId, other.take('key').key.keyId]).toEqual([1, 1]);
    expect([client.keys.bound.get(1), other.keys.bound.get(1)]).toEqual([new Set([0]), new Set([0])]);
    expect([client.session.error, other.session.error]).toEqual([undefined, undefined]);
  });

  test('under a connection key it is sealed, and a second key comes of it', () => {
    const pair = run();
    pair.client.keys.negotiate(3);
    pair.client.session.keysProgressed(pair.now);
    pair.settle();
    expect(pair.client.keys.bound.get(3)).toEqual(new Set([0]));
    expect([pair.client.session.error, pair.server.session.error]).toEqual([undefined, undefined]);
  });

  test('of two sides that have not seen the same before: no envelope opens', () => {
    const injected = Buffer.from('80030bad00000000', 'hex');
    const { client, server: other } = run((bytes) => Buffer.concat([injected, bytes]));
    expect(client.session.error?.code).toBe('ERR_KEYMUX_KEY_FAILURE'); // it is the first to receive one
    expect(other.session.error?.code).toBe('ERR_KEYMUX_PEER_GONE');
  });

  test('that fails ends the session; that cannot be begun does not', () => {
    const peer = new ScriptedPeer({ keys: true });
    const usage = Object.assign(new Error('no such label'), { scope: 'usage' as const });
    peer.keys.report({ type: 'failed', keyId: 2, error: usage });
    peer.keys.report({ type: 'rejected', keyId: 4, reason: 2, algorithms: [1] });
    peer.session.keysProgressed(peer.now);
    expect(peer.take('key-failed')).toEqual({ type: 'key-failed', keyId: 2, error: usage });
    expect(peer.take('key-rejected')).toMatchObject({ keyId: 4, reason: 2, algorithms: [1] });
    expect(peer.session.error).toBeUndefined();
    const fatal = Object.assign(new Error('bad tag'), { scope: 'session' as const });
    peer.keys.report({ type: 'failed', keyId: 2, error: fatal });
    peer.session.keysProgressed(peer.now);
    expectFailure(peer, 'KEY_FAILURE');
  });

  test('that takes too long ends the session', () => {
    const peer = new ScriptedPeer({ keys: true });
    peer.keys.deadline = 11_000;
    expect(peer.session.nextDeadline()).toBe(11_000);
    peer.session.handleDeadline(11_000);
    expectFailure(peer, 'KEY_FAILURE');
  });
});
