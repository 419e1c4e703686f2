import { GOAWAY, RST } from '@keymux/frames';
import { describe, expect, test } from 'vitest';
import {
  HEADERS,
  ScriptedPeer,
  type ScriptFrame,
  switchDigestOf,
} from '../../../test/support/scripted-peer.ts';
import { SessionPair } from '../../../test/support/session-pair.ts';
import { expectFailure, expectNothingBound } from './support.ts';

const OK: [string, string][] = [[':status', '200']];

/** An engine with keys 1 and 2 for hosts, so that session frames stay outside. */
function engine(role: 'client' | 'server' = 'server'): ScriptedPeer {
  const peer = new ScriptedPeer({ role, keys: true });
  peer.establish({ keyId: 1, authority: 'a' });
  peer.establish({ keyId: 2, authority: 'b' });
  peer.sees();
  return peer;
}

const sealedSyn: ScriptFrame = { type: 'syn-stream', streamId: 1, slot: 1 };

describe('where frames of streams travel (spec 4.2, 4.4)', () => {
  test('a sealed request and its answer, each under its key, all of both', () => {
    const { client, server, ...pair } = sealedPair();
    const id = client.session.open(HEADERS, { keyId: 1 });
    client.session.send(id, Buffer.from('question'));
    client.session.end(id);
    pair.settle();
    expect(server.take('stream').key).toMatchObject({ keyId: 1, level: 'authenticated' });
    server.session.consume(id, 8);
    server.session.reply(id, OK, { keyId: 2 });
    server.session.send(id, Buffer.from('answer'));
    server.session.end(id);
    pair.settle();
    expect(client.take('switched')).toMatchObject({ id, key: { keyId: 2 } });
    expect(client.take('reply').key).toMatchObject({ keyId: 2 });
    expect(client.received(id).toString()).toBe('answer');
    for (const end of [client, server]) expectNothingBound(end);
  });

  test('a stream is bound to its keys while it lives, each key told once', () => {
    const { client, server, ...pair } = sealedPair();
    const id = client.session.open(HEADERS, { keyId: 1 });
    expect(client.keys.bound.get(1)).toEqual(new Set([0, id])); // before it is sent: the key must not be retired
    pair.settle();
    server.session.reply(id, OK);
    pair.settle();
    client.session.end(id);
    pair.settle();
    expect(server.keys.bound.get(1)).toEqual(new Set([0, id]));
    server.session.reset(id);
    expect(server.keys.bound.get(1)).toEqual(new Set([0]));
    pair.settle();
    expect(client.keys.bound.get(1)).toEqual(new Set([0]));
  });

  test('an answer of WINDOW_UPDATE or RST_STREAM alone is sealed too', () => {
    const peer = engine();
    peer.seals(1, sealedSyn, { type: 'data', streamId: 1, payload: Buffer.alloc(60_000) });
    peer.seals(1, { type: 'syn-stream', streamId: 3, slot: 1 });
    for (let i = 0; i < 3; i++) peer.seals(1, { type: 'data', streamId: 1, payload: Buffer.alloc(60_000) });
    peer.session.consume(1, 200_000);
    peer.session.reset(3);
    const ofStreams = peer.sees().filter(({ streamId }) => streamId !== 0);
    expect(ofStreams).toMatchObject([
      { under: 1, type: 'window-update', streamId: 1 },
      { under: 1, type: 'rst-stream', streamId: 3 },
    ]);
  });

  test('a refusal of a sealed stream is sealed', () => {
    const peer = engine();
    peer.session.goAway();
    peer.sees();
    peer.seals(1, sealedSyn);
    expect(peer.sees()).toMatchObject([{ under: 1, type: 'rst-stream', status: RST.REFUSED_STREAM }]);
    expectNothingBound(peer);
  });

  test('frames of forgotten streams are ignored, wherever they come', () => {
    const peer = engine();
    peer.seals(1, sealedSyn);
    peer.session.reset(1);
    peer.sees();
    const late: ScriptFrame[] = [
      { type: 'data', streamId: 1, payload: 'late' },
      { type: 'headers', streamId: 1 },
      { type: 'window-update', streamId: 1, delta: 1 },
      { type: 'rst-stream', streamId: 1, status: RST.CANCEL },
    ];
    const sealedOnly: ScriptFrame[] = [
      { type: 'stream-end', streamId: 1, total: 5 },
      keySwitch({ streamId: 1 }),
    ];
    peer.sends(...late);
    peer.seals(1, ...late, ...sealedOnly);
    peer.seals(2, ...late, ...sealedOnly);
    expect(peer.session.error).toBeUndefined();
    expect(peer.find('data')).toBeUndefined();
    expect(peer.sees()).toEqual([]);
  });
});

describe('frames where they do not belong end the session (C20, C21, H3)', () => {
  const clearStream: ScriptFrame = { type: 'syn-stream', streamId: 1 };
  const frames: [string, ScriptFrame][] = [
    ['DATA', { type: 'data', streamId: 1, payload: 'forged' }],
    ['FIN', { type: 'data', streamId: 1, fin: true }],
    ['HEADERS', { type: 'headers', streamId: 1 }],
    ['RST_STREAM', { type: 'rst-stream', streamId: 1, status: RST.CANCEL }],
    ['WINDOW_UPDATE', { type: 'window-update', streamId: 1, delta: 1 }],
  ];

  test.each(frames)('%s in the clear on a sealed stream', (_name, frame) => {
    const peer = engine();
    peer.seals(1, sealedSyn);
    peer.sends(frame);
    expectOnlyError(peer);
  });

  test.each(frames)('%s under another key', (_name, frame) => {
    const peer = engine();
    peer.seals(1, sealedSyn);
    peer.seals(2, frame);
    expectOnlyError(peer);
  });

  test.each(frames)('%s sealed on a clear stream: the head is not authentic (C20)', (_name, frame) => {
    const peer = engine();
    peer.sends(clearStream);
    peer.seals(1, frame);
    expectOnlyError(peer);
  });

  const answers: [string, ScriptFrame][] = [['SYN_REPLY', { type: 'syn-reply', streamId: 1 }], ...frames];

  test.each(answers)('%s in the clear as answer to a sealed request (C21)', (_name, frame) => {
    const peer = engine('client');
    peer.session.open(HEADERS, { keyId: 1 });
    peer.sees();
    peer.sends(frame);
    expectOnlyError(peer);
  });

  test.each(answers)(
    '%s under another key as answer to a sealed request, without KEY_SWITCH',
    (_name, frame) => {
      const peer = engine('client');
      peer.session.open(HEADERS, { keyId: 1 });
      peer.sees();
      peer.seals(2, frame);
      expectOnlyError(peer);
    },
  );

  test.each(answers)('%s sealed as answer to a clear request, without KEY_SWITCH', (_name, frame) => {
    const peer = engine('client');
    peer.session.open(HEADERS);
    peer.sees();
    peer.seals(1, frame);
    expectOnlyError(peer);
  });

  test.each([0, 2, 255])('a SYN_STREAM under key 1 whose slot is %i', (slot) => {
    const peer = engine();
    peer.seals(1, { type: 'syn-stream', streamId: 1, slot });
    expectOnlyError(peer);
  });

  test('a clear SYN_STREAM whose slot names a key is only refused', () => {
    const peer = engine();
    peer.sends({ type: 'syn-stream', streamId: 1, slot: 1 });
    expect(peer.sees()).toMatchObject([{ under: 0, type: 'rst-stream', status: RST.PROTOCOL_ERROR }]);
    expect(peer.find('stream')).toBeUndefined();
  });

  test('without keys the slot means nothing', () => {
    const peer = new ScriptedPeer();
    peer.sends({ type: 'syn-stream', streamId: 1, slot: 1 });
    expect(peer.take('stream').id).toBe(1);
  });
});

describe('envelopes that are not right end the session (spec 4.1, rule R4)', () => {
  const tamper: [string, (peer: ScriptedPeer) => Uint8Array[]][] = [
    ['one that was changed', (peer) => [peer.envelope(1, sealedSyn).with(-20, 0)]],
    ['one whose tag was changed', (peer) => [flip(peer.envelope(1, sealedSyn), -1)]],
    ['one whose readable key ID was changed', (peer) => [peer.envelope(1, sealedSyn).with(8, 2)]],
    ['one whose generation was changed', (peer) => [peer.envelope(1, sealedSyn).with(9, 1)]],
    ['one under an unknown key', (peer) => [peer.envelope(1, sealedSyn).with(8, 77)]],
    ['one that comes twice', (peer) => twice(peer.envelope(1, { type: 'ping', id: 1 }))],
    [
      'two in the wrong order',
      (peer) =>
        [
          peer.envelope(1, sealedSyn),
          peer.envelope(1, { type: 'data', streamId: 1, payload: 'x' }),
        ].reverse(),
    ],
    [
      'one whose forerunner is missing',
      (peer) => [peer.envelope(1, sealedSyn), peer.envelope(1, sealedSyn)].slice(1),
    ],
    ['one without a whole frame', (peer) => [peer.envelope(1, { type: 'raw', bytes: new Uint8Array(8) })]],
    [
      'one that ends inside a frame',
      (peer) => [peer.envelope(1, sealedSyn, { type: 'raw', bytes: Buffer.from('00000001000000ff', 'hex') })],
    ],
  ];

  test.each(tamper)('%s', (_name, make) => {
    const peer = engine();
    for (const bytes of make(peer)) peer.receives(bytes);
    expect(peer.take('error').error).toMatchObject({ scope: 'session' });
    expect(peer.find('data')).toBeUndefined();
  });

  test('the reason stays here: the peer learns KEY_FAILURE of all that concerns keys', () => {
    const statuses = tamper.slice(0, 8).map(([, make]) => {
      const peer = engine();
      for (const bytes of make(peer)) peer.receives(bytes);
      return peer.sees().at(-1)?.status;
    });
    expect(new Set(statuses)).toEqual(new Set([GOAWAY.KEY_FAILURE]));
  });

  test('our own envelopes do not open for us', () => {
    const { client, ...pair } = sealedPair();
    client.session.open(HEADERS, { keyId: 1 });
    client.session.receive(client.output(), pair.now);
    expect(client.session.error?.status).toBe(GOAWAY.KEY_FAILURE);
  });

  test('PADDING may stand alone, must be last, and nothing follows it', () => {
    const peer = engine();
    peer.seals(1, { type: 'padding', length: 100 });
    peer.seals(1, sealedSyn, { type: 'padding', length: 0 });
    expect(peer.find('stream')).toBeDefined();
    peer.seals(1, { type: 'padding', length: 0 }, { type: 'data', streamId: 1, payload: 'x' });
    expectOnlyError(peer);
  });
});

test('a key whose peer is proven by its first envelope is reported before what came in it', () => {
  const peer = new ScriptedPeer({ keys: true });
  peer.keys.install({ keyId: 1, level: 'none', send: false, provenBy: 'first envelope' });
  peer.peerKeys.install({ keyId: 1 });
  peer.session.keysProgressed(peer.now);
  peer.sees();
  peer.seals(1, sealedSyn);
  expect(peer.types).toEqual(['key', 'key', 'stream']);
  expect(peer.take('stream').key).toMatchObject({ level: 'authenticated' });
  expect(peer.sees()).toMatchObject([{ under: 1, type: 'key-switch' }]);
});

describe('KEY_UPDATE (spec 4.3)', () => {
  const ping: ScriptFrame = { type: 'syn-stream', streamId: 9, slot: 1 };

  /** An engine that has opened `count` envelopes of generation 0, and has generation 1 waiting. */
  function renewed(count: number): ScriptedPeer {
    const peer = engine();
    for (let i = 0; i < count; i++) peer.seals(1, { type: 'padding', length: 8 });
    peer.establish({ keyId: 1, authority: 'a', generation: 1 });
    return peer;
  }

  test('with the right count opens the generation', () => {
    const peer = renewed(3);
    peer.seals(1, { type: 'key-update', count: 3 }, ping);
    expect(peer.take('stream').key).toMatchObject({ keyId: 1, generation: 1 });
    expect(peer.keys.receiver(1, 0)).toBeUndefined();
  });

  test('may be missing only if the generation before was not used', () => {
    const fresh = renewed(0);
    fresh.seals(1, ping);
    expect(fresh.find('stream')).toBeDefined();
    const used = renewed(1);
    used.seals(1, ping);
    expectOnlyError(used);
  });

  test.each([2, 4])('with the count %i instead of 3 ends the session', (count) => {
    const peer = renewed(3);
    peer.seals(1, { type: 'key-update', count }, ping);
    expectOnlyError(peer);
  });

  test('anywhere else ends the session', () => {
    const second = renewed(1);
    second.seals(1, ping, { type: 'key-update', count: 1 });
    expectOnlyError(second);
    const again = renewed(1);
    again.seals(1, { type: 'key-update', count: 1 });
    again.seals(1, { type: 'key-update', count: 1 });
    expectOnlyError(again);
    const first = engine();
    first.seals(1, { type: 'key-update', count: 0 });
    expectOnlyError(first);
  });

  test('is sent with what we have sealed, once, and only if there was something', () => {
    const peer = engine();
    peer.seals(1, sealedSyn);
    peer.session.reply(1, OK);
    peer.sees();
    peer.session.send(1, Buffer.from('a'));
    peer.sees();
    peer.establish({ keyId: 1, authority: 'a', generation: 1 });
    peer.session.send(1, Buffer.from('b'));
    expect(peer.sees()).toMatchObject([
      { type: 'key-update', count: 2 },
      { type: 'data', payload: 'b' },
    ]);
    peer.session.send(1, Buffer.from('c'));
    expect(peer.sees()).toMatchObject([{ type: 'data', payload: 'c' }]);
  });

  test('changes nothing for streams', () => {
    const { client, server, ...pair } = sealedPair();
    const id = client.session.open(HEADERS, { keyId: 1 });
    pair.settle();
    server.session.reply(id, OK);
    for (let generation = 1; generation < 4; generation++) {
      client.session.send(id, Buffer.from('q'));
      server.session.send(id, Buffer.from('a'));
      pair.establish({ keyId: 1, generation });
    }
    client.session.end(id);
    server.session.end(id);
    pair.settle();
    expect([server.received(id).toString(), client.received(id).toString()]).toEqual(['qqq', 'aaa']);
    expect([client.session.error, server.session.error]).toEqual([undefined, undefined]);
  });
});

describe('RETIRE (spec 3.3)', () => {
  test('is the last frame under its key', () => {
    const peer = engine();
    peer.seals(1, sealedSyn);
    peer.session.reset(1);
    peer.session.retireKey(1);
    peer.session.keysProgressed(peer.now);
    expect(peer.sees()).toMatchObject([
      { under: 1, type: 'rst-stream' },
      { under: 1, type: 'key-nego', retire: true },
    ]);
    expect(peer.keys.sender(1)).toBeUndefined();
  });

  const retire: ScriptFrame = {
    type: 'key-nego',
    keyId: 1,
    algorithm: 9,
    fin: true,
    reject: false,
    retire: true,
    data: new Uint8Array(0),
  };

  test('is no session frame: both sides still agree on how many there were', () => {
    const pair = sealedPair();
    pair.client.session.retireKey(2);
    pair.client.session.ping();
    pair.settle();
    pair.establish({ keyId: 3 });
    pair.client.session.ping();
    pair.settle();
    expect([pair.client.session.error, pair.server.session.error]).toEqual([undefined, undefined]);
    expect([pair.client.keys.sender(2), pair.client.keys.receiver(2, 0)]).toEqual([undefined, undefined]);
  });

  test('H4: a stream that crosses it is refused without a word, and nothing follows it under its key', () => {
    const peer = engine();
    peer.session.retireKey(1);
    peer.session.keysProgressed(peer.now);
    expect(peer.sees()).toMatchObject([{ under: 1, type: 'key-nego', retire: true }]);
    peer.seals(1, sealedSyn);
    peer.seals(1, { type: 'window-update', streamId: 1, delta: 5 });
    expect(peer.session.streamCount).toBe(0);
    expect(peer.sees()).toEqual([]);
    expect(peer.session.error).toBeUndefined();
  });

  test('is taken in an envelope of its key, with padding', () => {
    const peer = engine();
    peer.seals(1, retire, { type: 'padding', length: 3 });
    expect(peer.session.error).toBeUndefined();
    expect(peer.keys.receiver(1, 0)).toBeUndefined();
  });

  test.each([
    ['in the clear', (peer: ScriptedPeer) => peer.sends(retire)],
    ['under another key', (peer: ScriptedPeer) => peer.seals(2, retire)],
    ['before other frames', (peer: ScriptedPeer) => peer.seals(1, retire, sealedSyn)],
  ])('%s ends the session', (_name, act) => {
    const peer = engine();
    act(peer);
    expectOnlyError(peer);
  });
});

describe('early data (spec 3.7)', () => {
  function early(config = {}): ScriptedPeer {
    const peer = new ScriptedPeer({ keys: true, config });
    peer.establish({ keyId: 1, authority: 'a', early: true });
    peer.sees();
    return peer;
  }
  const request = (method: string, streamId = 1): ScriptFrame => ({
    type: 'syn-stream',
    streamId,
    slot: 1,
    headers: [[':method', method]],
  });

  test.each(['GET', 'HEAD'])('%s is taken, and marked', (method) => {
    const peer = early();
    peer.seals(1, request(method));
    expect(peer.take('stream').key).toMatchObject({ early: true });
  });

  test.each(['POST', 'PUT', 'CONNECT', 'get', ''])('%s is refused, under the key', (method) => {
    const peer = early();
    peer.seals(1, request(method), { type: 'data', streamId: 1, payload: 'x' });
    expect(peer.sees()).toMatchObject([{ under: 1, type: 'rst-stream', status: RST.REFUSED_STREAM }]);
    expect(peer.find('stream')).toBeUndefined();
    expect(peer.session.error).toBeUndefined();
  });

  test('the rule is the user’s', () => {
    const peer = early({ acceptEarly: () => true });
    peer.seals(1, request('POST'));
    expect(peer.find('stream')).toBeDefined();
  });

  test('a clear request that is switched to an early key is refused', () => {
    const peer = early();
    const syn = { type: 'syn-stream', streamId: 1, headers: [[':method', 'POST']] } as ScriptFrame;
    const clear = peer.encode(syn);
    peer.receives(clear);
    const fields = { streamId: 1, count: 1, digest: switchDigestOf(1, [clear]) };
    peer.seals(1, keySwitch(fields), { type: 'data', streamId: 1, payload: 'replayed' });
    expect(peer.sees()).toMatchObject([{ type: 'rst-stream', status: RST.REFUSED_STREAM }]);
    expect(peer.types.slice(1)).toEqual(['stream', 'reset', 'closed']);
    expectNothingBound(peer);
  });

  test('an answer can be, and is marked', () => {
    const peer = new ScriptedPeer({ role: 'client', keys: true });
    peer.establish({ keyId: 2, authority: 'a', early: true });
    const id = peer.session.open(HEADERS);
    const syn = peer.sees().at(-1)?.bytes as Uint8Array;
    peer.seals(2, keySwitch({ streamId: id, digest: switchDigestOf(id, [], syn) }), {
      type: 'syn-reply',
      streamId: id,
    });
    expect(peer.take('reply').key).toMatchObject({ keyId: 2, early: true });
  });
});

describe('a key that cannot seal', () => {
  test('ends the session, not in the clear, and says GOAWAY where it can', () => {
    const peer = engine();
    peer.seals(1, sealedSyn);
    peer.session.reply(1, OK);
    peer.sees();
    peer.keys.forget(1);
    peer.session.send(1, Buffer.from('secret'));
    const seen = peer.sees();
    expect(seen).toMatchObject([{ under: 0, type: 'goaway', status: GOAWAY.KEY_FAILURE }]);
    expect(peer.session.error).toMatchObject({ origin: 'local', code: 'ERR_KEYMUX_KEY_FAILURE' });
  });

  test('that is used up in the middle of an envelope: what was complete before still goes', () => {
    const peer = new ScriptedPeer({ role: 'client', keys: true });
    peer.establish({ keyId: 1, authority: 'a', limit: 1 });
    peer.sees();
    peer.session.open([...HEADERS, ['x', 'sealed']], { keyId: 1 });
    peer.sees();
    peer.session.ping();
    peer.session.send(1, Buffer.from('too much'));
    expect(peer.sees()).toMatchObject([
      { type: 'ping' },
      { under: 0, type: 'goaway', status: GOAWAY.KEY_FAILURE },
    ]);
  });

  test('and is the one that GOAWAY would travel under: nothing goes', () => {
    const peer = new ScriptedPeer({ keys: true });
    peer.establish({ keyId: 1, limit: 1 });
    peer.sees();
    peer.session.ping();
    expect(peer.sees()).toEqual([]);
    expect(peer.session.over).toBe(true);
  });

  test('neither for GOAWAY nor for more: what was complete before still goes', () => {
    const peer = new ScriptedPeer({ role: 'client', keys: true });
    peer.establish({ keyId: 1, limit: 2 });
    peer.sees();
    peer.session.open([...HEADERS, ['x', 'y'.repeat(60_000)]], { keyId: 1 });
    peer.session.open([...HEADERS, ['x', 'z'.repeat(60_000)]], { keyId: 1 });
    expect(peer.sees()).toMatchObject([{ under: 1, type: 'syn-stream', streamId: 1 }]);
    expect(peer.session.over).toBe(true);
  });

  test('and was to take over a stream: only the stream ends', () => {
    const peer = engine('client');
    const id = peer.session.open(HEADERS);
    peer.session.send(id, Buffer.from('clear'));
    peer.session.switchKey(id, 1);
    peer.session.send(id, Buffer.from('secret'));
    peer.keys.forget(1);
    expect(peer.sees()).toMatchObject([
      { type: 'syn-stream' },
      { type: 'data', payload: 'clear' },
      { under: 0, type: 'rst-stream', status: RST.INTERNAL_ERROR },
    ]);
    expect(peer.take('reset')).toMatchObject({ id, origin: 'local' });
    expect(peer.session.error).toBeUndefined();
  });
});

/** A KEY_SWITCH that says nothing true unless told. */
function keySwitch(fields: { streamId: number; count?: number; digest?: Uint8Array }): ScriptFrame {
  return {
    type: 'key-switch',
    previousKeyId: 0,
    previousGeneration: 0,
    count: 0,
    digest: new Uint8Array(32),
    ...fields,
  };
}

/** The session died of a key failure, and no payload, end or reset by the peer came of it. */
function expectOnlyError(peer: ScriptedPeer): void {
  const told = peer.events.filter((event) => !('origin' in event) || event.origin === 'remote');
  for (const type of ['data', 'end', 'reply', 'headers', 'reset']) {
    expect(told.map((event) => event.type)).not.toContain(type);
  }
  expectFailure(peer, 'KEY_FAILURE');
  expectNothingBound(peer);
}

function flip(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.with(at, (bytes.at(at) as number) ^ 1);
}

function twice(bytes: Uint8Array): Uint8Array[] {
  return [bytes, bytes];
}

/** Two engines with connection keys 1 and 2. */
function sealedPair(): { client: SessionPair['client']; server: SessionPair['server'] } & Pick<
  SessionPair,
  'settle' | 'establish' | 'now'
> {
  const pair = new SessionPair({ keys: true });
  pair.establish({ keyId: 2 });
  pair.establish({ keyId: 1 });
  return {
    client: pair.client,
    server: pair.server,
    now: pair.now,
    settle: () => pair.settle(),
    establish: (options) => pair.establish(options),
  };
}
