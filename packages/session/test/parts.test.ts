import { describe, expect, test } from 'vitest';
import { createSha256, sha256 } from '../../../test/support/fake-keys.ts';
import { Accounts, DEFAULT_BUDGETS } from '../src/budgets.ts';
import { Fifo } from '../src/fifo.ts';
import { ReceiveWindow, SendWindow } from '../src/flow-window.ts';
import { paddingFor, plaintextLimit } from '../src/padding.ts';
import { leaveQueue, SendQueue } from '../src/send-queue.ts';
import { SessionDigest } from '../src/session-digest.ts';
import { Stream } from '../src/stream.ts';

function stream(id: number, priority = 3): Stream {
  const fields = { id, ours: true, priority, payloadOutside: false, openedUnder: 0, syn: undefined };
  return new Stream(fields, 65_536, 65_536);
}

describe('Fifo', () => {
  test('is what an array with push and shift is', () => {
    const fifo = new Fifo<number>();
    const array: number[] = [];
    for (let i = 0; i < 2000; i++) {
      if (i % 3 === 0 || i % 7 === 0) expect(fifo.shift()).toBe(array.shift());
      else {
        fifo.push(i);
        array.push(i);
      }
      expect([fifo.length, fifo.peek()]).toEqual([array.length, array[0]]);
    }
    fifo.clear();
    expect([fifo.length, fifo.peek(), fifo.shift()]).toEqual([0, undefined, undefined]);
  });

  test('inserts behind the last match, or in front', () => {
    const fifo = new Fifo<string>();
    for (const item of ['gone', 'a', 'x', 'b', 'x', 'c']) fifo.push(item);
    fifo.shift();
    fifo.insertBehindLast((item) => item === 'x', '1');
    fifo.insertBehindLast((item) => item === 'gone', '0');
    const items: (string | undefined)[] = [];
    while (fifo.length > 0) items.push(fifo.shift());
    expect(items.join('')).toBe('0axbx1c');
  });
});

describe('SendQueue', () => {
  test('a stream that leaves is not taken, from any place', () => {
    for (const leaver of [0, 1, 2]) {
      const queue = new SendQueue();
      const streams = [stream(1), stream(3), stream(5)];
      for (const entry of streams) queue.add(entry);
      queue.add(streams[0] as Stream); // a second time: no effect
      leaveQueue(streams[leaver] as Stream);
      leaveQueue(streams[leaver] as Stream);
      const taken = [queue.take(), queue.take(), queue.take()];
      expect(taken).toEqual([...streams.filter((_, i) => i !== leaver), undefined]);
      expect(queue.empty).toBe(true);
    }
  });

  test('every priority gets its share in every round', () => {
    const queue = new SendQueue();
    const counts = new Array(8).fill(0);
    for (let priority = 0; priority < 8; priority++) queue.add(stream(2 * priority + 1, priority));
    for (let i = 0; i < 255 * 10; i++) {
      const entry = queue.take() as Stream;
      counts[entry.priority]++;
      queue.add(entry);
    }
    expect(counts).toEqual([1280, 640, 320, 160, 80, 40, 20, 10]);
  });
});

describe('windows', () => {
  test('SendWindow goes below zero and up to 2^31 - 1, not beyond', () => {
    const window = new SendWindow(10);
    window.spend(10);
    expect(window.grant(-65_536)).toBe(true);
    expect(window.left).toBe(-65_536);
    expect(window.grant(2 ** 31 - 1 + 65_536)).toBe(true);
    expect(window.grant(1)).toBe(false);
    expect(window.left).toBe(2 ** 31 - 1);
  });

  test('ReceiveWindow never gives back more than was consumed', () => {
    const window = new ReceiveWindow(100, 100);
    expect([window.receive(101), window.receive(100), window.receive(1)]).toEqual([false, true, false]);
    const consume = (bytes: number): number => (window.consume(bytes) ? window.tell() : 0);
    expect([consume(49), consume(1), consume(50)]).toEqual([0, 50, 50]);
    expect(window.held).toBe(0);
    expect([window.receive(101), window.receive(100)]).toEqual([false, true]);
  });
});

describe('padding (spec 4.1)', () => {
  test.each(['fixed', 'padme'] as const)('%s: a frame or none, never beyond an envelope', (policy) => {
    for (let size = 8; size <= plaintextLimit(policy); size++) {
      const gap = paddingFor(policy, size);
      if (gap !== 0 && (gap < 8 || size + gap > 66_560)) expect([size, gap]).toBe('a gap that is no frame');
      if (policy === 'fixed' && (size + gap) % 1024 !== 0) expect(size).toBe('a size that is not rounded');
    }
  });

  test('padme leaves few sizes', () => {
    const sizes = new Set<number>();
    for (let size = 8; size <= plaintextLimit('padme'); size++) sizes.add(size + paddingFor('padme', size));
    expect(sizes.size).toBeLessThan(200);
    expect(Math.max(...sizes)).toBe(66_560);
  });

  test('none is none', () => {
    expect([paddingFor('none', 9), plaintextLimit('none')]).toEqual([0, 66_560]);
  });
});

test('SessionDigest is SHA-256 of all pieces, whatever their size', () => {
  const digest = new SessionDigest(createSha256);
  const pieces: Uint8Array[] = [];
  for (const size of [1, 8, 4088, 4096, 4097, 100_000, 3, 0, 5000, 4095]) {
    const piece = Buffer.alloc(size, size % 251);
    pieces.push(piece);
    digest.update(piece);
    expect(Buffer.from(digest.snapshot())).toEqual(Buffer.from(sha256(pieces)));
  }
});

test('Accounts count in tokens that grow back, and never above the burst', () => {
  const accounts = new Accounts({ ...DEFAULT_BUDGETS, pings: { burst: 2, perSecond: 2 } });
  accounts.spend('pings', 0);
  accounts.spend('pings', 1_000_000);
  accounts.spend('pings', 1_000_000);
  expect(() => accounts.spend('pings', 1_000_000)).toThrow(/budget "pings"/);
  accounts.spend('pings', 1_002_000);
});
