import { encodeDataHead, type HeaderList, RST } from '@keymux/frames';
import { describe, expect, test } from 'vitest';
import { HEADERS, ScriptedPeer, type ScriptFrame } from '../../../test/support/scripted-peer.ts';
import { SessionPair } from '../../../test/support/session-pair.ts';
import { expectFailure, refusalOf } from './support.ts';

const MAX = 2 ** 31 - 1;
const INITIAL = 65_536;
const OK: HeaderList = [[':status', '200']];

describe.each([
  ['clear', 0],
  ['sealed', 1],
] as const)('the last stream IDs, %s (spec 2.2)', (_how, keyId) => {
  test('carry payload both ways; when they are used up the session goes on', () => {
    const first = 2 ** 31 - 5;
    const ids = [first, first + 2, first + 4];
    const pair = new SessionPair({ keys: true, firstStreamId: first });
    const { client, server } = pair;
    pair.establish({ keyId: 1 });
    expect(ids.map(() => client.session.open(HEADERS, { keyId }))).toEqual(ids);
    expect(refusalOf(() => client.session.open(HEADERS, { keyId }))).toBe('ERR_KEYMUX_IDS_USED_UP');
    for (const id of ids) client.session.send(id, Buffer.from(`question ${id}`));
    pair.settle();
    for (const id of ids) {
      expect(server.received(id).toString()).toBe(`question ${id}`);
      server.session.reply(id, OK);
      server.session.send(id, Buffer.from(`answer ${id}`));
      for (const end of [client, server]) end.session.end(id);
    }
    pair.settle();
    for (const id of ids) expect(client.received(id).toString()).toBe(`answer ${id}`);
    expect([client.session.streamCount, server.session.streamCount]).toEqual([0, 0]);

    client.session.ping();
    expect(server.session.open(HEADERS)).toBe(2); // the other side has all of its own
    server.session.goAway();
    pair.settle();
    expect(client.take('pong').elapsed).toBe(0);
    expect(client.take('stream').id).toBe(2);
    expect(client.take('goaway').status).toBe(0);
    expect([client.session.error, server.session.error]).toEqual([undefined, undefined]);
  });
});

describe('windows we may send into (spec 2.5)', () => {
  const update = (streamId: number, delta: number): ScriptFrame => ({
    type: 'window-update',
    streamId,
    delta,
  });
  const initial = (value: number): ScriptFrame => ({
    type: 'settings',
    clear: false,
    entries: [{ id: 7, value, flags: 0 }],
  });
  /** A client with streams 1 and 3, which has spent 1,000 bytes on stream 1. */
  function client(): ScriptedPeer {
    const peer = new ScriptedPeer({ role: 'client' });
    peer.session.open(HEADERS);
    peer.session.open(HEADERS);
    peer.session.send(1, new Uint8Array(1_000));
    peer.sees();
    return peer;
  }

  const reached: [string, ScriptFrame[]][] = [
    ['WINDOW_UPDATE of a stream', [update(1, MAX - INITIAL + 1_000)]],
    ['WINDOW_UPDATE in two', [update(1, MAX - INITIAL), update(1, 1_000)]],
    ['SETTINGS, for all streams', [initial(MAX), update(1, 1_000)]],
    ['SETTINGS that had made it negative before', [initial(0), initial(MAX), update(1, 1_000)]],
    ['SETTINGS, of which the last counts', [initial(MAX), initial(7), initial(MAX), update(1, 1_000)]],
  ];
  test.each(reached)(
    'a stream window of exactly 2^31 - 1, by %s; one more ends the stream',
    (_how, frames) => {
      const peer = client();
      peer.sends(...frames);
      expect(peer.sees()).toEqual([]);
      peer.sends(update(1, 1));
      expect(peer.sees()).toMatchObject([
        { type: 'rst-stream', streamId: 1, status: RST.FLOW_CONTROL_ERROR },
      ]);
      peer.session.send(3, Buffer.from('untouched'));
      expect(peer.sees()).toMatchObject([{ type: 'data', streamId: 3, payload: 'untouched' }]);
    },
  );

  test('SETTINGS that bring one of the open streams to 2^31 - 1 and another beyond end the session', () => {
    const peer = client();
    peer.sends(update(3, 1), initial(MAX));
    expectFailure(peer, 'FLOW_CONTROL_ERROR');
  });

  test('a session window of exactly 2^31 - 1; one more ends the session', () => {
    const peer = client();
    peer.sends(update(0, MAX - INITIAL), update(0, 1_000));
    expect(peer.sees()).toEqual([]);
    peer.sends(update(0, 1));
    expectFailure(peer, 'FLOW_CONTROL_ERROR');
  });

  test('a window can fall as low as it may have been high, and rises again byte by byte', () => {
    const peer = client();
    peer.sends(update(0, MAX - INITIAL), initial(1_000_000));
    peer.session.send(3, new Uint8Array(1_000_000));
    peer.sees();
    peer.sends(initial(0)); // the window is -1,000,000 now
    peer.session.send(3, Buffer.from('abc'));
    peer.sends(update(3, 1_000_000));
    expect(peer.sees()).toEqual([]);
    for (const payload of ['a', 'b', 'c']) {
      peer.sends(update(3, 1));
      expect(peer.sees()).toMatchObject([{ type: 'data', length: 1, payload }]);
    }
  });
});

describe('windows we let the peer send into (spec 2.5)', () => {
  test('of 2^31 - 1 are announced as such, and take the longest DATA frame there is', () => {
    const peer = new ScriptedPeer({ config: { streamWindow: MAX, sessionWindow: MAX } });
    expect(peer.sees()).toMatchObject([
      { type: 'settings', entries: [{ id: 4 }, { id: 7, value: MAX }] },
      { type: 'window-update', streamId: 0, delta: MAX - INITIAL },
    ]);
    const length = 2 ** 24 - 1;
    peer.sends({ type: 'syn-stream', streamId: 1 });
    peer.receives(Buffer.concat([encodeDataHead(1, true, length), Buffer.alloc(length)]));
    peer.take('end');
    expect(peer.received(1).length).toBe(length);
    expect(() => encodeDataHead(1, true, length + 1)).toThrow('16777216');
  });
});

/** A header block, whatever its limits. */
function block(headers: HeaderList): Uint8Array {
  const u32 = (value: number): Buffer => Buffer.from(value.toString(16).padStart(8, '0'), 'hex');
  const text = (value: string): Buffer => Buffer.concat([u32(value.length), Buffer.from(value, 'latin1')]);
  return Buffer.concat([u32(headers.length), ...headers.flat().map(text)]);
}

/** `count` pairs that the limit of spec 1.7 takes for `bytes`: names, values and 32 for each. */
function pairs(count: number, bytes: number): HeaderList {
  const small = Array.from({ length: count - 1 }, (_, index): [string, string] => [`n${index}`, '']);
  const rest = bytes - small.reduce((sum, [name]) => sum + name.length + 32, 0) - 'x'.length - 32;
  return [...small, ['x', 'v'.repeat(rest)]];
}

describe.each([
  ['clear', 0],
  ['sealed', 1],
] as const)('header blocks, %s (spec 1.7)', (_how, keyId) => {
  const many = 'v\0'.repeat(100);
  const table: [string, HeaderList, HeaderList][] = [
    ['65,536 bytes', pairs(100, 65_536), pairs(100, 65_537)],
    ['100 pairs', pairs(100, 5_000), pairs(101, 5_000)],
    ['100 values of one name', [['x', many.slice(0, -1)]], [['x', `${many}v`]]],
    // A sender of clear blocks leaves room for what does not compress.
    ...(keyId === 0
      ? []
      : ([
          ['a name that fills it', [['n'.repeat(65_504), '']], [['n'.repeat(65_505), '']]],
          ['a value that fills it', [['x', 'v'.repeat(65_503)]], [['x', 'v'.repeat(65_504)]]],
        ] as [string, HeaderList, HeaderList][])),
  ];

  test.each(table)('%s are the most: more ends the stream, and the session goes on', (_what, most, more) => {
    const peer = new ScriptedPeer({ keys: true });
    peer.establish({ keyId: 1 });
    peer.sees();
    const open = (streamId: number, headers: HeaderList): void => {
      const frame = { type: 'syn-stream', streamId, slot: keyId, block: block(headers) } as const;
      if (keyId === 0) peer.sends(frame);
      else peer.seals(keyId, frame);
    };
    const listed = most.flatMap(([name, value]) => value.split('\0').map((one) => [name, one]));
    open(1, most);
    expect(peer.take('stream')).toMatchObject({ id: 1, headers: listed });
    open(3, more);
    expect(peer.find('stream')).toBeUndefined();
    const refused = peer.sees().filter(({ type }) => type === 'rst-stream');
    expect(refused).toMatchObject([{ streamId: 3, status: RST.FRAME_TOO_LARGE }]);
    open(5, most);
    expect(peer.take('stream')).toMatchObject({ id: 5, headers: listed });
    expect(peer.session.error).toBeUndefined();
  });
});

describe('the longest frames (spec 1.7)', () => {
  const synHead = (length: number): Buffer =>
    Buffer.from(`80030001 00${length.toString(16).padStart(6, '0')}`.replaceAll(' ', ''), 'hex');

  test('SYN_STREAM of 65,546 bytes is waited for; of one more the head ends the session', () => {
    const peer = new ScriptedPeer();
    peer.receives(synHead(65_546));
    expect(peer.session.error).toBeUndefined();
    const other = new ScriptedPeer();
    other.receives(synHead(65_547));
    expectFailure(other, 'FRAME_TOO_LARGE');
  });

  test('an envelope of 66,578 bytes is waited for; of one more the head ends the session', () => {
    const sealedHead = (length: number): Buffer =>
      Buffer.from(`8003005300${length.toString(16).padStart(6, '0')}0100`, 'hex');
    const start = (): ScriptedPeer => {
      const peer = new ScriptedPeer({ keys: true });
      peer.establish({ keyId: 1 });
      return peer;
    };
    const peer = start();
    peer.receives(sealedHead(66_578));
    expect(peer.session.error).toBeUndefined();
    const other = start();
    other.receives(sealedHead(66_579));
    expectFailure(other, 'KEY_FAILURE');
  });
});
