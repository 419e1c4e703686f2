import { createHash, randomBytes } from 'node:crypto';
import type { StateReader } from '@keymux/frames';
import { MovableSha256 } from '@keymux/keys';
import {
  DEFAULT_BUDGETS,
  DEFAULT_CONFIG,
  handOverId,
  Session,
  SessionError,
  UsageError,
} from '@keymux/session';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FakeKeys, newWorld } from './support/fake-keys.ts';
import { type Mover, MovingPair } from './support/moving-pair.ts';
import { HEADERS } from './support/scripted-peer.ts';

/**
 * The same conversation is held twice: once as it is, and once with either side handed over at random moments to a process that knows nothing
 * but the blob. Everybody has to hear the same and say the same, and no nonce may come twice (FakeKeys sees to that).
 */

type Side = 'client' | 'server';
const KEYS = [1, 3, 5];

/** One thing that is done. What is impossible is refused, in both conversations alike. */
type Step = (pair: MovingPair, handsOver: boolean) => void;

const side = fc.constantFrom<Side>('client', 'server');
const pick = fc.nat(1_000);
/** Those with two digits are negotiated on the way. */
const key = fc.constantFrom(0, ...KEYS, 11, 12);

const open = fc
  .record({ side, keyId: key, payloadOutside: fc.boolean(), priority: fc.nat(7), fin: fc.boolean() })
  .map(
    ({ side, ...options }): Step =>
      (pair) =>
        pair[side].try((session) => pair.opened.push(session.open(HEADERS, options))),
  );
const reply = fc.record({ side, pick, keyId: key, fin: fc.boolean() }).map(
  ({ side, pick, keyId, fin }): Step =>
    (pair) =>
      pair[side].try((session) =>
        session.reply(pair.someStream(pick), HEADERS, keyId === 0 ? { fin } : { fin, keyId }),
      ),
);
const send = fc
  .record({ side, pick, size: fc.oneof(fc.nat(50), fc.nat(5_000), fc.nat(100_000)), byte: fc.nat(255) })
  .map(
    ({ side, pick, size, byte }): Step =>
      (pair) =>
        pair[side].try((session) => session.send(pair.someStream(pick), Buffer.alloc(size, `${byte}.`))),
  );
const headers = fc.record({ side, pick, length: fc.nat(600) }).map(
  ({ side, pick, length }): Step =>
    (pair) =>
      pair[side].try((session) =>
        session.headers(pair.someStream(pick), [['x-more', `m${'y'.repeat(length)}`]]),
      ),
);
const end = fc.record({ side, pick }).map(
  ({ side, pick }): Step =>
    (pair) =>
      pair[side].try((session) => session.end(pair.someStream(pick))),
);
const reset = fc.record({ side, pick }).map(
  ({ side, pick }): Step =>
    (pair) =>
      pair[side].try((session) => session.reset(pair.someStream(pick))),
);
const switchKey = fc.record({ side, pick, keyId: fc.constantFrom(...KEYS, 11, 12) }).map(
  ({ side, pick, keyId }): Step =>
    (pair) =>
      pair[side].try((session) => session.switchKey(pair.someStream(pick), keyId)),
);
const consume = fc.record({ side, pick, share: fc.double({ min: 0, max: 1, noNaN: true }) }).map(
  ({ side, pick, share }): Step =>
    (pair) => {
      const mover = pair[side];
      const id = pair.someStream(pick);
      const pieces = mover.received.get(id) ?? [];
      const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
      // More than is there is refused.
      mover.try((session) => session.consume(id, Math.floor(bytes * share)));
    },
);
const ping = side.map(
  (side): Step =>
    (pair) =>
      void pair[side].session.ping(pair[side].at(pair.time)),
);
/** A run of two messages whose key is made of both session digests: envelopes open only if those agree. */
const negotiate = side.map(
  (side): Step =>
    (pair) => {
      const keyId = pair.nextKeyId(side);
      pair[side].keys.negotiate(keyId);
      pair[side].session.keysProgressed(pair[side].at(pair.time));
    },
);
const generation = fc.constant<Step>((pair) => {
  const generation = (pair.client.keys.sender(5)?.generation ?? 0) + 1;
  if (generation > 5) return;
  for (const mover of [pair.client, pair.server]) {
    mover.keys.install({ keyId: 5, authority: 'host', generation });
    mover.session.keysProgressed(mover.at(pair.time));
  }
});
const retire = fc.record({ side, keyId: fc.constantFrom(3, 5) }).map(
  ({ side, keyId }): Step =>
    (pair) =>
      pair[side].try((session) => session.retireKey(keyId)),
);
const goAway = side.map(
  (side): Step =>
    (pair) =>
      pair[side].session.goAway(0, pair[side].at(pair.time)),
);
const wait = fc.integer({ min: 1, max: 20_000 }).map(
  (ms): Step =>
    (pair) => {
      pair.time += ms;
      for (const mover of [pair.client, pair.server]) {
        const next = mover.session.nextDeadline();
        if (next !== undefined && next <= mover.at(pair.time))
          mover.session.handleDeadline(mover.at(pair.time));
        mover.poll();
      }
    },
);
const most = fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 300_000 }));
const ask = fc.record({ side, most }).map(
  ({ side, most }): Step =>
    (pair) =>
      void pair.ask(pair[side], most),
);
const carry = fc.record({ side, most, size: most }).map(
  ({ side, most, size }): Step =>
    (pair) => {
      pair.ask(pair[side], most);
      pair.carry(pair[side], most, size);
    },
);
const move = fc.record({ side, ahead: fc.integer({ min: -1_000_000, max: 1_000_000 }) }).map(
  ({ side, ahead }): Step =>
    (pair, handsOver) => {
      if (handsOver) pair[side].move(pair.time, ahead);
      else pair[side].stay(pair.time);
    },
);

const step = fc.oneof(
  { arbitrary: move, weight: 24 },
  { arbitrary: carry, weight: 24 },
  { arbitrary: send, weight: 20 },
  { arbitrary: open, weight: 12 },
  { arbitrary: reply, weight: 16 },
  { arbitrary: consume, weight: 10 },
  { arbitrary: switchKey, weight: 8 },
  { arbitrary: ask, weight: 6 },
  { arbitrary: headers, weight: 6 },
  { arbitrary: end, weight: 4 },
  { arbitrary: generation, weight: 4 },
  { arbitrary: negotiate, weight: 4 },
  { arbitrary: ping, weight: 4 },
  { arbitrary: reset, weight: 2 },
  { arbitrary: wait, weight: 2 },
  { arbitrary: retire, weight: 1 },
  { arbitrary: goAway, weight: 1 },
);

/** Holds a conversation to its end. */
function play(steps: readonly Step[], window: number, handsOver: boolean): MovingPair {
  const config = { streamWindow: 65_536 + window, sessionWindow: 65_536 + window, switchLimit: 65_536 };
  const pair = new MovingPair(config, { ...config, padding: 'padme' });
  for (const keyId of KEYS) pair.establish({ keyId, authority: keyId === 5 ? 'host' : '' });
  for (const keyId of [0, 0, 1, 5]) pair.opened.push(pair.client.session.open(HEADERS, { keyId }));
  pair.opened.push(pair.server.session.open(HEADERS, { keyId: 3 }));
  pair.settle();
  for (const id of [1, 5]) pair.server.session.reply(id, HEADERS);
  pair.client.session.reply(2, HEADERS);
  pair.settle();
  for (const act of steps) {
    act(pair, handsOver);
    pair.client.poll();
    pair.server.poll();
  }
  for (const mover of [pair.client, pair.server]) {
    if (handsOver) mover.move(pair.time, 77);
    else mover.stay(pair.time);
  }
  pair.settle();
  return pair;
}

test('what is said and heard is the same, wherever either side is handed over', () => {
  let moves = 0;
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: 80, size: 'max' }),
      fc.nat(30_000),
      (steps, window) => {
        const stayed = play(steps, window, false);
        const moved = play(steps, window, true);
        for (const side of ['client', 'server'] as const) {
          const [a, b] = [stayed[side], moved[side]];
          moves += b.moves;
          expect(b.told).toEqual(a.told);
          expect(moved.wire[side]).toEqual(stayed.wire[side]);
          expect(payloadOf(b)).toEqual(payloadOf(a));
          expect(b.standing(moved.time)).toEqual(a.standing(stayed.time));
        }
      },
    ),
    { numRuns: 25 },
  );
  expect(moves).toBeGreaterThan(50);
});

function payloadOf({ received }: Mover): string[] {
  return [...received].map(([id, pieces]) => `${id} ${Buffer.concat(pieces).toString('hex')}`);
}

describe('the giver', () => {
  test('takes nothing and gives out nothing, and has no keys any more', () => {
    const { pair, blob } = frozen();
    const { session, keys } = pair.client;
    expect(blob.length).toBeGreaterThan(100);
    expect(session.over).toBe(true);
    expect(session.error).toMatchObject({ code: 'ERR_KEYMUX_HANDED_OVER' });
    expect(keys.closed).toBe(true);
    expect(session.wantsInput).toBe(false);
    expect(session.nextDeadline()).toBeUndefined();
    expect(session.streamCount).toBe(0);
    session.receive(Uint8Array.of(1, 2, 3), 0);
    session.carrierEnded(0);
    session.handleDeadline(1e9);
    session.keysProgressed(0);
    session.goAway();
    session.ping();
    session.reset(1);
    session.consume(1, 1);
    session.destroy(new SessionError('X', 2, 'user', 'x'));
    expect(refusal(() => session.open(HEADERS))).toBe('ERR_KEYMUX_GOING_AWAY');
    for (const act of [
      () => session.reply(2, HEADERS),
      () => session.headers(1, HEADERS),
      () => session.send(1, Uint8Array.of(1)),
      () => session.end(1),
      () => session.switchKey(1, 1),
    ]) {
      expect(refusal(act)).toBe('ERR_KEYMUX_STREAM_CLOSED');
    }
    expect(refusal(() => session.retireKey(5))).toBe('ERR_KEYMUX_NO_KEY');
    expect(session.output()).toBeUndefined();
    expect(session.nextEvent()).toBeUndefined();
    expect(refusal(() => session.freeze({ id: ID, now: 0 }))).toBe('ERR_KEYMUX_HAND_OVER');
  });

  test.each<[string, RegExp, (pair: MovingPair) => void]>([
    ['an event waits', /news/, ({ client }) => client.keys.install({ keyId: 21 })],
    ['a key is busy', /busy/, ({ client }) => client.keys.stall(1)],
    [
      'it is over',
      /it is over/,
      ({ client }) => client.session.destroy(new SessionError('X', 2, 'user', 'x')),
    ],
  ])('keeps the session while %s', (_name, why, act) => {
    const pair = new MovingPair({}, {});
    pair.settle();
    act(pair);
    const { session } = pair.client;
    expect(() => session.freeze({ id: ID, now: 0 })).toThrow(why);
    expect(session.handOverObstacle).toMatch(why);
    if (/over/.test(why.source)) return;
    pair.client.keys.resume(1);
    pair.client.poll();
    pair.client.move(0, 5);
    expect(pair.client.moves).toBe(1);
  });

  test('keeps the session if its digests cannot be saved, and if the name is none', () => {
    const keys = new FakeKeys('client', newWorld());
    const session = new Session({ role: 'client', keys, createHash: () => createHash('sha256'), now: 0 });
    expect(() => session.freeze({ id: ID, now: 0 })).toThrow(/digests cannot be saved/);
    const other = new Session({ role: 'client', now: 0 });
    expect(refusal(() => other.freeze({ id: ID.subarray(1), now: 0 }))).toBe('ERR_KEYMUX_HAND_OVER');
    expect(other.error).toBeUndefined();
    expect(other.output()).toBeDefined();
  });

  test('behind a front, it keeps the session', () => {
    const keys = new FakeKeys('server', newWorld());
    const session = new Session({
      role: 'server',
      link: true,
      keys,
      createHash: () => new MovableSha256(),
      now: 0,
    });
    expect(() => session.freeze({ id: ID, now: 0 })).toThrow(/behind a front/);
  });
});

describe('the taker', () => {
  test('sends first what was unsent, as it was sealed', () => {
    const pair = new MovingPair({}, {});
    for (const keyId of KEYS) pair.establish({ keyId });
    const id = pair.client.session.open(HEADERS, { keyId: 1 });
    pair.client.session.send(id, Buffer.alloc(5_000, 'x'));
    pair.ask(pair.client, 262_144);
    const unsent = Buffer.concat(pair.client.waiting);
    const blob = pair.client.session.freeze({ id: ID, unsent: pair.client.waiting, now: 0 });
    const session = thaw(blob);
    session.send(id, Buffer.from('more'));
    const first = Buffer.concat(session.output() ?? []);
    expect(first.subarray(0, unsent.length).equals(unsent)).toBe(true);
    expect(first.length).toBeGreaterThan(unsent.length);
  });

  test('is told what the peer was told, and decides what is its own matter', () => {
    const before = new Session({
      role: 'server',
      config: { streamWindow: 70_000, maxConcurrentStreams: 7, keepAlive: 5_000, peerFlowControl: 'streams' },
      now: 0,
    });
    const blob = before.freeze({ id: ID, now: 0 });
    const config = { streamWindow: 99_000, maxConcurrentStreams: 9, keepAlive: 8_000 };
    const after = Session.thaw(blob, { config, now: 1_000_000 });
    expect(after.nextDeadline()).toBe(1_000_000 + 8_000);
    const peer = new Session({ role: 'client', now: 0 });
    peer.receive(Uint8Array.from(Buffer.concat(after.output() ?? [])), 0);
    for (let i = 0; i < 7; i++) peer.open(HEADERS);
    expect(refusal(() => peer.open(HEADERS))).toBe('ERR_KEYMUX_TOO_MANY_STREAMS');
  });

  test('takes over what the peer has spent: no budget is filled by a hand-over', () => {
    const pair = new MovingPair({}, {});
    pair.settle();
    const { burst } = DEFAULT_BUDGETS.pings;
    for (let sent = 0; sent <= burst; sent++) {
      expect(pair.server.session.error).toBeUndefined();
      pair.client.session.ping();
      pair.settle();
      if (sent % 30 === 0) pair.server.move(0, sent);
    }
    expect(pair.server.moves).toBeGreaterThan(2);
    expect(pair.server.session.error).toMatchObject({ code: 'ERR_KEYMUX_EXCESSIVE_LOAD' });
  });

  test('goes on waiting for a sign of life, from when it was asked for', () => {
    const pair = new MovingPair({}, {});
    pair.settle();
    const { client } = pair;
    const { keepAlive, keepAliveTimeout } = DEFAULT_CONFIG;
    pair.time = keepAlive;
    client.session.handleDeadline(client.at(pair.time));
    pair.ask(client, 1_000);
    pair.time += 5_000;
    client.move(pair.time, -123_456);
    expect(client.moves).toBe(1);
    expect((client.session.nextDeadline() ?? 0) - client.at(pair.time)).toBe(keepAliveTimeout - 5_000);
    client.session.handleDeadline(client.at(pair.time + keepAliveTimeout - 5_000));
    expect(client.session.error).toMatchObject({ code: 'ERR_KEYMUX_TIMEOUT' });
  });

  test('gives every stream its turn in the order that it would have had', () => {
    const order = (moves: boolean): string[] => {
      const pair = new MovingPair({ padding: 'none' }, { sessionWindow: 4_000_000, streamWindow: 4_000_000 });
      pair.settle();
      const { client } = pair;
      for (const priority of [0, 2, 2, 5, 7]) {
        client.session.send(client.session.open(HEADERS, { priority }), Buffer.alloc(600_000));
      }
      for (let turn = 0; turn < 40; turn++) {
        pair.ask(client, 1);
        if (moves) client.move(0, turn);
        pair.carry(client, Number.POSITIVE_INFINITY, 1_000_000);
      }
      expect(client.moves).toBe(moves ? 40 : 0);
      return pair.wire.client.map((frame) => frame.slice(0, 21));
    };
    expect(order(true)).toEqual(order(false));
  });

  test('takes a blob once: it is wiped, whether it was good or not', () => {
    const { blob } = frozen();
    expect(Buffer.from(handOverId(blob)).equals(ID)).toBe(true);
    thaw(blob);
    expect(blob.every((byte) => byte === 0)).toBe(true);
    expect(() => thaw(blob)).toThrow(/taken already/);
    expect(refusal(() => handOverId(blob))).toBe('ERR_KEYMUX_HAND_OVER');
    const bad = Uint8Array.from(frozen().blob.subarray(0, 500));
    expect(refusal(() => thaw(bad))).toBe('ERR_KEYMUX_HAND_OVER');
    expect(bad.every((byte) => byte === 0)).toBe(true);
  });

  test('refuses a blob that is cut anywhere, or goes on behind its end', () => {
    const { blob } = frozen();
    for (let end = 0; end < blob.length; end += end < 600 ? 1 : 97) {
      expect(
        refusal(() => thaw(blob.slice(0, end))),
        `cut after ${end} bytes`,
      ).toBe('ERR_KEYMUX_HAND_OVER');
    }
    expect(refusal(() => thaw(Uint8Array.from([...blob, 0])))).toBe('ERR_KEYMUX_HAND_OVER');
  });

  test('refuses another version, and says which', () => {
    const { blob } = frozen();
    blob[17] = 1;
    expect(() => thaw(blob)).toThrow(/version 1, and 2 is known/);
  });

  test('refuses a session with keys if it has nothing to go on with them', () => {
    const { blob } = frozen();
    expect(() => Session.thaw(blob.slice(), { now: 0 })).toThrow(/it has keys/);
    const { pair, blob: other } = frozen();
    const loadKeys = (): FakeKeys => new FakeKeys('client', newWorld());
    expect(
      refusal(() => Session.thaw(other, { loadKeys, createHash: () => new MovableSha256(), now: 0 })),
    ).toBe('ERR_KEYMUX_HAND_OVER');
    expect(pair.client.session.over).toBe(true);
  });

  test('whatever was changed in a blob, it is refused as such, or goes on as a session', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), (changes) => {
        const { blob } = frozen();
        for (const [at, byte] of changes) blob[18 + (at % (blob.length - 18))] = byte;
        try {
          const session = thaw(blob);
          session.output();
          session.receive(Uint8Array.of(0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 2), 1_000);
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_KEYMUX_HAND_OVER' });
        }
      }),
      { numRuns: 80, examples: [[[[30, 128]]]] }, // a window above 2^31 - 1
    );
  });
});

const ID = randomBytes(16);

/** A session in the middle of things, and its state. */
function frozen(): { pair: MovingPair; blob: Uint8Array } {
  const pair = new MovingPair({}, {});
  for (const keyId of KEYS) pair.establish({ keyId, authority: keyId === 5 ? 'host' : '' });
  const { session } = pair.client;
  for (const keyId of [0, 1]) session.send(session.open(HEADERS, { keyId }), Buffer.alloc(100, 'x'));
  pair.ask(pair.client, 200);
  session.ping();
  session.open(HEADERS, { keyId: 5 });
  pair.client.poll();
  const blob = session.freeze({ id: ID, unsent: pair.client.waiting, now: 0 });
  return { pair, blob };
}

function thaw(blob: Uint8Array): Session {
  const resumeHash = (state: Uint8Array): MovableSha256 => new MovableSha256(state);
  const loadKeys = (reader: StateReader): FakeKeys => FakeKeys.load(reader);
  return Session.thaw(blob, { loadKeys, createHash: () => new MovableSha256(), resumeHash, now: 0 });
}

function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof UsageError) return error.code;
    throw error;
  }
  throw new Error('nothing was refused');
}
