import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HEADERS } from '../../../test/support/scripted-peer.ts';
import { type End, SessionPair } from '../../../test/support/session-pair.ts';
import { expectNothingBound } from './support.ts';

/**
 * Two engines do random legal things over a carrier that cuts bytes anywhere, and must agree with a model that knows nothing of
 * frames: what was sent on a stream arrives, in order, once; what was ended ends; nothing is left over.
 */

type Side = 'client' | 'server';

/** What the model knows of one direction of a stream. */
interface Flow {
  readonly sent: Buffer[];
  ended: boolean;
  /** Something was written and `drain` has not come. */
  undrained: boolean;
}

interface ModelStream {
  readonly id: number;
  readonly opener: Side;
  readonly payloadOutside: boolean;
  readonly sealed: boolean;
  readonly flows: Record<Side, Flow>;
  accepted: boolean;
  replied: boolean;
  reset: boolean;
}

const KEYS = [1, 3, 5];
const other = (side: Side): Side => (side === 'client' ? 'server' : 'client');

class World {
  readonly pair: SessionPair;
  readonly withKeys: boolean;
  readonly streams: ModelStream[] = [];
  readonly consumed: Record<Side, Map<number, number>> = { client: new Map(), server: new Map() };
  generation = 0;

  constructor(withKeys: boolean, window: number) {
    const config = { streamWindow: 65_536 + window, sessionWindow: 65_536 + window, switchLimit: 65_536 };
    this.withKeys = withKeys;
    this.pair = new SessionPair({ keys: withKeys, client: config, server: { ...config, padding: 'padme' } });
    if (withKeys)
      for (const keyId of KEYS) this.pair.establish({ keyId, authority: keyId === 5 ? 'host' : '' });
  }

  end(side: Side): End {
    return this.pair[side];
  }

  open(side: Side, keyIndex: number, payloadOutside: boolean, priority: number): void {
    const keyId = this.withKeys ? (KEYS[keyIndex] ?? 0) : 0;
    const outside = payloadOutside && keyId !== 0;
    const id = this.end(side).session.open(HEADERS, { keyId, payloadOutside: outside, priority });
    const flow = (): Flow => ({ sent: [], ended: false, undrained: false });
    this.streams.push({
      id,
      opener: side,
      payloadOutside: outside,
      sealed: keyId !== 0,
      flows: { client: flow(), server: flow() },
      accepted: false,
      replied: false,
      reset: false,
    });
  }

  /** The streams that `side` may still write on. */
  writable(side: Side): ModelStream[] {
    return this.streams.filter(
      (stream) =>
        !stream.reset &&
        !stream.flows[side].ended &&
        (stream.opener === side || stream.replied) &&
        this.known(side, stream),
    );
  }

  known(side: Side, stream: ModelStream): boolean {
    return stream.opener === side || stream.accepted;
  }

  /** Learns what the engines reported, and consumes some of what has come. */
  observe(): void {
    for (const side of ['client', 'server'] as const) {
      const end = this.end(side);
      for (const event of end.events.splice(0)) {
        if (event.type === 'error') throw event.error;
        const stream = 'id' in event ? this.streams.find(({ id }) => id === event.id) : undefined;
        if (stream === undefined) continue;
        if (event.type === 'stream') stream.accepted = true;
        if (event.type === 'reset') stream.reset = true;
        if (event.type === 'drain') stream.flows[side].undrained = false;
        if (event.type === 'end') this.checkFlow(stream, other(side), end);
      }
    }
  }

  /** At its end a direction has carried exactly what was sent; before, a beginning of it. */
  checkFlow(stream: ModelStream, sender: Side, receiver: End): void {
    expect(stream.flows[sender].ended).toBe(true);
    expect(receiver.received(stream.id).equals(Buffer.concat(stream.flows[sender].sent))).toBe(true);
  }

  consume(side: Side, share: number): void {
    for (const { id, opener, reset } of this.streams) {
      if (reset) continue;
      const end = this.end(side);
      if (opener !== side && end.received(id).length === 0) continue;
      const done = this.consumed[side].get(id) ?? 0;
      const bytes = Math.ceil((end.received(id).length - done) * share);
      if (bytes === 0) continue;
      end.session.consume(id, bytes);
      this.consumed[side].set(id, done + bytes);
    }
  }

  /** Carries bytes from one side to the other in pieces of these sizes. */
  carry(from: Side, sizes: readonly number[], most: number): number {
    const bytes = this.end(from).output(most);
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const size = sizes[i % sizes.length] as number;
      // Small pieces of much take long; after the first hundred the rest goes at once.
      const piece = bytes.subarray(at, i < 100 ? at + size : bytes.length);
      this.end(other(from)).session.receive(Uint8Array.from(piece), this.pair.now);
      at += piece.length;
    }
    this.observePolled();
    return bytes.length;
  }

  observePolled(): void {
    this.pair.client.poll();
    this.pair.server.poll();
    this.observe();
  }

  /** Ends everything properly and carries until all is quiet. */
  finish(): void {
    for (let rounds = 0; ; rounds++) {
      expect(rounds).toBeLessThan(5000);
      const moved =
        this.carry('client', [4000, 70_000], 262_144) + this.carry('server', [1000, 50_000], 262_144);
      this.consume('client', 1);
      this.consume('server', 1);
      for (const stream of this.streams) this.endBoth(stream);
      if (moved === 0 && this.streams.every((stream) => this.over(stream)) && rounds > 2) return;
    }
  }

  over(stream: ModelStream): boolean {
    return stream.reset || (stream.flows.client.ended && stream.flows.server.ended);
  }

  endBoth(stream: ModelStream): void {
    const answerer = other(stream.opener);
    if (!stream.reset && stream.accepted && !stream.replied) {
      this.end(answerer).session.reply(stream.id, HEADERS);
      stream.replied = true;
    }
    for (const side of ['client', 'server'] as const) {
      if (!this.writable(side).includes(stream)) continue;
      this.end(side).session.end(stream.id);
      stream.flows[side].ended = true;
    }
  }
}

type Step = (world: World) => void;

const side = fc.constantFrom<Side>('client', 'server');
const pick = fc.nat(1000);

const open = fc.record({ side, key: fc.nat(3), payloadOutside: fc.boolean(), priority: fc.nat(7) }).map(
  ({ side, key, payloadOutside, priority }): Step =>
    (world) =>
      world.open(side, key, payloadOutside, priority),
);

const send = fc
  .record({ side, pick, size: fc.oneof(fc.nat(50), fc.nat(5000), fc.nat(200_000)), byte: fc.nat(255) })
  .map(
    ({ side, pick, size, byte }): Step =>
      (world) => {
        const streams = world.writable(side);
        const stream = streams[pick % streams.length];
        if (stream === undefined) return;
        const bytes = Buffer.alloc(size, `${byte}.`);
        world.end(side).session.send(stream.id, bytes);
        stream.flows[side].sent.push(bytes);
        if (size > 0) stream.flows[side].undrained = true;
      },
  );

const headers = fc.record({ side, pick }).map(
  ({ side, pick }): Step =>
    (world) => {
      const streams = world.writable(side);
      const stream = streams[pick % streams.length];
      if (stream) world.end(side).session.headers(stream.id, [['x-more', 'y'.repeat(pick)]]);
    },
);

const finish = fc.record({ side, pick }).map(
  ({ side, pick }): Step =>
    (world) => {
      const streams = world.writable(side);
      const stream = streams[pick % streams.length];
      if (stream === undefined) return;
      world.end(side).session.end(stream.id);
      stream.flows[side].ended = true;
    },
);

const reply = fc.record({ pick, key: fc.nat(3), fin: fc.boolean() }).map(
  ({ pick, key, fin }): Step =>
    (world) => {
      const streams = world.streams.filter(({ accepted, replied, reset }) => accepted && !replied && !reset);
      const stream = streams[pick % streams.length];
      if (stream === undefined) return;
      const answerer = other(stream.opener);
      const keyId = world.withKeys && !stream.payloadOutside ? KEYS[key] : undefined;
      const end = fin && !stream.payloadOutside;
      world.end(answerer).session.reply(stream.id, HEADERS, { fin: end, keyId });
      stream.replied = true;
      stream.flows[answerer].ended = end;
    },
);

const reset = fc.record({ side, pick }).map(
  ({ side, pick }): Step =>
    (world) => {
      const streams = world.streams.filter((stream) => !stream.reset && world.known(side, stream));
      const stream = streams[pick % streams.length];
      if (stream === undefined || pick % 4 !== 0) return;
      world.end(side).session.reset(stream.id);
      stream.reset = true;
    },
);

const switchKey = fc.record({ side, pick, key: fc.nat(2) }).map(
  ({ side, pick, key }): Step =>
    (world) => {
      const streams = world.writable(side).filter(({ payloadOutside }) => !payloadOutside);
      const stream = streams[pick % streams.length];
      if (!world.withKeys || stream === undefined) return;
      try {
        world.end(side).session.switchKey(stream.id, KEYS[key] as number);
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_KEYMUX_SWITCH' }); // too much clear payload
      }
    },
);

const generation = fc.record({ key: fc.nat(2) }).map(
  ({ key }): Step =>
    (world) => {
      const keyId = KEYS[key] as number;
      if (!world.withKeys || keyId !== 5 || world.generation > 5) return;
      world.generation++;
      for (const side of ['client', 'server'] as const) {
        world.end(side).keys.install({ keyId, authority: 'host', generation: world.generation });
        world.end(side).session.keysProgressed(world.pair.now);
      }
    },
);

const ping = side.map(
  (side): Step =>
    (world) =>
      void world.end(side).session.ping(),
);

const consume = fc.record({ side, share: fc.double({ min: 0, max: 1, noNaN: true }) }).map(
  ({ side, share }): Step =>
    (world) =>
      world.consume(side, share),
);

const carry = fc
  .record({
    side,
    sizes: fc.array(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 100_000 })), {
      minLength: 1,
      maxLength: 5,
    }),
    most: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 300_000 })),
  })
  .map(
    ({ side, sizes, most }): Step =>
      (world) =>
        void world.carry(side, sizes, most),
  );

const step = fc.oneof(
  { arbitrary: open, weight: 3 },
  { arbitrary: send, weight: 6 },
  { arbitrary: carry, weight: 6 },
  { arbitrary: reply, weight: 3 },
  { arbitrary: consume, weight: 2 },
  { arbitrary: switchKey, weight: 2 },
  { arbitrary: finish, weight: 1 },
  { arbitrary: headers, weight: 1 },
  { arbitrary: reset, weight: 1 },
  { arbitrary: generation, weight: 1 },
  { arbitrary: ping, weight: 1 },
);

test.each([
  ['with keys', true],
  ['without keys', false],
])('two engines agree with the model, %s', (_name, withKeys) => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), fc.nat(30_000), (steps, window) => {
      const world = new World(withKeys, window);
      for (const act of steps) {
        act(world);
        world.observePolled();
      }
      world.finish();
      for (const side of ['client', 'server'] as const) {
        const end = world.end(side);
        expect(end.session.error).toBeUndefined();
        expect(end.session.streamCount).toBe(0);
        expect(end.session.output()).toBeUndefined();
        expectNothingBound(end);
        for (const stream of world.streams) {
          const sender = other(side);
          const sent = Buffer.concat(stream.flows[sender].sent);
          const received = end.received(stream.id);
          if (!stream.reset) expect(stream.flows[sender].undrained).toBe(false);
          if (stream.reset) expect(sent.subarray(0, received.length).equals(received)).toBe(true);
          else expect(received.equals(sent)).toBe(true);
        }
      }
    }),
    { numRuns: 200 },
  );
});
