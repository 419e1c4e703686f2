import { describe, expect, test } from 'vitest';
import { HEADERS, ScriptedPeer, type SeenFrame } from '../../../test/support/scripted-peer.ts';
import { SessionPair } from '../../../test/support/session-pair.ts';

const bulk = new Uint8Array(10_000_000);

/** A client without windows, with one stream for each priority given. */
function client(...priorities: number[]): ScriptedPeer {
  const peer = new ScriptedPeer({ role: 'client', keys: true });
  const open = { id: 7, value: 2 ** 31 - 1, flags: 0 };
  peer.sends({ type: 'settings', clear: false, entries: [open] });
  peer.sends({ type: 'window-update', streamId: 0, delta: 2 ** 31 - 1 - 65_536 });
  for (const priority of priorities) peer.session.open(HEADERS, { priority });
  peer.sees();
  return peer;
}

/** The next `count` turns: the streams that sent payload, in order. */
function turns(peer: ScriptedPeer, count: number): number[] {
  const ids: number[] = [];
  while (ids.length < count) {
    const output = peer.session.output(1);
    if (output === undefined) break;
    for (const piece of output) if (piece.length === 8) ids.push(Buffer.from(piece).readUInt32BE(0));
  }
  return ids;
}

describe('turns (spec 2.9)', () => {
  test('streams of one priority take turns of 65,536 bytes', () => {
    const peer = client(3, 3, 3);
    for (const id of [1, 3, 5]) peer.session.send(id, bulk);
    expect(turns(peer, 7)).toEqual([1, 3, 5, 1, 3, 5, 1]);
  });

  test('a priority has twice the turns of the next, and nobody starves', () => {
    const peer = client(0, 1, 7);
    for (const id of [1, 3, 5]) peer.session.send(id, bulk);
    const first = turns(peer, 128 + 64 + 1);
    expect(first.filter((id) => id === 1)).toHaveLength(Math.min(128, Math.ceil(bulk.length / 65_536)));
    expect(first.filter((id) => id === 3)).toHaveLength(64);
    expect(first.filter((id) => id === 5)).toHaveLength(1);
    expect(first.slice(0, 100).every((id) => id === 1)).toBe(true);
  });

  test('a low priority alone is not slowed down', () => {
    const peer = client(7);
    peer.session.send(1, new Uint8Array(65_536 * 3));
    expect(turns(peer, 10)).toEqual([1, 1, 1]);
  });

  test('session frames, opening, answers and windows do not wait for payload', () => {
    const peer = client(0);
    peer.session.send(1, bulk);
    peer.sees(1);
    const other = new ScriptedPeer({ role: 'client' });
    other.session.open(HEADERS);
    peer.session.send(1, bulk);
    const ping = peer.session.ping();
    peer.session.open(HEADERS, { priority: 7 });
    const seen: SeenFrame[] = peer.sees();
    expect(seen.slice(0, 2)).toMatchObject([{ type: 'ping', id: ping }, { type: 'syn-stream' }]);
  });

  test('output comes in portions of about what was asked for', () => {
    const peer = client(3);
    peer.session.send(1, bulk);
    for (const most of [1, 1000, 100_000, 500_000]) {
      const bytes = peer.session.output(most)?.reduce((sum, piece) => sum + piece.length, 0) ?? 0;
      expect(bytes).toBeGreaterThanOrEqual(most);
      expect(bytes).toBeLessThanOrEqual(most + 66_600);
    }
  });

  test('large payload in the clear is passed on without a copy', () => {
    const peer = client(3);
    const bytes = Buffer.alloc(100_000, 'x');
    peer.session.send(1, bytes);
    const output = peer.session.output() ?? [];
    expect(output.filter((piece) => piece.buffer === bytes.buffer)).toHaveLength(2);
  });
});

describe('envelopes (spec 4.1)', () => {
  function sealed(config = {}): ScriptedPeer {
    const peer = new ScriptedPeer({ role: 'client', keys: true, config });
    peer.sends({ type: 'settings', clear: false, entries: [{ id: 7, value: 2 ** 30, flags: 0 }] });
    peer.sends({ type: 'window-update', streamId: 0, delta: 2 ** 30 });
    peer.establish({ keyId: 1 });
    peer.sees();
    return peer;
  }

  test('many small frames of many streams leave in one', () => {
    const peer = sealed();
    for (let i = 0; i < 100; i++) {
      const id = peer.session.open(HEADERS, { keyId: 1 });
      peer.session.send(id, Buffer.from(`body ${i}`));
      peer.session.end(id);
    }
    const seen = peer.sees();
    expect(seen).toHaveLength(200);
    expect(new Set(seen.map(({ envelope }) => envelope)).size).toBe(1);
  });

  test('a full one has 65,536 bytes of payload, also behind KEY_UPDATE', () => {
    const peer = sealed();
    const id = peer.session.open(HEADERS, { keyId: 1 });
    peer.sees();
    peer.establish({ keyId: 1, generation: 1 });
    peer.session.send(id, new Uint8Array(65_536 * 2));
    const seen = peer.sees();
    expect(seen).toMatchObject([{ type: 'key-update' }, { length: 65_536 }, { length: 65_536 }]);
    expect(seen[0]?.envelope).toBe(seen[1]?.envelope);
    expect(seen[2]?.envelope).not.toBe(seen[1]?.envelope);
  });

  test('a frame that does not fit begins another', () => {
    const peer = sealed();
    const id = peer.session.open(HEADERS, { keyId: 1 });
    peer.session.send(id, new Uint8Array(60_000));
    peer.session.send(id, new Uint8Array(60_000));
    const seen = peer.sees();
    expect(seen.map(({ length }) => length)).toEqual([undefined, 60_000, 60_000]);
    expect(seen[1]?.envelope).not.toBe(seen[2]?.envelope);
  });

  test('a closed window leaves no empty envelope behind', () => {
    const peer = sealed();
    const id = peer.session.open(HEADERS, { keyId: 1 });
    peer.session.send(id, new Uint8Array(10));
    peer.sends({ type: 'settings', clear: false, entries: [{ id: 7, value: 0, flags: 0 }] });
    expect(peer.sees()).toMatchObject([{ type: 'syn-stream' }]);
    expect(peer.sees()).toEqual([]);
    expect(peer.session.error).toBeUndefined();
  });

  test.each([
    ['fixed', 1024],
    ['padme', 32],
  ] as const)('%s padding rounds the plaintext up', (padding, step) => {
    for (let size = 900; size < 1100; size += 7) {
      const peer = sealed({ padding });
      const id = peer.session.open(HEADERS, { keyId: 1 });
      peer.session.send(id, new Uint8Array(size));
      const bytes = peer.output();
      expect((bytes.length - 26) % step).toBe(0);
    }
  });

  test.each(['fixed', 'padme'] as const)('%s padding fills what is nearly full', (padding) => {
    for (const size of [65_536, 65_000, 66_000]) {
      const peer = sealed({ padding });
      const id = peer.session.open(HEADERS, { keyId: 1 });
      peer.sees();
      peer.session.send(id, new Uint8Array(size));
      const seen = peer.sees();
      expect(seen.at(-1)?.type).toBe('padding');
      expect(peer.session.error).toBeUndefined();
    }
  });

  test('what is padded is read as if it were not', () => {
    const pair = new SessionPair({ keys: true, client: { padding: 'padme' }, server: { padding: 'fixed' } });
    pair.establish({ keyId: 1 });
    const id = pair.client.session.open(HEADERS, { keyId: 1 });
    pair.client.session.send(id, Buffer.from('hello'));
    pair.client.session.end(id);
    pair.settle();
    pair.server.session.reply(id, [[':status', '200']], { fin: true });
    pair.settle();
    expect(pair.server.received(id).toString()).toBe('hello');
    expect([pair.client.session.streamCount, pair.server.session.streamCount]).toEqual([0, 0]);
  });
});
