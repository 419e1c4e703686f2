import { describe, expect, test } from 'vitest';
import { HEADERS, ScriptedPeer } from '../../../test/support/scripted-peer.ts';
import { refusalOf } from './support.ts';

const OK: [string, string][] = [[':status', '200']];
const many = (count: number): [string, string][] => Array.from({ length: count }, (_, i) => [`h${i}`, 'v']);

/** A client that has opened stream 1, with key 1 for sealing and key 3 for early data only. */
function client(): ScriptedPeer {
  const peer = new ScriptedPeer({ role: 'client', keys: true });
  peer.establish({ keyId: 1 });
  peer.establish({ keyId: 3, early: true });
  peer.session.open(HEADERS);
  peer.sees();
  return peer;
}

/** A server with a clear stream 1 and a stream 3 under key 1. */
function server(): ScriptedPeer {
  const peer = new ScriptedPeer({ role: 'server', keys: true });
  peer.establish({ keyId: 1 });
  peer.establish({ keyId: 3, early: true });
  peer.sends({ type: 'syn-stream', streamId: 1 });
  peer.seals(1, { type: 'syn-stream', streamId: 3, slot: 1 });
  peer.seals(1, { type: 'syn-stream', streamId: 5, slot: 1, payloadOutside: true });
  peer.sees();
  return peer;
}

describe('a call that cannot be carried out throws, and changes nothing', () => {
  const table: [string, string, () => ScriptedPeer, (peer: ScriptedPeer) => void][] = [
    ['open: upper-case name', 'ERR_KEYMUX_HEADER', client, ({ session }) => session.open([['A', 'b']])],
    [
      'open: line break in a value',
      'ERR_KEYMUX_HEADER',
      client,
      ({ session }) => session.open([['a', 'b\r\nc']]),
    ],
    ['open: 101 headers', 'ERR_KEYMUX_HEADER', client, ({ session }) => session.open(many(101))],
    [
      'open: headers that could outgrow a frame when compressed',
      'ERR_KEYMUX_FRAME_TOO_LARGE',
      client,
      ({ session }) => session.open([['a', 'b'.repeat(65_000)]]),
    ],
    [
      'open: priority 8',
      'ERR_KEYMUX_ARGUMENT',
      client,
      ({ session }) => session.open(HEADERS, { priority: 8 }),
    ],
    [
      'open: priority 1.5',
      'ERR_KEYMUX_ARGUMENT',
      client,
      ({ session }) => session.open(HEADERS, { priority: 1.5 }),
    ],
    [
      'open: associated stream ID too large',
      'ERR_KEYMUX_ARGUMENT',
      client,
      ({ session }) => session.open(HEADERS, { associatedId: 2 ** 31 }),
    ],
    ['open: unknown key', 'ERR_KEYMUX_NO_KEY', client, ({ session }) => session.open(HEADERS, { keyId: 7 })],
    [
      'open: payload outside in the clear',
      'ERR_KEYMUX_NO_KEY',
      client,
      ({ session }) => session.open(HEADERS, { payloadOutside: true }),
    ],
    [
      'open: payload outside without payload',
      'ERR_KEYMUX_NO_KEY',
      client,
      ({ session }) => session.open(HEADERS, { payloadOutside: true, keyId: 1, fin: true }),
    ],
    ['reply: our own stream', 'ERR_KEYMUX_REPLIED', client, ({ session }) => session.reply(1, OK)],
    ['reply: unknown stream', 'ERR_KEYMUX_STREAM_CLOSED', server, ({ session }) => session.reply(99, OK)],
    ['reply: bad headers', 'ERR_KEYMUX_HEADER', server, ({ session }) => session.reply(1, [['A', 'b']])],
    [
      'reply: in the clear to a sealed request',
      'ERR_KEYMUX_NO_KEY',
      server,
      ({ session }) => session.reply(3, OK, { keyId: 0 }),
    ],
    ['reply: unknown key', 'ERR_KEYMUX_NO_KEY', server, ({ session }) => session.reply(3, OK, { keyId: 8 })],
    [
      'reply: FIN with the payload outside',
      'ERR_KEYMUX_FIN',
      server,
      ({ session }) => session.reply(5, OK, { fin: true }),
    ],
    ['headers: bad headers', 'ERR_KEYMUX_HEADER', client, ({ session }) => session.headers(1, [['', 'b']])],
    [
      'headers: unknown stream',
      'ERR_KEYMUX_STREAM_CLOSED',
      client,
      ({ session }) => session.headers(5, HEADERS),
    ],
    [
      'send: unknown stream',
      'ERR_KEYMUX_STREAM_CLOSED',
      client,
      ({ session }) => session.send(5, new Uint8Array(1)),
    ],
    ['end: unknown stream', 'ERR_KEYMUX_STREAM_CLOSED', client, ({ session }) => session.end(5)],
    ['switchKey: to the clear', 'ERR_KEYMUX_SWITCH', client, ({ session }) => session.switchKey(1, 0)],
    ['switchKey: unknown key', 'ERR_KEYMUX_NO_KEY', client, ({ session }) => session.switchKey(1, 5)],
    ['switchKey: early key', 'ERR_KEYMUX_SWITCH', client, ({ session }) => session.switchKey(1, 3)],
    ['switchKey: payload outside', 'ERR_KEYMUX_SWITCH', server, ({ session }) => session.switchKey(5, 1)],
    ['reset: status 0', 'ERR_KEYMUX_ARGUMENT', client, ({ session }) => session.reset(1, 0)],
    ['consume: more than has come', 'ERR_KEYMUX_ARGUMENT', client, ({ session }) => session.consume(1, 1)],
  ];

  test.each(table)('%s: %s', (_name, code, make, call) => {
    const peer = make();
    const streams = peer.session.streamCount;
    const { types } = peer;
    expect(refusalOf(() => call(peer))).toBe(code);
    expect(peer.sees()).toEqual([]);
    expect(peer.types).toEqual(types);
    expect(peer.session.streamCount).toBe(streams);
    expect(peer.session.error).toBeUndefined();
  });

  test('an open that was refused uses up no stream ID', () => {
    const { session } = client();
    refusalOf(() => session.open([['A', 'b']]));
    expect(session.open(HEADERS)).toBe(3);
  });

  test.each(['send', 'end', 'headers', 'switchKey'] as const)('%s after the end', (name) => {
    const { session } = client();
    session.end(1);
    const calls = {
      send: () => session.send(1, new Uint8Array(1)),
      end: () => session.end(1),
      headers: () => session.headers(1, HEADERS),
      switchKey: () => session.switchKey(1, 1),
    };
    expect(refusalOf(calls[name])).toBe('ERR_KEYMUX_STREAM_CLOSED');
  });

  test('send after a SYN_STREAM with FIN, sent or not', () => {
    const peer = client();
    const id = peer.session.open(HEADERS, { fin: true });
    expect(refusalOf(() => peer.session.send(id, new Uint8Array(1)))).toBe('ERR_KEYMUX_STREAM_CLOSED');
    peer.sees();
    expect(refusalOf(() => peer.session.end(id))).toBe('ERR_KEYMUX_STREAM_CLOSED');
  });

  test('a second reply, a reply with FIN before queued payload, a reply to a stream that was reset', () => {
    const peer = server();
    peer.session.reply(1, OK);
    expect(refusalOf(() => peer.session.reply(1, OK))).toBe('ERR_KEYMUX_REPLIED');
    peer.session.send(3, new Uint8Array(1));
    expect(refusalOf(() => peer.session.reply(3, OK, { fin: true }))).toBe('ERR_KEYMUX_FIN');
    peer.session.reset(3);
    expect(refusalOf(() => peer.session.reply(3, OK))).toBe('ERR_KEYMUX_STREAM_CLOSED');
  });

  test('a reply to a unidirectional stream', () => {
    const peer = new ScriptedPeer();
    peer.sends({ type: 'syn-stream', streamId: 1, unidirectional: true });
    expect(refusalOf(() => peer.session.reply(1, OK))).toBe('ERR_KEYMUX_STREAM_CLOSED');
    expect(refusalOf(() => peer.session.send(1, new Uint8Array(1)))).toBe('ERR_KEYMUX_STREAM_CLOSED');
  });

  test('more streams than the peer allows', () => {
    const peer = client();
    peer.sends({ type: 'settings', clear: false, entries: [{ id: 4, value: 1, flags: 0 }] });
    expect(peer.session.canOpen).toBe(false);
    expect(refusalOf(() => peer.session.open(HEADERS))).toBe('ERR_KEYMUX_TOO_MANY_STREAMS');
    peer.session.reset(1);
    expect(peer.session.canOpen).toBe(true);
  });

  test('the largest headers that are accepted can be sent in the clear, however little they compress', () => {
    const peer = client();
    // Every byte of the value differs from what deflate expects of text.
    const noise = Array.from({ length: 64_800 }, (_, i) =>
      String.fromCharCode(0x80 + ((i * i * 31 + i * 7) % 127)),
    );
    const headers: [string, string][] = [['x', noise.join('')]];
    peer.session.open(headers);
    expect(peer.sees()).toMatchObject([{ type: 'syn-stream', headers }]);
  });

  test('payload of no bytes is nothing', () => {
    const peer = client();
    peer.session.send(1, new Uint8Array(0));
    expect(peer.sees()).toEqual([]);
  });

  test('a stream that is over can be reset and consumed without effect', () => {
    const peer = client();
    peer.session.reset(77);
    peer.session.consume(77, 10);
    expect(peer.sees()).toEqual([]);
  });
});

describe('options', () => {
  const table: [string, object][] = [
    ['a stream window that a peer can rightly exceed', { config: { streamWindow: 65_535 } }],
    ['a session window below SPDY’s', { config: { sessionWindow: 1000 } }],
    ['a switch limit that a peer can rightly exceed', { config: { switchLimit: 1000 } }],
    ['a number that is none', { config: { keepAlive: Number.NaN } }],
    ['a fraction', { config: { maxConcurrentStreams: 1.5 } }],
    ['a first stream ID of the wrong parity', { role: 'client', firstStreamId: 4 }],
    ['a first stream ID that is none', { role: 'client', firstStreamId: 2 ** 31 + 1 }],
  ];

  test.each(table)('%s is refused', (_name, options) => {
    expect(refusalOf(() => new ScriptedPeer(options))).toBe('ERR_KEYMUX_CONFIG');
  });
});
