import { describe, expect, test } from 'vitest';
import {
  HEADERS,
  ScriptedPeer,
  type ScriptSwitch,
  switchDigestOf,
} from '../../../test/support/scripted-peer.ts';
import { SessionPair } from '../../../test/support/session-pair.ts';
import { expectFailure, expectNothingBound } from './support.ts';

const OK: [string, string][] = [[':status', '200']];
const A = { keyId: 1, generation: 0 };
const NEWER_A = { keyId: 1, generation: 1 };
const B = { keyId: 3, generation: 0 };

/** Key 1 has two generations. The peer has used both, and speaks under the second now. */
function engine(role: 'client' | 'server'): ScriptedPeer {
  const peer = new ScriptedPeer({ role, keys: true });
  for (const key of [A, B]) peer.establish({ ...key, authority: 'a' });
  return peer;
}

const switchTo = (fields: Pick<ScriptSwitch, 'count' | 'digest'> & Partial<ScriptSwitch>): ScriptSwitch => ({
  ...{ type: 'key-switch', streamId: 1, previousKeyId: 0, previousGeneration: 0 },
  ...fields,
});

/** A stream direction that goes on under key 3 after key 1. */
const inTheMiddle = {
  prepare(): ScriptedPeer {
    const peer = engine('server');
    peer.seals(1, { type: 'syn-stream', streamId: 1, slot: 1 });
    peer.establish({ ...NEWER_A, authority: 'a' });
    peer.seals(1, { type: 'key-update', count: 1 }, { type: 'data', streamId: 1, payload: 'mine' });
    return peer;
  },
  honest: (): ScriptSwitch =>
    switchTo({ count: 2, digest: switchDigestOf(1, []), previousKeyId: 1, previousGeneration: 1 }),
  before: NEWER_A,
};

/** An answer under key 3 to a question under key 1. */
const anAnswer = {
  prepare(): ScriptedPeer {
    const peer = engine('client');
    peer.establish({ ...NEWER_A, authority: 'a' });
    peer.session.open(HEADERS, { keyId: 1 });
    question = peer.sees().find(({ type }) => type === 'syn-stream')?.bytes as Uint8Array;
    return peer;
  },
  honest: (): ScriptSwitch =>
    switchTo({ count: 0, digest: switchDigestOf(1, [], question), proves: NEWER_A }),
  before: NEWER_A,
};
let question: Uint8Array;

/** The peer's session frames, which go on under key 3 after key 1. */
const sessionFrames = {
  prepare(): ScriptedPeer {
    const peer = new ScriptedPeer({ keys: true });
    for (const key of [A, B]) peer.establish(key);
    peer.seals(1, peer.controlSwitch(0));
    peer.establish(NEWER_A);
    peer.seals(1, { type: 'key-update', count: 1 }, { type: 'ping', id: 1 });
    sessionPeer = peer;
    return peer;
  },
  honest: (): ScriptSwitch => sessionPeer.controlSwitch(1, NEWER_A),
  before: NEWER_A,
};
let sessionPeer: ScriptedPeer;

describe.each([
  ['a stream direction that changes its key', inTheMiddle],
  ['an answer under another key than its question', anAnswer],
  ['session frames that change their key', sessionFrames],
])('%s', (_name, { prepare, honest, before }) => {
  test('is taken with a proof of the key before', () => {
    const peer = prepare();
    peer.seals(3, honest());
    expect(peer.session.error).toBeUndefined();
  });

  /** A proof that is right for another switch than the one that is sent. */
  const forAnother = (change: (right: ScriptSwitch) => ScriptSwitch) => (peer: ScriptedPeer) => {
    const right = honest();
    const { digest } = peer.proven({ ...change(right), proves: right.proves ?? before }, B);
    return { ...right, digest, proves: 'nothing' as const };
  };
  const wrong: [string, (peer: ScriptedPeer) => ScriptSwitch][] = [
    ['no proof, but the digest', () => ({ ...honest(), proves: 'nothing' })],
    [
      'no proof, and a past in the clear',
      () => ({ ...honest(), previousKeyId: 0, previousGeneration: 0, proves: 'nothing' }),
    ],
    ['nothing in its place', () => ({ ...honest(), digest: new Uint8Array(32), proves: 'nothing' })],
    ['a proof of the new key', () => ({ ...honest(), proves: B })],
    ['a proof of another generation', () => ({ ...honest(), proves: A })],
    ['a proof for a smaller count', forAnother((right) => ({ ...right, count: right.count + 1 }))],
    ['a proof for another stream', forAnother((right) => ({ ...right, streamId: right.streamId + 2 }))],
    ['a proof for another previous key', forAnother((right) => ({ ...right, previousKeyId: 5 }))],
    ['a proof for another previous generation', forAnother((right) => ({ ...right, previousGeneration: 9 }))],
    ['a proof for another digest', forAnother((right) => ({ ...right, digest: new Uint8Array(32) }))],
    [
      'a proof for another key',
      (peer) => ({ ...peer.proven({ ...honest(), proves: before }, { ...B, keyId: 5 }), proves: 'nothing' }),
    ],
    [
      'a proof for another generation of the new key',
      (peer) => ({
        ...peer.proven({ ...honest(), proves: before }, { ...B, generation: 1 }),
        proves: 'nothing',
      }),
    ],
    [
      'a proof of the other side',
      (peer) => ({ ...peer.proven({ ...honest(), proves: before }, B, peer.keys.role), proves: 'nothing' }),
    ],
    [
      'a proof with its last bit changed',
      (peer) => {
        const { digest, ...fields } = peer.proven({ ...honest(), proves: before }, B);
        return { ...fields, digest: digest.with(31, (digest[31] as number) ^ 1), proves: 'nothing' };
      },
    ],
  ];

  test.each(wrong)('%s ends the session', (_what, make) => {
    const peer = prepare();
    peer.seals(3, make(peer), { type: 'data', streamId: 1, payload: 'FORGED' });
    expect(peer.received(1).toString()).not.toContain('FORGED');
    expect(peer.find('switched')).toBeUndefined();
    expectFailure(peer, 'KEY_FAILURE');
  });

  test('is refused by who does not hold the key before, whatever it brings', () => {
    const peer = prepare();
    peer.keys.forgetSwitchKey(before);
    peer.seals(3, honest());
    expect(peer.find('switched')).toBeUndefined();
    expectFailure(peer, 'KEY_FAILURE');
  });
});

test('a switch from the clear has nobody to prove: a proof ends the session', () => {
  const peer = engine('server');
  const syn = peer.encode({ type: 'syn-stream', streamId: 1 });
  peer.receives(syn);
  peer.seals(3, switchTo({ count: 1, digest: switchDigestOf(1, [syn]), proves: B }));
  expectFailure(peer, 'KEY_FAILURE');
});

describe('two engines agree', () => {
  test('over keys, generations and directions', () => {
    const pair = new SessionPair({ keys: true });
    const { client, server } = pair;
    for (const key of [A, B]) pair.establish({ ...key, authority: 'a' });
    const id = client.session.open(HEADERS, { keyId: 1 });
    pair.settle();
    pair.establish({ ...NEWER_A, authority: 'a' }); // the question came under the generation before
    server.session.reply(id, OK, { keyId: 3 });
    client.session.switchKey(id, 3);
    client.session.send(id, Buffer.from('under 3, '));
    pair.settle();
    pair.establish({ ...B, generation: 1, authority: 'a' });
    client.session.send(id, Buffer.from('its next generation, '));
    client.session.switchKey(id, 1);
    client.session.send(id, Buffer.from('and 1'));
    client.session.end(id);
    server.session.switchKey(id, 1);
    server.session.end(id);
    pair.settle();
    expect(server.received(id).toString()).toBe('under 3, its next generation, and 1');
    expect([client.session.error, server.session.error]).toEqual([undefined, undefined]);
    for (const end of [client, server]) expectNothingBound(end);
  });

  test('a key is kept as long as a question under it has no answer', () => {
    const pair = new SessionPair({ keys: true });
    const { client, server } = pair;
    for (const key of [A, B]) pair.establish({ ...key, authority: 'a' });
    const id = client.session.open(HEADERS, { keyId: 1 });
    client.session.switchKey(id, 3);
    client.session.end(id);
    pair.settle();
    for (const end of [client, server]) {
      expect([end.keys.bound.get(1), end.keys.bound.get(3)]).toEqual([new Set([id]), new Set([id])]);
    }
    server.session.reply(id, OK, { keyId: 3 });
    pair.settle();
    for (const end of [client, server]) {
      expect([end.keys.bound.get(1), end.keys.bound.get(3)]).toEqual([new Set(), new Set([id])]);
    }
    server.session.end(id);
    pair.settle();
    for (const end of [client, server]) expectNothingBound(end);
  });
});

test('who has lost the key before ends the session rather than go on without proof', () => {
  const peer = engine('client');
  const id = peer.session.open(HEADERS, { keyId: 1 });
  peer.sees();
  peer.keys.forgetSwitchKey(A);
  peer.session.switchKey(id, 3);
  peer.session.send(id, Buffer.from('x'));
  const seen = peer.sees();
  expect(seen.some(({ type }) => type === 'key-switch' || type === 'data')).toBe(false);
  expect(peer.take('error').error).toMatchObject({ scope: 'session', code: 'ERR_KEYMUX_KEY_FAILURE' });
});
