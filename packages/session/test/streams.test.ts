import { RST } from '@keymux/frames';
import { describe, expect, test } from 'vitest';
import { HEADERS, ScriptedPeer, type ScriptFrame } from '../../../test/support/scripted-peer.ts';
import { SessionPair } from '../../../test/support/session-pair.ts';
import { expectFailure } from './support.ts';

const OK: [string, string][] = [[':status', '200']];

describe('the start of a session', () => {
  test('says SETTINGS and the session window first, and nothing of keymux without keys', () => {
    const peer = new ScriptedPeer({ config: { algorithms: 2 } });
    expect(peer.sees()).toMatchObject([
      {
        type: 'settings',
        entries: [
          { id: 4, value: 1024 },
          { id: 7, value: 262_144 },
        ],
      },
      { type: 'window-update', streamId: 0, delta: 128 * 1024 * 1024 - 65_536 },
    ]);
  });

  test('announces algorithms, switch limit and, as a client, the depth', () => {
    const config = { algorithms: 6, depth: 2, switchLimit: 70_000, sessionWindow: 65_536 };
    const client = new ScriptedPeer({ role: 'client', keys: true, config });
    const server = new ScriptedPeer({ role: 'server', keys: true, config });
    const entries = (depth: number) => [{}, {}, { value: depth * 2 ** 24 + 6 }, { value: 70_000 }];
    expect(client.sees()).toMatchObject([{ type: 'settings', entries: entries(2) }]);
    expect(server.sees()).toMatchObject([{ type: 'settings', entries: entries(0) }]);
  });

  test('reports what the peer announces, and tells a server’s keys the depth', () => {
    const peer = new ScriptedPeer({ keys: true });
    const entries = [{ id: 0x4b4d58, value: 3 * 2 ** 24 + 6, flags: 0 }];
    peer.sends({ type: 'settings', clear: false, entries });
    expect(peer.take('announced')).toEqual({ type: 'announced', algorithms: 6, depth: 3 });
    expect(peer.keys.depths).toEqual([3]);
  });
});

describe('the life of a stream', () => {
  test('request and answer, each with payload', () => {
    const { client, server, ...pair } = withPair();
    const id = client.session.open(HEADERS, { priority: 1, associatedId: 7 });
    client.session.send(id, Buffer.from('ping'));
    client.session.end(id);
    pair.settle();
    expect(server.take('stream')).toMatchObject({
      id: 1,
      headers: HEADERS,
      priority: 1,
      associatedId: 7,
      unidirectional: false,
      payloadOutside: false,
      key: undefined,
    });
    expect(server.received(id).toString()).toBe('ping');
    server.take('end');
    server.session.reply(id, OK);
    server.session.headers(id, [['x-more', '1']]);
    server.session.send(id, Buffer.from('pong'));
    server.session.end(id);
    pair.settle();
    expect(client.types).toEqual(['drain', 'reply', 'headers', 'data', 'end', 'closed']);
    expect(client.take('reply').headers).toEqual(OK);
    expect(client.received(id).toString()).toBe('pong');
    expect([client.session.streamCount, server.session.streamCount]).toEqual([0, 0]);
  });

  test('a request and an answer of headers only take two frames', () => {
    const peer = new ScriptedPeer({ role: 'client' });
    peer.sees();
    const id = peer.session.open(HEADERS, { fin: true });
    expect(peer.sees()).toMatchObject([{ type: 'syn-stream', streamId: 1, fin: true, headers: HEADERS }]);
    peer.sends({ type: 'syn-reply', streamId: id, headers: OK, fin: true });
    expect(peer.types).toEqual(['drain', 'reply', 'end', 'closed']);
  });

  test('the last payload carries FIN', () => {
    const peer = new ScriptedPeer({ role: 'client' });
    const id = peer.session.open(HEADERS);
    peer.session.send(id, Buffer.from('a'));
    peer.session.end(id);
    expect(peer.sees().slice(3)).toMatchObject([{ type: 'data', payload: 'a', fin: true }]);
    expect(peer.types).toEqual(['drain']);
  });

  test('headers, payload and the end keep their order', () => {
    const peer = new ScriptedPeer({ role: 'client' });
    const id = peer.session.open(HEADERS);
    peer.session.send(id, Buffer.from('a'));
    peer.session.headers(id, [['x', 'y']]);
    peer.session.send(id, Buffer.from('b'));
    peer.session.headers(id, [['x', 'z']]);
    peer.session.end(id);
    expect(peer.sees().slice(3)).toMatchObject([
      { type: 'data', payload: 'a', fin: false },
      { type: 'headers', headers: [['x', 'y']] },
      { type: 'data', payload: 'b', fin: false },
      { type: 'headers', headers: [['x', 'z']] },
      { type: 'data', payload: '', fin: true },
    ]);
    expect(peer.types).toEqual(['drain']);
  });

  test('what is queued before an answer waits for it', () => {
    const peer = new ScriptedPeer();
    peer.sends({ type: 'syn-stream', streamId: 1 });
    peer.session.send(1, Buffer.from('body'));
    peer.session.end(1);
    expect(peer.sees().filter((frame) => frame.type === 'data')).toEqual([]);
    peer.session.reply(1, OK);
    expect(peer.sees()).toMatchObject([{ type: 'syn-reply' }, { type: 'data', payload: 'body', fin: true }]);
  });

  test('a unidirectional stream has one direction, either way', () => {
    const { client, server, ...pair } = withPair();
    const id = client.session.open(HEADERS, { unidirectional: true });
    client.session.send(id, Buffer.from('push'));
    client.session.end(id);
    pair.settle();
    expect(server.types).toEqual(['stream', 'data', 'end', 'closed']);
    expect(client.types).toEqual(['drain', 'closed']);
  });

  test('a unidirectional stream of headers only is over at once', () => {
    const { client, server, ...pair } = withPair();
    client.session.open(HEADERS, { unidirectional: true, fin: true });
    pair.settle();
    expect(server.types).toEqual(['stream', 'end', 'closed']);
    expect(client.types).toEqual(['drain', 'closed']);
  });

  test('a server opens streams with even IDs', () => {
    const { client, server, ...pair } = withPair();
    expect([server.session.open(HEADERS), server.session.open(HEADERS)]).toEqual([2, 4]);
    pair.settle();
    expect(client.take('stream').id).toBe(2);
  });

  test('a reset ends both directions, and says who did it', () => {
    const { client, server, ...pair } = withPair();
    const id = client.session.open(HEADERS);
    pair.settle();
    server.session.reset(id, RST.REFUSED_STREAM);
    pair.settle();
    expect(server.take('reset')).toMatchObject({ id, status: RST.REFUSED_STREAM, origin: 'local' });
    expect(client.take('reset')).toMatchObject({ id, status: RST.REFUSED_STREAM, origin: 'remote' });
    expect([client.session.streamCount, server.session.streamCount]).toEqual([0, 0]);
  });

  test('a stream that is reset before it was sent never existed', () => {
    const peer = new ScriptedPeer({ role: 'client' });
    peer.sees();
    const id = peer.session.open(HEADERS);
    peer.session.send(id, Buffer.from('never'));
    peer.session.reset(id);
    expect(peer.sees()).toEqual([]);
    expect(peer.types).toEqual(['reset', 'closed']);
    peer.session.open([...HEADERS, ['x', 'later']], { fin: true });
    expect(peer.sees()).toMatchObject([{ type: 'syn-stream', streamId: 3 }]);
  });

  test('stream IDs end at 2^31 - 1', () => {
    const peer = new ScriptedPeer({ role: 'client', firstStreamId: 2 ** 31 - 3 });
    peer.session.open(HEADERS, { fin: true });
    expect(peer.session.open(HEADERS, { fin: true })).toBe(2 ** 31 - 1);
    expect(peer.session.canOpen).toBe(false);
    expect(() => peer.session.open(HEADERS)).toThrow(
      expect.objectContaining({ code: 'ERR_KEYMUX_IDS_USED_UP' }),
    );
    expect(peer.sees().filter(({ type }) => type === 'syn-stream')).toMatchObject([
      { streamId: 2 ** 31 - 3 },
      { streamId: 2 ** 31 - 1 },
    ]);
    peer.sends({ type: 'syn-reply', streamId: 2 ** 31 - 1, fin: true });
    expect(peer.types).toEqual(['drain', 'drain', 'reply', 'end', 'closed']);
  });

  test('a peer can use the last stream ID and none after it', () => {
    const peer = new ScriptedPeer();
    peer.sends({ type: 'syn-stream', streamId: 2 ** 31 - 1 });
    expect(peer.take('stream').id).toBe(2 ** 31 - 1);
    peer.sends({ type: 'syn-stream', streamId: 2 ** 31 - 3 });
    expectFailure(peer, 'PROTOCOL_ERROR');
  });
});

describe('frames that end their stream (spec 2.2)', () => {
  const open: ScriptFrame = { type: 'syn-stream', streamId: 1 };
  const table: [string, keyof typeof RST, ScriptFrame[]][] = [
    [
      'DATA after FIN',
      'STREAM_ALREADY_CLOSED',
      [
        { ...open, fin: true },
        { type: 'data', streamId: 1, payload: 'x' },
      ],
    ],
    [
      'FIN twice',
      'STREAM_ALREADY_CLOSED',
      [
        { ...open, fin: true },
        { type: 'data', streamId: 1, fin: true },
      ],
    ],
    [
      'HEADERS after FIN',
      'STREAM_ALREADY_CLOSED',
      [
        { ...open, fin: true },
        { type: 'headers', streamId: 1 },
      ],
    ],
    ['DATA for a stream that never was', 'INVALID_STREAM', [{ type: 'data', streamId: 5, payload: 'x' }]],
    ['malformed headers', 'PROTOCOL_ERROR', [{ ...open, headers: [] }, badHeaders(3)]],
    [
      'a window beyond 2^31 - 1',
      'FLOW_CONTROL_ERROR',
      [open, { type: 'window-update', streamId: 1, delta: 2 ** 31 - 1 }],
    ],
    [
      'more payload than the stream window',
      'FLOW_CONTROL_ERROR',
      [open, { type: 'data', streamId: 1, payload: Buffer.alloc(262_145) }],
    ],
  ];

  test.each(table)('%s: RST_STREAM %s, and the session goes on', (_name, status, frames) => {
    const peer = new ScriptedPeer();
    peer.sees();
    peer.sends(...frames);
    expect(peer.sees()).toMatchObject([{ type: 'rst-stream', status: RST[status] }]);
    expect(peer.find('data')).toBeUndefined();
    peer.sends({ type: 'syn-stream', streamId: 9, fin: true });
    expect(peer.session.error).toBeUndefined();
    expect(peer.events.some((event) => event.type === 'stream' && event.id === 9)).toBe(true);
  });

  const answers: [string, keyof typeof RST, ScriptFrame[]][] = [
    ['DATA before SYN_REPLY', 'PROTOCOL_ERROR', [{ type: 'data', streamId: 1, payload: 'x' }]],
    ['HEADERS before SYN_REPLY', 'PROTOCOL_ERROR', [{ type: 'headers', streamId: 1 }]],
    [
      'a second SYN_REPLY',
      'STREAM_IN_USE',
      [
        { type: 'syn-reply', streamId: 1 },
        { type: 'syn-reply', streamId: 1 },
      ],
    ],
    [
      'DATA after FIN',
      'STREAM_ALREADY_CLOSED',
      [
        { type: 'syn-reply', streamId: 1, fin: true },
        { type: 'data', streamId: 1, payload: 'x' },
      ],
    ],
  ];

  test.each(answers)('of our own stream, %s: %s', (_name, status, frames) => {
    const peer = new ScriptedPeer({ role: 'client' });
    peer.session.open(HEADERS);
    peer.sees();
    peer.sends(...frames);
    expect(peer.sees()).toMatchObject([{ type: 'rst-stream', streamId: 1, status: RST[status] }]);
    expect(peer.take('reset')).toMatchObject({ origin: 'local', status: RST[status] });
    expect(peer.session.streamCount).toBe(0);
  });

  test('an answer to a unidirectional stream: STREAM_ALREADY_CLOSED', () => {
    const peer = new ScriptedPeer({ role: 'client' });
    peer.session.open(HEADERS, { unidirectional: true });
    peer.sees();
    peer.sends({ type: 'syn-reply', streamId: 1 });
    expect(peer.sees()).toMatchObject([{ type: 'rst-stream', status: RST.STREAM_ALREADY_CLOSED }]);
  });

  test('one stream too many is refused, and its headers are inflated all the same', () => {
    const peer = new ScriptedPeer({ config: { maxConcurrentStreams: 1 } });
    peer.sees();
    peer.sends(
      { type: 'syn-stream', streamId: 1 },
      { type: 'syn-stream', streamId: 3, headers: [['a', 'b']] },
    );
    expect(peer.sees()).toMatchObject([{ type: 'rst-stream', streamId: 3, status: RST.REFUSED_STREAM }]);
    peer.sends({ type: 'rst-stream', streamId: 1, status: RST.CANCEL });
    peer.sends({ type: 'syn-stream', streamId: 5, headers: [['a', 'b']] });
    expect(peer.events.filter(({ type }) => type === 'stream').at(-1)).toMatchObject({
      id: 5,
      headers: [['a', 'b']],
    });
  });
});

describe('frames that end the session (spec 2.2)', () => {
  const table: [string, ScriptFrame[]][] = [
    ['SYN_STREAM with our own parity', [{ type: 'syn-stream', streamId: 2 }]],
    [
      'SYN_STREAM with the same ID',
      [
        { type: 'syn-stream', streamId: 5 },
        { type: 'syn-stream', streamId: 5 },
      ],
    ],
    [
      'SYN_STREAM with an earlier ID',
      [
        { type: 'syn-stream', streamId: 5 },
        { type: 'syn-stream', streamId: 3 },
      ],
    ],
    ['SYN_STREAM with an ID that was refused', [badHeaders(3), { type: 'syn-stream', streamId: 3 }]],
    [
      'SYN_REPLY for its own stream',
      [
        { type: 'syn-stream', streamId: 1 },
        { type: 'syn-reply', streamId: 1 },
      ],
    ],
    [
      'WINDOW_UPDATE of 0',
      [{ type: 'raw', bytes: Buffer.from('8003000900000008000000010000000000', 'hex') }],
    ],
    ['a version that is not 3', [{ type: 'raw', bytes: Buffer.from('800200060000000400000001', 'hex') }]],
  ];

  test.each(table)('%s', (_name, frames) => {
    const peer = new ScriptedPeer();
    peer.sends(...frames);
    expectFailure(peer, 'PROTOCOL_ERROR');
  });

  test('nothing after the bad frame is handled, and open streams end with an error', () => {
    const peer = new ScriptedPeer();
    peer.sends(
      { type: 'syn-stream', streamId: 1 },
      { type: 'syn-stream', streamId: 2 },
      { type: 'data', streamId: 1, payload: 'too late' },
    );
    expect(peer.types).toEqual(['stream', 'reset', 'closed', 'error']);
    peer.sends({ type: 'data', streamId: 1, payload: 'later still' });
    expectFailure(peer, 'PROTOCOL_ERROR');
    expect(peer.received(1).length).toBe(0);
  });

  test('headers that do not inflate', () => {
    const peer = new ScriptedPeer();
    const syn = peer.encode({ type: 'syn-stream', streamId: 1 });
    peer.receives(syn.with(-5, 0xff));
    expectFailure(peer, 'PROTOCOL_ERROR');
  });
});

describe('frames for streams that are forgotten', () => {
  const late: ScriptFrame[] = [
    { type: 'syn-reply', streamId: 1, headers: [['late', 'reply']] },
    { type: 'headers', streamId: 1, headers: [['late', 'headers']] },
    { type: 'data', streamId: 1, payload: 'late' },
    { type: 'window-update', streamId: 1, delta: 5 },
    { type: 'data', streamId: 1, fin: true },
    { type: 'rst-stream', streamId: 1, status: RST.CANCEL },
  ];

  test('are harmless, and their headers are inflated', () => {
    const peer = new ScriptedPeer({ role: 'client' });
    peer.session.open(HEADERS);
    peer.sees();
    peer.session.reset(1);
    peer.session.open(HEADERS);
    peer.sees();
    peer.sends(...late, { type: 'syn-reply', streamId: 3, headers: [['late', 'reply']] });
    expect(peer.take('reply')).toMatchObject({ id: 3, headers: [['late', 'reply']] });
    expect(peer.sees()).toEqual([]);
    expect(peer.session.error).toBeUndefined();
  });

  test('payload in flight gives the session window back', () => {
    const peer = new ScriptedPeer({ role: 'client', config: { sessionWindow: 65_536 } });
    peer.session.open(HEADERS);
    peer.sees();
    peer.session.reset(1);
    peer.sees();
    for (let i = 0; i < 10; i++) {
      peer.sends({ type: 'data', streamId: 1, payload: Buffer.alloc(40_000) });
      expect(peer.sees()).toMatchObject([{ type: 'window-update', streamId: 0, delta: 40_000 }]);
    }
    expect(peer.types).toEqual(['reset', 'closed']);
  });

  test('an answer to a stream whose SYN_STREAM has not gone yet answers nothing', () => {
    const peer = new ScriptedPeer({ role: 'client' });
    const id = peer.session.open(HEADERS);
    peer.sends({ type: 'syn-reply', streamId: id }, { type: 'data', streamId: id, payload: 'x', fin: true });
    expect(peer.types).toEqual([]);
    expect(peer.sees().filter(({ type }) => type === 'syn-stream')).toMatchObject([{ streamId: id }]);
  });

  test('a reset that crosses a reset is not answered', () => {
    const { client, server, ...pair } = withPair();
    const id = client.session.open(HEADERS);
    pair.settle();
    client.session.reset(id);
    server.session.reset(id);
    pair.settle();
    expect([client.session.error, server.session.error]).toEqual([undefined, undefined]);
    expect(client.types).toEqual(['reset', 'closed']);
    expect(server.types).toEqual(['stream', 'reset', 'closed']);
  });
});

/** A SYN_STREAM with a header name in upper case. */
function badHeaders(streamId: number): ScriptFrame {
  return {
    type: 'syn-stream',
    streamId,
    block: Buffer.from('000000010000000141000000016200000000'.slice(0, 28), 'hex'),
  };
}

function withPair(): { client: SessionPair['client']; server: SessionPair['server']; settle: () => void } {
  const pair = new SessionPair();
  return { client: pair.client, server: pair.server, settle: () => pair.settle() };
}
