import type { SessionConfig, WindowShare } from '@keymux/session';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LongPath, PlainShare } from '../../../test/support/long-path.ts';
import { ScriptedPeer } from '../../../test/support/scripted-peer.ts';
import { ReceiveWindow } from '../src/flow-window.ts';
import { WindowGrowth } from '../src/window-growth.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Rates in bytes a millisecond. */
const PATHS = [
  { rate: 12_500, roundTrip: 20 },
  { rate: 12_500, roundTrip: 100 },
  { rate: 12_500, roundTrip: 300 },
  { rate: 125_000, roundTrip: 100 },
  { rate: 50_000, roundTrip: 300 },
];

describe('a stream that is read gets what the path can carry (spec 2.5)', () => {
  test.each(PATHS)('down: $rate bytes/ms, $roundTrip ms', ({ rate, roundTrip }) => {
    const path = new LongPath({ rate, roundTrip });
    path.download(1000 * rate);
    path.run(60_000);
    // The next stream finds the path as it is known by now: a trip to ask, and no time lost.
    const bytes = 2000 * rate;
    path.download(bytes);
    const took = path.run(60_000) - roundTrip;
    expect(bytes / rate / took).toBeGreaterThan(0.95);
  });

  test.each(PATHS)('up: $rate bytes/ms, $roundTrip ms', ({ rate, roundTrip }) => {
    const path = new LongPath({ rate, roundTrip });
    path.upload(1000 * rate);
    path.run(60_000);
    const bytes = 2000 * rate;
    path.upload(bytes);
    const took = path.run(60_000) - 2 * roundTrip; // the answer is waited for, and the end is told
    expect(bytes / rate / took).toBeGreaterThan(0.95);
  });
});

test('pieces that are 200 ms late, one in a hundred, hold back little more than what is behind them', () => {
  let pieces = 0;
  const late = (): number => (++pieces % 100 === 0 ? 200 : 0);
  const path = new LongPath({ rate: 12_500, roundTrip: 20, late });
  path.download(40 * MIB);
  path.run(60_000);
  const bytes = 40 * MIB;
  path.download(bytes);
  const took = path.run(60_000);
  expect(bytes / 12_500 / took).toBeGreaterThan(0.6);
});

describe('what makes no window grow', () => {
  test('a reader that is slower than the window', () => {
    const share = new PlainShare();
    const path = new LongPath({ rate: 12_500, roundTrip: 100, share });
    path.readers.set(path.download(20 * MIB), 500);
    path.run(30_000);
    expect(path.client.received).toBeGreaterThan(10 * MIB);
    expect(share.taken).toBe(0);
    expect(path.client.mostUnread).toBeLessThanOrEqual(256 * KIB);
  });

  test('a short path: once or twice, after which no more comes than before', () => {
    const share = new PlainShare();
    const path = new LongPath({ rate: 50_000, roundTrip: 1, share });
    path.download(100 * MIB);
    path.run(1000);
    expect(share.taken).toBeLessThanOrEqual(MIB);
  });

  test('a path so short that it is rather processes that are busy: at most 4 MiB, however fast it is', () => {
    const share = new PlainShare();
    const path = new LongPath({ rate: 250_000, roundTrip: 4, share });
    path.download(400 * MIB);
    path.run(1500);
    expect(share.taken).toBe(4 * MIB - 256 * KIB);
  });

  test('the same for streams one after the other, as each is alone', () => {
    const share = new PlainShare();
    const path = new LongPath({ rate: 250_000, roundTrip: 3, share });
    path.download(300 * MIB);
    path.run(5000);
    expect(share.taken).toBe(0);
    path.download(300 * MIB);
    path.run(500);
    expect(share.taken).toBe(4 * MIB - 256 * KIB);
  });

  test('the same beside another stream that something comes on: at most 1 MiB', () => {
    const share = new PlainShare();
    const path = new LongPath({ rate: 250_000, roundTrip: 4, share });
    path.download(400 * MIB);
    path.download(400 * MIB);
    path.run(1000);
    expect(share.taken).toBe(2 * 768 * KIB);
  });

  test('a slow link, whose queue makes the round trip look long: at most twice what each stream had', () => {
    const share = new PlainShare();
    const path = new LongPath({ rate: 125, roundTrip: 50, share });
    for (let i = 0; i < 5; i++) path.download(4 * MIB);
    path.run(120_000);
    expect(path.client.received).toBeGreaterThan(12 * MIB);
    expect(share.taken).toBeLessThanOrEqual(5 * 256 * KIB);
  });

  test('a peer that answers no PING', () => {
    const share = new PlainShare();
    const peer = new Peer(share);
    for (let i = 0; i < 100; i++) peer.sendsWindow(10);
    expect(share.taken).toBe(0);
  });
});

/** A server whose peer does as the test says, in simulated time. The application reads at once. */
class Peer {
  readonly scripted: ScriptedPeer;
  readonly #streams = new Map<number, number>();
  #unanswered: number | undefined;

  constructor(share: WindowShare, config: Partial<SessionConfig> = {}, keys = false) {
    this.scripted = new ScriptedPeer({ windowShare: share, config, keys });
    this.opens(1);
  }

  opens(id: number): void {
    this.scripted.sends({ type: 'syn-stream', streamId: id });
    this.#streams.set(id, 256 * KIB);
    this.look();
  }

  /** What the server says: larger windows, PINGs. */
  look(): void {
    for (const frame of this.scripted.sees()) {
      const [id, delta] = [frame.streamId as number, frame.delta as number];
      if (frame.type === 'window-update' && id > 0) this.#streams.set(id, this.window(id) + delta);
      if (frame.type === 'ping') this.#unanswered = frame.id as number;
    }
  }

  window(id = 1): number {
    return this.#streams.get(id) as number;
  }

  answersPing(): void {
    if (this.#unanswered !== undefined) this.scripted.sends({ type: 'ping', id: this.#unanswered });
    this.#unanswered = undefined;
    this.look();
  }

  /** Sends some of what it may, which the application reads at once. */
  sends(bytes: number, id = 1): void {
    for (let left = bytes; left > 0; left -= 64 * KIB)
      this.scripted.sends({ type: 'data', streamId: id, payload: Buffer.alloc(Math.min(left, 64 * KIB)) });
    this.#streams.set(id, this.window(id) - bytes);
    this.scripted.session.consume(id, bytes, this.scripted.now);
    this.look();
  }

  /** Sends all that it may, of which the application reads `read`, and lets time pass. */
  sendsWindow(ms: number, id = 1, read = Number.POSITIVE_INFINITY): void {
    const bytes = this.window(id);
    for (let left = bytes; left > 0; left -= 64 * KIB)
      this.scripted.sends({ type: 'data', streamId: id, payload: Buffer.alloc(Math.min(left, 64 * KIB)) });
    this.#streams.set(id, 0);
    this.scripted.session.consume(id, Math.min(bytes, read), this.scripted.now);
    this.look();
    this.scripted.now += ms;
  }
}

describe('windows that have become too large', () => {
  /** A peer that seems to be 10 ms away, and has been given a window for that. */
  function faraway(): { peer: Peer; share: PlainShare; large: number } {
    const share = new PlainShare();
    const peer = new Peer(share);
    peer.sendsWindow(10);
    peer.answersPing();
    for (let i = 0; i < 6; i++) peer.sendsWindow(2);
    expect(peer.window()).toBeGreaterThan(4 * MIB);
    return { peer, share, large: peer.window() };
  }

  test('shrink when the path turns out to be short: the peer is told nothing until it has used what is too much', () => {
    const { peer, share, large } = faraway();
    peer.scripted.now += 100;
    peer.sendsWindow(1); // asked how far away it is
    expect(peer.window()).toBe(large);
    peer.answersPing();
    peer.sends(MIB);
    expect(peer.window()).toBe(large - MIB);
    expect(share.taken).toBe(large - 256 * KIB); // it may still fill it
    peer.sendsWindow(1);
    expect(peer.window()).toBe(4 * MIB);
    peer.sends(MIB);
    expect(share.taken).toBe(4 * MIB - 256 * KIB);
    expect(peer.window()).toBe(4 * MIB);
    expect(peer.scripted.session.error).toBeUndefined();
  });

  test('shrink when something comes on another stream, and grow again when it was alone for a second', () => {
    const { peer, share } = faraway();
    peer.scripted.now += 100;
    peer.sendsWindow(1);
    peer.answersPing();
    peer.sendsWindow(1);
    peer.sendsWindow(1);
    expect(peer.window()).toBe(4 * MIB);
    peer.opens(3);
    peer.sends(1, 3);
    for (let i = 0; i < 3; i++) peer.sendsWindow(1);
    expect(peer.window()).toBe(MIB);
    peer.sendsWindow(1);
    expect(share.taken).toBe(768 * KIB);
    peer.scripted.now += 1000;
    for (let i = 0; i < 20; i++) peer.sendsWindow(2); // not faster than when it grew before
    expect(peer.window()).toBe(4 * MIB);
  });

  test('are as large as they were if a stream ends meanwhile, and all of it is given back', () => {
    const { peer, share, large } = faraway();
    peer.scripted.now += 100;
    peer.sendsWindow(1);
    peer.answersPing();
    peer.sends(MIB);
    expect(share.taken).toBe(large - 256 * KIB);
    peer.scripted.sends({ type: 'rst-stream', streamId: 1, status: 5 });
    expect(share.taken).toBe(0);
  });

  test('take their place also in the process that goes on with the session', () => {
    const window = new ReceiveWindow(256 * KIB, 256 * KIB);
    window.grow(8 * MIB);
    window.tell();
    window.shrink(MIB);
    expect(window.tell()).toBe(0);
    const share = new PlainShare();
    new WindowGrowth(share, 100 * MIB).adopt(window);
    expect(share.taken).toBe(8 * MIB);
  });
});

test('the round trip is measured again soon, while code is cold and nothing waits yet, and then seldom', () => {
  const growth = new WindowGrowth(new PlainShare(), MIB);
  const measured: number[] = [];
  for (let now = 0; now < 40_000; now += 10) if (growth.wantsMeasure(now)) measured.push(now);
  expect(measured).toEqual([0, 100, 300, 700, 1500, 3100, 6300, 12_700, 22_700, 32_700]);
});

describe('whatever a peer does, windows are bounded', () => {
  test('one that answers PINGs late, and sends ever faster, has what it may have together and no more', () => {
    const share = new PlainShare(10 * MIB);
    const peer = new Peer(share);
    peer.sendsWindow(5000);
    peer.answersPing();
    for (let i = 0; i < 10; i++) peer.sendsWindow(1000);
    expect(share.taken).toBe(10 * MIB);
    expect(peer.window()).toBeLessThanOrEqual(10 * MIB + 256 * KIB);
    expect(peer.scripted.session.error).toBeUndefined();
    // All of it, on a stream that nobody reads, and one byte besides.
    peer.sendsWindow(1, 1, 0);
    peer.scripted.sends({ type: 'data', streamId: 1, payload: 'x' });
    expect(peer.scripted.take('reset')).toMatchObject({ id: 1, status: 7 });
  });

  test('one that takes long to answer is taken for a second away at most: what is slow beside that is slow', () => {
    const share = new PlainShare();
    const peer = new Peer(share);
    peer.sendsWindow(60_000);
    peer.answersPing();
    for (let i = 0; i < 50; i++) peer.sendsWindow(4000);
    expect(share.taken).toBe(0);
  });

  test('not beyond the session window', () => {
    const share = new PlainShare();
    const peer = new Peer(share, { sessionWindow: 2 * MIB });
    peer.sendsWindow(100);
    peer.answersPing();
    for (let i = 0; i < 10; i++) peer.sendsWindow(100);
    expect(share.taken).toBe(2 * MIB - 256 * KIB);
  });

  test('what a stream had grown by is given back when it is over and read; the next one has it, and no two of them', () => {
    const share = new PlainShare();
    const peer = new Peer(share);
    peer.sendsWindow(100);
    peer.answersPing();
    for (let i = 0; i < 4; i++) peer.sendsWindow(100);
    peer.sendsWindow(1, 1, peer.window() - 100_000);
    const grown = share.taken;
    expect(grown).toBeGreaterThan(MIB);
    peer.scripted.sends({ type: 'data', streamId: 1, payload: '', fin: true });
    const { session } = peer.scripted;
    session.reply(1, [[':status', '200']], { fin: true });
    peer.look();
    expect(session.isOpen(1)).toBe(false);
    expect(share.taken).toBe(grown); // somebody still holds what nobody has read
    session.consume(1, 99_999);
    expect(share.taken).toBe(grown);
    session.consume(1, 1);
    expect(share.taken).toBe(0);
    const windows = [3, 5].map((id) => {
      peer.opens(id);
      const window = peer.window(id);
      session.reply(id, [[':status', '200']]);
      peer.look();
      expect(peer.window(id)).toBe(window);
      return window;
    });
    expect(windows).toEqual([256 * KIB + grown, 256 * KIB]);
    expect(share.taken).toBe(grown);
    peer.scripted.sends({ type: 'rst-stream', streamId: 3, status: 5 });
    expect(share.taken).toBe(0);
  });

  test('a stream with its payload outside has it with the answer, which can still be under another key', () => {
    const peer = new Peer(new PlainShare(), {}, true);
    const { scripted } = peer;
    for (const keyId of [1, 2]) scripted.establish({ keyId, authority: 'a' });
    peer.sendsWindow(100);
    peer.answersPing();
    for (let i = 0; i < 4; i++) peer.sendsWindow(100);
    scripted.sends({ type: 'rst-stream', streamId: 1, status: 5 });
    scripted.seals(1, { type: 'syn-stream', streamId: 3, slot: 1, payloadOutside: true });
    expect(scripted.sees()).toEqual([]);
    scripted.session.reply(3, [[':status', '200']], { keyId: 2 });
    const frames = scripted.sees();
    expect(frames).toMatchObject([
      { under: 2, type: 'key-switch' },
      { under: 2, type: 'syn-reply' },
      { under: 2, type: 'window-update', streamId: 3 },
    ]);
    expect(frames[2]?.delta).toBeGreaterThan(MIB);
  });

  test('a session without a share has the windows that it began with', () => {
    const peer = new ScriptedPeer();
    peer.sends({ type: 'syn-stream', streamId: 1 });
    peer.sends(
      { type: 'data', streamId: 1, payload: Buffer.alloc(60_000) },
      { type: 'data', streamId: 1, payload: Buffer.alloc(60_000) },
      { type: 'data', streamId: 1, payload: Buffer.alloc(60_000) },
    );
    peer.sees();
    peer.session.consume(1, 180_000, 5);
    expect(peer.sees()).toMatchObject([{ type: 'window-update', streamId: 1, delta: 180_000 }]);
  });
});

/** The rule of spec 2.5 without shortcuts: all that ever came and was read is kept, and looked at again each time. */
class Reference {
  static readonly begins = 256 * KIB;
  size = Reference.begins;
  told = Reference.begins;
  received = 0;
  read = 0;
  /** What it has of the share. */
  taken = 0;
  /** What had been read at each look. */
  readonly #looks: { at: number; read: number }[] = [];
  #decided: { at: number; read: number } | undefined;
  #rate = 0;

  /** Returns what the peer is told. */
  reads(bytes: number, path: { now: number; trips: number[]; came: Came[] }, room: () => number): number {
    this.read += bytes;
    const untold = (): number => this.read + this.size - this.told;
    if (untold() < Math.min(this.size / 2, MIB)) return 0;
    this.#looks.push({ at: path.now, read: this.read });
    this.#decide(path, room);
    const delta = Math.max(0, untold());
    this.told += delta;
    return delta;
  }

  #decide({ now, trips, came }: { now: number; trips: number[]; came: Came[] }, room: () => number): void {
    this.taken = Math.max(this.size, this.told - this.read) - Reference.begins;
    this.#decided ??= this.#looks[0] as { at: number; read: number };
    if (trips.length === 0) return;
    const trip = trips.reduce((known, measured) => Math.min(measured, known * 1.1, 1000), 1e9);
    const changes = came.filter(({ stream }, i) => i > 0 && stream !== came[i - 1]?.stream);
    const alone = changes.every(({ at }) => now - at >= 1000);
    const short = (alone ? 4 : 1) * MIB;
    if (trip <= 5 && this.size > short) {
      this.size = short;
      this.#rate = 0;
    }
    const elapsed = now - this.#decided.at;
    if (elapsed <= 0 || elapsed < 0.75 * trip) return;
    const rate = (this.read - this.#decided.read) / elapsed;
    if (this.size < 3 * rate * trip && rate > 1.25 * this.#rate) {
      const wanted = Math.ceil(Math.min(6 * rate * trip, short + 6 * rate * Math.max(0, trip - 5)));
      const more = Math.max(0, Math.min(wanted - this.size, room()));
      this.size += more;
      this.taken += more;
      if (more > 0) this.#rate = rate;
    }
    this.#decided = this.#looks.at(-1);
  }
}

interface Came {
  readonly stream: number;
  readonly at: number;
}

test('windows do as the reference does, whatever comes and is read when', () => {
  const stream = fc.constantFrom(0, 0, 0, 1);
  const portion = fc.constantFrom(1, 4, 8, 8, 8, 8);
  const ms = (min: number, max: number) => fc.double({ min, max, noNaN: true });
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ act: fc.constant('comes' as const), stream, portion }) },
    { weight: 6, arbitrary: fc.record({ act: fc.constant('is read' as const), stream, portion }) },
    { weight: 5, arbitrary: fc.record({ act: fc.constant('time' as const), ms: ms(0, 80) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('time' as const), ms: ms(900, 1100) }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('pong' as const), ms: ms(50, 1500) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('pong' as const), ms: ms(1, 20) }) },
  );
  let [grown, shrunk] = [0, 0];
  const property = fc.property(fc.array(step, { minLength: 100, maxLength: 400 }), (steps) => {
    const most = 12 * MIB;
    const share = new PlainShare();
    const growth = new WindowGrowth(share, most);
    const windows = [0, 1].map(() => new ReceiveWindow(Reference.begins, Reference.begins));
    const references = [new Reference(), new Reference()];
    const path = { now: 0, trips: [] as number[], came: [] as Came[] };
    const taken = (): number => references.reduce((sum, { taken }) => sum + taken, 0);
    for (const next of steps) {
      if (next.act === 'time') path.now += next.ms;
      else if (next.act === 'pong') {
        path.trips.push(next.ms);
        growth.measured(next.ms);
      } else {
        const window = windows[next.stream] as ReceiveWindow;
        const reference = references[next.stream] as Reference;
        if (next.act === 'comes') {
          const bytes = Math.floor(((reference.told - reference.received) * next.portion) / 8);
          reference.received += bytes;
          path.came.push({ stream: next.stream, at: path.now });
          expect(window.receive(bytes)).toBe(true);
          growth.received(window, path.now);
          expect(window.receive(reference.told - reference.received + 1)).toBe(false);
        } else {
          const bytes = Math.floor(((reference.received - reference.read) * next.portion) / 8);
          const before = reference.size;
          const told = reference.reads(bytes, path, () => most - taken());
          let delta = 0;
          if (window.consume(bytes)) {
            growth.drained(window, path.now);
            delta = window.tell();
          }
          expect(delta).toBe(told);
          if (reference.size < before) shrunk++;
        }
      }
      expect(windows.map(({ size }) => size)).toEqual(references.map(({ size }) => size));
      expect(share.taken).toBe(taken());
      expect(taken()).toBeLessThanOrEqual(most);
    }
    grown += taken();
    for (const [id, window] of windows.entries()) {
      growth.ended(id, window);
      growth.consumed(id, window.held);
    }
    expect(share.taken).toBe(0);
  });
  fc.assert(property, { numRuns: 100 });
  expect(grown).toBeGreaterThan(0);
  expect(shrunk).toBeGreaterThan(0);
});
