import { describe, expect, test } from 'vitest';
import { HEADERS, ScriptedPeer, type SeenFrame } from '../../../test/support/scripted-peer.ts';
import { SessionPair } from '../../../test/support/session-pair.ts';
import { expectFailure } from './support.ts';

const MAX = 2 ** 31 - 1;
const settings = (id: number, value: number) =>
  ({ type: 'settings', clear: false, entries: [{ id, value, flags: 0 }] }) as const;

/** Payload bytes among frames, on one stream or all. */
function payload(frames: readonly SeenFrame[], id?: number): number {
  return frames
    .filter(({ type, streamId }) => type === 'data' && (id === undefined || streamId === id))
    .reduce((sum, { length }) => sum + (length as number), 0);
}

/** A client with `count` open streams, and a session window that is out of the way unless asked for. */
function client(count = 1, sessionWindow = MAX - 65_536): ScriptedPeer {
  const peer = new ScriptedPeer({ role: 'client' });
  if (sessionWindow > 0) peer.sends({ type: 'window-update', streamId: 0, delta: sessionWindow });
  for (let i = 0; i < count; i++) peer.session.open(HEADERS);
  peer.sees();
  return peer;
}

describe('what we send', () => {
  test('stops at the stream window and goes on with WINDOW_UPDATE', () => {
    const peer = client();
    peer.session.send(1, new Uint8Array(100_000));
    expect(payload(peer.sees())).toBe(65_536);
    expect(peer.find('drain')).toBeUndefined();
    peer.sends({ type: 'window-update', streamId: 1, delta: 1 });
    expect(payload(peer.sees())).toBe(1);
    peer.sends({ type: 'window-update', streamId: 1, delta: MAX });
    expect(payload(peer.sees())).toBe(100_000 - 65_537);
    expect(peer.types).toEqual(['drain']);
  });

  test('stops at the session window; streams then share what it gains', () => {
    const peer = client(3, 0);
    for (const id of [1, 3, 5]) peer.session.send(id, new Uint8Array(60_000));
    expect(payload(peer.sees())).toBe(65_536);
    peer.sends({ type: 'window-update', streamId: 0, delta: 10 });
    expect(payload(peer.sees())).toBe(10);
    peer.sends({ type: 'window-update', streamId: 0, delta: 1_000_000 });
    expect(payload(peer.sees())).toBe(180_000 - 65_546);
    expect(peer.types.filter((type) => type === 'drain')).toHaveLength(3);
  });

  test('headers, ends and resets need no window', () => {
    const peer = client(4, 0);
    peer.session.send(1, new Uint8Array(65_536));
    peer.sees();
    peer.session.send(3, new Uint8Array(5));
    peer.session.headers(5, HEADERS);
    peer.session.end(5);
    peer.session.reset(7);
    expect(peer.sees()).toMatchObject([
      { type: 'rst-stream', streamId: 7 },
      { type: 'headers', streamId: 5 },
      { type: 'data', streamId: 5, length: 0, fin: true },
    ]);
  });

  test('a reset stream waits for the session window no more', () => {
    const peer = client(2, 0);
    peer.session.send(1, new Uint8Array(70_000));
    peer.session.send(3, new Uint8Array(10));
    peer.sees();
    peer.session.reset(1);
    peer.sends({ type: 'window-update', streamId: 0, delta: 1000 });
    expect(peer.sees()).toMatchObject([{ type: 'rst-stream' }, { type: 'data', streamId: 3, length: 10 }]);
  });

  test('a window of exactly 65,536 is one frame', () => {
    const peer = client();
    peer.session.send(1, new Uint8Array(65_536));
    expect(peer.sees()).toMatchObject([{ type: 'data', length: 65_536 }]);
    expect(peer.types).toEqual(['drain']);
  });

  test('SETTINGS shrink windows below zero, and it takes that much to open them again', () => {
    const peer = client();
    peer.session.send(1, new Uint8Array(70_000));
    expect(payload(peer.sees())).toBe(65_536);
    peer.sends(settings(7, 1000)); // the window is -64,536 now
    peer.sends({ type: 'window-update', streamId: 1, delta: 64_536 });
    expect(peer.sees()).toEqual([]);
    peer.sends({ type: 'window-update', streamId: 1, delta: 7 });
    expect(payload(peer.sees())).toBe(7);
    peer.sends(settings(7, 2000));
    expect(payload(peer.sees())).toBe(1000);
    peer.session.open(HEADERS);
    peer.session.send(3, new Uint8Array(5000));
    expect(payload(peer.sees(), 3)).toBe(2000);
  });

  test('SETTINGS that shrink the window between the turns of a stream stop it', () => {
    const peer = client();
    peer.session.send(1, new Uint8Array(40_000));
    peer.sends(settings(7, 0));
    expect(peer.sees()).toEqual([]);
    peer.sends(settings(7, 65_536));
    expect(payload(peer.sees())).toBe(40_000);
  });

  test('of two entries with the same ID the first counts', () => {
    const peer = client();
    const entries = [10, 20].map((value) => ({ id: 7, value, flags: 0 }));
    const body = entries.map(({ value }) => `00000007${value.toString(16).padStart(8, '0')}`).join('');
    peer.receives(Buffer.from(`800300040000001400000002${body}`, 'hex'));
    peer.session.send(1, new Uint8Array(100));
    expect(payload(peer.sees())).toBe(10);
  });

  const overflows: [string, (peer: ScriptedPeer) => void][] = [
    ['the session window', (peer) => peer.sends({ type: 'window-update', streamId: 0, delta: 1 })],
    ['INITIAL_WINDOW_SIZE itself', (peer) => peer.sends(settings(7, 2 ** 31))],
    [
      'the window of a stream, by INITIAL_WINDOW_SIZE',
      (peer) => peer.sends({ type: 'window-update', streamId: 1, delta: 1 }, settings(7, MAX)),
    ],
  ];
  test.each(overflows)('%s beyond 2^31 - 1 ends the session', (_name, act) => {
    const peer = client();
    act(peer);
    expectFailure(peer, 'FLOW_CONTROL_ERROR');
  });
});

describe('what we receive', () => {
  /** A server with stream 1 open. */
  function server(config = {}): ScriptedPeer {
    const peer = new ScriptedPeer({ config: { streamWindow: 65_536, sessionWindow: 100_000, ...config } });
    peer.sends({ type: 'syn-stream', streamId: 1 });
    peer.sees();
    return peer;
  }

  test('the stream window is given back when the user has consumed half of it', () => {
    const peer = server();
    peer.sends({ type: 'data', streamId: 1, payload: Buffer.alloc(40_000) });
    expect(peer.sees()).toEqual([]);
    peer.session.consume(1, 32_767);
    expect(peer.sees()).toEqual([]);
    peer.session.consume(1, 1);
    expect(peer.sees()).toMatchObject([{ type: 'window-update', streamId: 1, delta: 32_768 }]);
  });

  test('the session window is given back at once: a stream that nobody reads stops no other', () => {
    const peer = server();
    peer.sends({ type: 'syn-stream', streamId: 3 });
    peer.sends({ type: 'data', streamId: 1, payload: Buffer.alloc(60_000) });
    expect(peer.sees()).toMatchObject([{ type: 'window-update', streamId: 0, delta: 60_000 }]);
    peer.sends({ type: 'data', streamId: 3, payload: Buffer.alloc(60_000) });
    expect(peer.received(3).length).toBe(60_000);
    expect(peer.session.error).toBeUndefined();
  });

  test('a frame that comes in pieces counts once', () => {
    const peer = server();
    const frame = peer.encode({ type: 'data', streamId: 1, payload: Buffer.alloc(60_000) });
    for (let at = 0; at < frame.length; at += 7000) peer.receives(frame.subarray(at, at + 7000));
    expect(peer.sees()).toMatchObject([{ type: 'window-update', streamId: 0, delta: 60_000 }]);
    peer.session.consume(1, 60_000);
    expect(peer.sees()).toMatchObject([{ type: 'window-update', streamId: 1, delta: 60_000 }]);
  });

  test('one byte beyond the stream window resets the stream, judged by the head alone', () => {
    const peer = server();
    peer.sends({ type: 'data', streamId: 1, payload: Buffer.alloc(65_536) });
    expect(peer.received(1).length).toBe(65_536);
    const frame = peer.encode({ type: 'data', streamId: 1, payload: 'x' });
    peer.receives(frame.subarray(0, 8));
    expect(peer.find('reset')).toBeUndefined(); // a frame is handed out with its first byte
    peer.receives(frame.subarray(8));
    expect(peer.take('reset')).toMatchObject({ id: 1, status: 7 });
    expect(peer.received(1).length).toBe(65_536);
  });

  test('one byte beyond the session window ends the session', () => {
    const peer = server({ streamWindow: 1_000_000 });
    const frame = peer.encode({ type: 'data', streamId: 1, payload: Buffer.alloc(100_001) });
    peer.receives(frame.subarray(0, 9));
    expectFailure(peer, 'FLOW_CONTROL_ERROR');
  });

  test('consumed payload of an ended stream is not given back', () => {
    const peer = server();
    peer.sends({ type: 'data', streamId: 1, payload: Buffer.alloc(40_000), fin: true });
    peer.session.consume(1, 40_000);
    expect(peer.sees()).toEqual([]);
  });
});

test('a slow reader slows the writer and loses nothing', () => {
  const pair = new SessionPair({ server: { streamWindow: 65_536, sessionWindow: 65_536 } });
  const { client: writer, server: reader } = pair;
  const bytes = Buffer.from(Array.from({ length: 1_000_000 }, (_, i) => i % 251));
  const id = writer.session.open(HEADERS);
  writer.session.send(id, bytes);
  writer.session.end(id);
  let consumed = 0;
  for (let round = 0; reader.find('end') === undefined; round++) {
    pair.settle();
    const held = reader.received(id).length - consumed;
    expect(held).toBeLessThanOrEqual(65_536);
    const bite = Math.min(held, 10_000);
    if (reader.find('end') === undefined) reader.session.consume(id, bite);
    consumed += bite;
    expect(round).toBeLessThan(1000);
  }
  expect(reader.received(id).equals(bytes)).toBe(true);
});
