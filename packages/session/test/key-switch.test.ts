import { RST } from '@keymux/frames';
import { describe, expect, test } from 'vitest';
import {
  HEADERS,
  ScriptedPeer,
  type ScriptFrame,
  type ScriptSwitch,
  switchDigestOf,
  switchProofOf,
} from '../../../test/support/scripted-peer.ts';
import { SessionPair } from '../../../test/support/session-pair.ts';
import { expectFailure, expectNothingBound, refusalOf } from './support.ts';

const OK: [string, string][] = [[':status', '200']];
const data = (payload: string, fin = false): ScriptFrame => ({ type: 'data', streamId: 1, payload, fin });

function engine(role: 'client' | 'server', config = {}): ScriptedPeer {
  const peer = new ScriptedPeer({ role, keys: true, config });
  peer.establish({ keyId: 1, authority: 'a' });
  peer.establish({ keyId: 2, authority: 'b' });
  peer.sees();
  return peer;
}

const generation0 = (keyId: number) => ({ keyId, generation: 0 });

const switchTo = (fields: Pick<ScriptSwitch, 'count' | 'digest'> & Partial<ScriptSwitch>): ScriptSwitch => ({
  type: 'key-switch',
  streamId: 1,
  previousKeyId: 0,
  previousGeneration: 0,
  ...fields,
});

describe('a request that begins in the clear and goes on sealed', () => {
  test('is taken with the digest of spec 4.5', () => {
    const peer = engine('server');
    const clear = [
      peer.encode({ type: 'syn-stream', streamId: 1 }),
      peer.encode(data('in the clear')),
      peer.encode({ type: 'window-update', streamId: 1, delta: 1 }),
    ];
    peer.receives(Buffer.concat(clear));
    peer.seals(1, switchTo({ count: 3, digest: switchDigestOf(1, clear) }), data(' and sealed', true));
    expect(peer.take('switched')).toMatchObject({ id: 1, key: { keyId: 1 } });
    expect(peer.received(1).toString()).toBe('in the clear and sealed');
    expect(peer.keys.bound.get(1)).toEqual(new Set([1]));
    expect(peer.types).toContain('end');
  });

  test('is sent with it', () => {
    const peer = engine('client');
    const id = peer.session.open(HEADERS);
    peer.session.send(id, Buffer.from('clear'));
    const clear = peer.output();
    peer.session.switchKey(id, 1);
    peer.session.send(id, Buffer.from('sealed'));
    peer.session.switchKey(id, 2);
    peer.session.end(id);
    const [first, sealed, second, end] = peer.sees();
    expect(first).toMatchObject({
      under: 1,
      type: 'key-switch',
      streamId: id,
      previousKeyId: 0,
      count: 2,
      digest: switchDigestOf(id, [clear]),
    });
    expect(sealed).toMatchObject({ under: 1, payload: 'sealed' });
    expect(second).toMatchObject({
      under: 2,
      type: 'key-switch',
      previousKeyId: 1,
      count: 3,
    });
    const fields = switchTo({ previousKeyId: 1, count: 3, digest: switchDigestOf(id, [clear]) });
    const proof = switchProofOf(peer.peerKeys, 'client', fields, generation0(1), generation0(2));
    expect(second?.digest).toEqual(proof);
    expect(end).toMatchObject({ under: 2, type: 'data', fin: true });
  });

  test('can be switched more than once', () => {
    const peer = engine('server');
    const syn = peer.encode({ type: 'syn-stream', streamId: 1 });
    peer.receives(syn);
    peer.seals(1, switchTo({ count: 1, digest: switchDigestOf(1, [syn]) }), data('a'));
    const digest = switchDigestOf(1, [syn]);
    peer.seals(2, switchTo({ count: 2, digest, previousKeyId: 1 }), data('b'));
    peer.seals(1, switchTo({ count: 3, digest, previousKeyId: 2 }), data('c', true));
    expect(peer.received(1).toString()).toBe('abc');
    expect(peer.session.error).toBeUndefined();
  });
});

describe('an answer under another key than its request', () => {
  test('to a clear request vouches for the request as it came', () => {
    const peer = engine('client');
    const id = peer.session.open(HEADERS);
    const syn = peer.output();
    peer.seals(1, switchTo({ count: 0, digest: switchDigestOf(id, [], syn) }), {
      type: 'syn-reply',
      streamId: id,
    });
    expect(peer.take('reply').key).toMatchObject({ keyId: 1 });
  });

  test.each([
    ['another request', Buffer.from('another')],
    ['none', undefined],
  ])('is refused if it vouches for %s', (_name, syn) => {
    const peer = engine('client');
    const id = peer.session.open(HEADERS);
    peer.sees();
    peer.seals(1, switchTo({ count: 0, digest: switchDigestOf(id, [], syn) }), {
      type: 'syn-reply',
      streamId: id,
    });
    expect(peer.find('reply')).toBeUndefined();
    expectFailure(peer, 'KEY_FAILURE');
  });

  test('to a sealed request vouches for it as it stood in its envelope', () => {
    const peer = engine('client');
    const id = peer.session.open(HEADERS, { keyId: 1 });
    const [syn] = peer.sees();
    const digest = switchDigestOf(id, [], syn?.bytes as Uint8Array);
    const proves = generation0(1);
    peer.seals(2, switchTo({ count: 0, digest, proves }), { type: 'syn-reply', streamId: id });
    expect(peer.take('reply').key).toMatchObject({ keyId: 2 });
  });

  test('is sent so, also behind a WINDOW_UPDATE in the clear', () => {
    const peer = engine('server');
    const syn = peer.encode({ type: 'syn-stream', streamId: 1 });
    peer.receives(syn);
    peer.sends(data('x'.repeat(140_000)));
    peer.session.consume(1, 140_000);
    const update = peer.output();
    peer.session.reply(1, OK, { keyId: 1 });
    expect(peer.sees()).toMatchObject([
      { under: 1, type: 'key-switch', previousKeyId: 0, count: 1, digest: switchDigestOf(1, [update], syn) },
      { under: 1, type: 'syn-reply' },
    ]);
  });

  test('S2: clear request, the server’s key, both engines', () => {
    const pair = new SessionPair({ keys: true });
    pair.establish({ keyId: 2 });
    const { client, server } = pair;
    const id = client.session.open(HEADERS, { fin: true });
    pair.settle();
    server.session.reply(id, OK, { keyId: 2 });
    server.session.send(id, Buffer.from('secret'));
    server.session.end(id);
    pair.settle();
    expect(client.types.slice(-5)).toEqual(['switched', 'reply', 'data', 'end', 'closed']);
    expect(client.take('reply').key?.keyId).toBe(2);
    for (const end of [client, server]) expectNothingBound(end);
  });
});

describe('what somebody did to the clear part ends the session, and no sealed byte comes out (C1, C2)', () => {
  /** The frames that the peer sent in the clear. */
  const prefix = (peer: ScriptedPeer): Uint8Array[] => [
    peer.encode({ type: 'syn-stream', streamId: 1 }),
    peer.encode(data('one')),
    peer.encode(data('two')),
    peer.encode({ type: 'headers', streamId: 1, headers: [['x', 'y']] }),
  ];
  const attacks: [string, (frames: Uint8Array[]) => Uint8Array[]][] = [
    ['a frame added at the end', (frames) => [...frames, frames[1] as Uint8Array]],
    [
      'a WINDOW_UPDATE added',
      (frames) => [...frames, Buffer.from('80030009000000080000000100000001', 'hex')],
    ],
    ['the last frame dropped', (frames) => frames.slice(0, -1)],
    ['a frame in the middle dropped', (frames) => frames.toSpliced(1, 1)],
    ['one byte of payload changed', (frames) => frames.toSpliced(1, 1, flip(frames[1] as Uint8Array, -1))],
    ['the priority changed', (frames) => frames.toSpliced(0, 1, flip(frames[0] as Uint8Array, 16, 0x20))],
    ['two frames exchanged', ([a, b, c, d]) => [a, c, b, d] as Uint8Array[]],
    [
      'two frames joined into one',
      ([a, , , d]) => [a, new ScriptedPeer().encode(data('onetwo')), d] as Uint8Array[],
    ],
    [
      'one frame cut in two',
      ([a, , c, d]) =>
        [
          a,
          new ScriptedPeer().encode(data('o')),
          new ScriptedPeer().encode(data('ne')),
          c,
          d,
        ] as Uint8Array[],
    ],
  ];

  test.each(attacks)('%s', (_name, attack) => {
    const peer = engine('server');
    const frames = prefix(peer);
    const digest = switchDigestOf(1, frames);
    peer.receives(Buffer.concat(attack(frames)));
    const before = peer.received(1).toString();
    peer.seals(1, switchTo({ count: frames.length, digest }), data('SEALED'));
    expect(peer.received(1).toString()).toBe(before);
    expectFailure(peer, 'KEY_FAILURE');
    expectNothingBound(peer);
  });

  test('the same frames unharmed pass', () => {
    const peer = engine('server');
    const frames = prefix(peer);
    peer.receives(Buffer.concat(frames));
    peer.seals(1, switchTo({ count: frames.length, digest: switchDigestOf(1, frames) }), data('SEALED'));
    expect(peer.received(1).toString()).toBe('onetwoSEALED');
  });

  test('one write with forged clear DATA behind the switch (C1)', () => {
    const peer = engine('server');
    const syn = peer.encode({ type: 'syn-stream', streamId: 1 });
    const sealed = peer.envelope(1, switchTo({ count: 1, digest: switchDigestOf(1, [syn]) }), data('sealed'));
    peer.receives(Buffer.concat([syn, sealed, peer.encode(data('forged'))]));
    expect(peer.received(1).toString()).toBe('sealed');
    expectFailure(peer, 'KEY_FAILURE');
  });

  test('one write with forged clear DATA before it (C1)', () => {
    const peer = engine('server');
    const syn = peer.encode({ type: 'syn-stream', streamId: 1 });
    const sealed = peer.envelope(1, switchTo({ count: 1, digest: switchDigestOf(1, [syn]) }), data('sealed'));
    peer.receives(Buffer.concat([syn, peer.encode(data('forged')), sealed]));
    expect(peer.received(1).toString()).toBe('forged'); // at level none, as it came
    expectFailure(peer, 'KEY_FAILURE');
  });

  test('the first sealed envelope dropped (Terrapin)', () => {
    const peer = engine('server');
    const syn = peer.encode({ type: 'syn-stream', streamId: 1 });
    peer.receives(syn);
    peer.envelope(1, switchTo({ count: 1, digest: switchDigestOf(1, [syn]) }), data('policy'));
    peer.seals(1, data('rest'));
    expect(peer.received(1).length).toBe(0);
    expectFailure(peer, 'KEY_FAILURE');
  });

  test('an injected answer before a sealed one (NO STARTTLS, the other way round)', () => {
    const peer = engine('client');
    const id = peer.session.open(HEADERS);
    const syn = peer.output();
    peer.sends({ type: 'syn-reply', streamId: id });
    peer.seals(1, switchTo({ count: 0, digest: switchDigestOf(id, [], syn) }), data('x'));
    expect(peer.find('data')).toBeUndefined();
    expectFailure(peer, 'KEY_FAILURE');
  });

  test('frames under the old key after a switch', () => {
    const peer = engine('server');
    peer.seals(1, { type: 'syn-stream', streamId: 1, slot: 1 });
    const digest = switchDigestOf(1, []);
    peer.seals(2, switchTo({ count: 1, digest, previousKeyId: 1 }), data('new'));
    peer.seals(1, data('old'));
    expect(peer.received(1).toString()).toBe('new');
    expectFailure(peer, 'KEY_FAILURE');
  });
});

describe('a KEY_SWITCH that is not right ends the session', () => {
  const wrong: [
    string,
    Partial<{ count: number; previousKeyId: number; previousGeneration: number; digest: Uint8Array }>,
  ][] = [
    ['count', { count: 2 }],
    ['previous key', { previousKeyId: 2 }],
    ['previous generation', { previousGeneration: 1 }],
    ['digest', { digest: new Uint8Array(32) }],
  ];

  test.each(wrong)('wrong %s', (_name, field) => {
    const peer = engine('server');
    const syn = peer.encode({ type: 'syn-stream', streamId: 1 });
    peer.receives(syn);
    peer.seals(1, switchTo({ count: 1, digest: switchDigestOf(1, [syn]), ...field }));
    expectFailure(peer, 'KEY_FAILURE');
  });

  test('to the key that is bound already', () => {
    const peer = engine('server');
    peer.seals(1, { type: 'syn-stream', streamId: 1, slot: 1 });
    peer.seals(1, switchTo({ count: 1, digest: switchDigestOf(1, []), previousKeyId: 1 }));
    expectFailure(peer, 'KEY_FAILURE');
  });

  test('the previous generation is that of the last frame', () => {
    const peer = engine('server');
    peer.seals(1, { type: 'syn-stream', streamId: 1, slot: 1 });
    peer.establish({ keyId: 1, authority: 'a', generation: 1 });
    peer.seals(1, { type: 'key-update', count: 1 }, data('x'));
    const digest = switchDigestOf(1, []);
    peer.seals(2, switchTo({ count: 2, digest, previousKeyId: 1, previousGeneration: 1 }), data('y'));
    expect(peer.received(1).toString()).toBe('xy');
  });

  test('or of the KEY_SWITCH before, if no frame came between', () => {
    const peer = engine('server');
    peer.seals(2, { type: 'padding', length: 0 });
    peer.establish({ keyId: 2, authority: 'b', generation: 1 });
    peer.seals(1, { type: 'syn-stream', streamId: 1, slot: 1 });
    const digest = switchDigestOf(1, []);
    peer.seals(2, { type: 'key-update', count: 1 }, switchTo({ count: 1, digest, previousKeyId: 1 }));
    peer.seals(1, switchTo({ count: 1, digest, previousKeyId: 2, previousGeneration: 1 }), data('z'));
    expect(peer.received(1).toString()).toBe('z');
  });
});

describe('the switch limit (spec 4.5)', () => {
  const limit = 70_000;

  /** A server whose peer has sent `bytes` of clear payload; returns what it would need to switch. */
  function sent(bytes: number, config = {}): { peer: ScriptedPeer; clear: Uint8Array[] } {
    const peer = engine('server', { switchLimit: limit, ...config });
    const clear = [peer.encode({ type: 'syn-stream', streamId: 1 }), peer.encode(data('x'.repeat(bytes)))];
    peer.receives(Buffer.concat(clear));
    return { peer, clear };
  }

  test('lets exactly as much through', () => {
    const { peer, clear } = sent(limit);
    peer.seals(1, switchTo({ count: 2, digest: switchDigestOf(1, clear) }), data('y'));
    expect(peer.session.error).toBeUndefined();
  });

  test('and not a byte more', () => {
    const { peer, clear } = sent(limit + 1);
    peer.seals(1, switchTo({ count: 2, digest: switchDigestOf(1, clear) }), data('y'));
    expectFailure(peer, 'KEY_FAILURE');
  });

  test('does not count what was sealed', () => {
    const peer = engine('server', { switchLimit: limit });
    peer.seals(1, { type: 'syn-stream', streamId: 1, slot: 1 });
    for (let i = 0; i < 2; i++) peer.seals(1, data('x'.repeat(60_000)));
    const digest = switchDigestOf(1, []);
    peer.seals(2, switchTo({ count: 3, digest, previousKeyId: 1 }), data('y'));
    expect(peer.session.error).toBeUndefined();
  });

  const announce = (value: number): ScriptFrame => ({
    type: 'settings',
    clear: false,
    entries: [
      { id: 0x4b4d53, value, flags: 0 },
      { id: 7, value: 2 ** 30, flags: 0 },
    ],
  });

  /** A client that may send as much as it likes, with stream 1 open in the clear. */
  function client(config = {}): ScriptedPeer {
    const peer = engine('client', config);
    peer.sends({ type: 'window-update', streamId: 0, delta: 2 ** 30 });
    peer.session.open(HEADERS);
    return peer;
  }

  test('is the smaller of both sides’, also for what is only queued', () => {
    const peer = client();
    peer.sends(announce(limit));
    peer.session.send(1, new Uint8Array(limit + 1));
    expect(refusalOf(() => peer.session.switchKey(1, 1))).toBe('ERR_KEYMUX_SWITCH');
    peer.session.open(HEADERS);
    peer.session.send(3, new Uint8Array(limit));
    peer.session.switchKey(3, 1);
    peer.session.send(3, new Uint8Array(limit * 3)); // sealed: it does not count
    peer.session.switchKey(3, 2);
    expect(peer.sees().filter(({ type }) => type === 'key-switch')).toHaveLength(2);
  });

  test('of a peer that announced none is 1 MiB', () => {
    const peer = client({ switchLimit: 2 ** 22 });
    peer.sends({ type: 'settings', clear: false, entries: [{ id: 7, value: 2 ** 30, flags: 0 }] });
    peer.session.send(1, new Uint8Array(2 ** 20 + 1));
    expect(refusalOf(() => peer.session.switchKey(1, 1))).toBe('ERR_KEYMUX_SWITCH');
  });

  test('that comes lower after the switch was asked for: the stream ends rather than go on in the clear', () => {
    const peer = client();
    peer.sends({ ...announce(2 ** 20) } as ScriptFrame);
    peer.session.send(1, new Uint8Array(100_000));
    peer.session.switchKey(1, 1);
    peer.session.send(1, Buffer.from('secret'));
    peer.sends(announce(limit));
    const seen = peer.sees();
    expect(seen.at(-1)).toMatchObject({ under: 0, type: 'rst-stream', status: RST.INTERNAL_ERROR });
    expect(seen.some(({ payload }) => payload === 'secret')).toBe(false);
    expect(peer.session.error).toBeUndefined();
  });

  test('that rises does not bring back a hash that is gone', () => {
    const peer = client({ switchLimit: 2 ** 22 });
    peer.sends(announce(limit));
    peer.session.send(1, new Uint8Array(limit + 1));
    peer.sees();
    peer.sends(announce(2 ** 22));
    expect(refusalOf(() => peer.session.switchKey(1, 1))).toBe('ERR_KEYMUX_SWITCH');
  });
});

function flip(bytes: Uint8Array, at: number, bit = 1): Uint8Array {
  return bytes.with(at, (bytes.at(at) as number) ^ bit);
}
