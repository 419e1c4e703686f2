import { describe, expect, it } from 'vitest';
import { ALGORITHM, KeyError, REJECT_REASON } from '../src/index.ts';
import { decodeNego, encodeNego } from '../src/nego-frame.ts';
import { infoOf, keeperOf, Link, link, passEnvelope, Side } from './link.ts';
import { METHODS, type Method } from './methods.ts';

const RENEGOTIABLE = METHODS.filter(({ algorithm }) => algorithm !== ALGORITHM.PSK);
/** Those that cost little, one for each number of messages; the rules are the same for all. */
const FAST = { [ALGORITHM.PSK_X25519]: true, [ALGORITHM.SIGNED]: true };
const KEY = { authority: '' };

/** Two sides with key 1, whose envelopes have gone both ways. */
async function established({ algorithm, label }: Method, seed = 'client'): Promise<Link> {
  const wire = new Link(new Side('client', keeperOf(seed)), new Side('server', keeperOf('server')));
  wire.client.registry.negotiate({ ...KEY, algorithm, label });
  await wire.run();
  exchange(wire);
  return wire;
}

/** An envelope each way under the newest generation, and the peer is told of it. */
function exchange({ client, server }: Link): void {
  // Whoever answered learns by an envelope that the other has the key.
  const order = client.registry.sender(1)?.generation === infoOf(client, 1).generation ? 0 : 1;
  const pairs = [
    [client, server],
    [server, client],
    [client, server],
  ] as const;
  for (const [from, to] of pairs.slice(order)) {
    const generation = from.registry.sender(1)?.generation;
    expect(passEnvelope(from, to, 1, 'as before')).toBe('as before');
    if (generation !== undefined) to.registry.confirmGeneration(1, generation);
  }
}

/** Lets both sides move to what a finished run has made. */
function move(wire: Link, initiator: 'client' | 'server'): void {
  const [first, second] = initiator === 'client' ? [wire.client, wire.server] : [wire.server, wire.client];
  for (const [from, to] of [
    [first, second],
    [second, first],
  ] as const) {
    passEnvelope(from, to, 1, 'moved');
    to.registry.confirmGeneration(1, from.registry.sender(1)?.generation ?? 0);
  }
}

function failures({ client, server }: Link): unknown[] {
  return [client.failure, server.failure];
}

describe.each(RENEGOTIABLE)('$name', (method) => {
  for (const initiator of ['client', 'server'] as const) {
    const responder = initiator === 'client' ? 'server' : 'client';

    it(`is renegotiated by the ${initiator}: another key, the same ID, label and peer`, async () => {
      const wire = await established(method);
      const { client, server } = wire;
      const before = infoOf(client, 1);
      const exporter = Buffer.from(client.registry.exporter(1)?.use((bytes) => Uint8Array.from(bytes)) ?? []);
      const sealers = [client, server].map((side) => side.registry.sender(1));
      const old = client.registry.exporter(1);
      expect(wire[initiator].registry.renegotiate(1, 0)).toBe('begun');
      await wire.run();
      expect(failures(wire)).toEqual([undefined, undefined]);
      expect(wire[responder].registry.info(1)?.level).toBe(before.level);
      move(wire, initiator);
      expect(infoOf(client, 1)).toEqual({ ...before, generation: 1 });
      expect(infoOf(server, 1)).toMatchObject({ generation: 1, level: before.level });
      const exporters = [client, server].map((side) =>
        side.registry.exporter(1)?.use((bytes) => Buffer.from(bytes)),
      );
      expect(exporters[0]).toEqual(exporters[1]);
      expect(exporters[0]).not.toEqual(exporter);
      expect(old?.wiped).toBe(true);
      for (const sealer of sealers)
        expect(() => sealer?.seal(new Uint8Array(10), [Uint8Array.of(1)])).toThrow(KeyError);
      for (const side of [client, server]) expect(side.registry.receiver(1, 0)).toBeUndefined();
      for (const side of [client, server]) expect(side.events.at(-1)?.type).toMatch(/established|moved/);
    });

    it(`goes on under its generation while the ${initiator} renegotiates it`, async () => {
      const wire = await established(method);
      wire[initiator].registry.renegotiate(1, 0);
      await wire[initiator].settle();
      for (let message = 0; message < method.messages; message++) {
        for (const side of [wire.client, wire.server]) expect(side.registry.busy(1, 0)).toBe(false);
        const { client, server } = wire;
        const [from, to] = client.outbox.length > 0 ? [client, server] : [server, client];
        // Whoever waits for a message goes on sealing with what it has, and the other one opens it.
        expect(passEnvelope(to, from, 1, 'meanwhile')).toBe('meanwhile');
        for (const frame of from.outbox.splice(0)) to.receive(frame);
        await to.settle();
      }
      expect(passEnvelope(wire[initiator], wire[responder], 1, 'first')).toBe('first');
      expect(failures(wire)).toEqual([undefined, undefined]);
      expect(infoOf(wire.client, 1).generation).toBe(1);
    });
  }
});

describe.each(RENEGOTIABLE.filter(({ algorithm }) => algorithm in FAST))('$name', (method) => {
  it('is renegotiated again and again, in turn, and only by one at a time', async () => {
    const wire = await established(method);
    for (let generation = 1; generation <= 4; generation++) {
      const initiator = generation % 2 === 0 ? 'client' : 'server';
      expect(wire[initiator].registry.renegotiate(1, 0)).toBe('begun');
      expect(wire[initiator].registry.renegotiate(1, 0)).toBe('in progress');
      await wire.run();
      // Until both have moved there is nothing to begin.
      for (const side of [wire.client, wire.server])
        expect(side.registry.renegotiate(1, 0)).toMatch(/^(made|in progress)$/);
      move(wire, initiator);
      expect(infoOf(wire.client, 1).generation).toBe(generation);
    }
    expect(failures(wire)).toEqual([undefined, undefined]);
  });

  it('H4: both at once, in every order of events: one generation, the same on both sides, and no failure', async () => {
    let glares = 0;
    for (const order of orders()) {
      const wire = await established(method);
      await play(wire, order);
      await wire.run();
      expect(failures(wire), order).toEqual([undefined, undefined]);
      const [c, s] = [wire.client, wire.server].map((side) =>
        Math.max(
          ...side.events.flatMap((event) => (event.type === 'established' ? [event.key.generation] : [])),
        ),
      );
      expect([c, s], order).toEqual([1, 1]);
      const initiator = wire.client.registry.sender(1)?.generation === 1 ? 'client' : 'server';
      move(wire, initiator);
      expect(infoOf(wire.client, 1).generation, order).toBe(1);
      expect(infoOf(wire.server, 1).generation, order).toBe(1);
      const firsts = wire.frames.filter((frame) => decodeNego(frame).renegotiate).length;
      if (firsts === 2) glares++;
      // Nobody is left waiting: either side can begin the next.
      expect(wire.server.registry.renegotiate(1, 0), order).toBe('begun');
    }
    expect(glares).toBeGreaterThan(3);
  });

  it('C3: no message of an earlier run is taken again, at any time', async () => {
    const messages = async (): Promise<{ wire: Link; frames: readonly Uint8Array[] }> => {
      const wire = await established(method);
      wire.client.registry.renegotiate(1, 0);
      await wire.run();
      move(wire, 'client');
      return { wire, frames: wire.frames };
    };
    const { frames } = await messages();
    for (let index = 0; index < frames.length; index++) {
      for (const to of ['client', 'server'] as const) {
        const { wire } = await messages();
        const installed = wire[to].established.length;
        await wire[to].play([wire.frames[index] as Uint8Array]);
        expect(wire[to].failure, `message ${index} to the ${to}`).toMatchObject({ scope: 'session' });
        expect(wire[to].established).toHaveLength(installed);
      }
    }
  });
});

/** What happens to a wire: a side asks, its keeper answers, or the other side takes what is on the wire. */
type Event = 'C' | 'S' | 'c' | 's' | '>' | '<';

/** All orders in which both sides ask once, with their keepers and the wire in between. */
function orders(): string[] {
  const found = new Set<string>();
  const extend = (done: string, left: string): void => {
    if (left === '') found.add(done);
    for (const event of new Set(left)) {
      const before = { c: 'C', '>': 'c', s: 'S', '<': 's' }[event] ?? '';
      if (!done.includes(before)) continue;
      extend(done + event, left.replace(event, ''));
    }
  };
  extend('', 'CScs><');
  return [...found];
}

async function play(wire: Link, order: string): Promise<void> {
  const deliver = (from: Side, to: Side): void => {
    for (const frame of from.outbox.splice(0)) {
      wire.frames.push(frame);
      // The keeper may be at work on the peer's own first message: then this waits, as the session sees to.
      if (to.registry.busy(1)) from.outbox.push(frame);
      else to.receive(frame);
    }
  };
  for (const event of order as Iterable<Event>) {
    if (event === 'C') wire.client.registry.renegotiate(1, 0);
    if (event === 'S') wire.server.registry.renegotiate(1, 0);
    if (event === 'c') await wire.client.settle();
    if (event === 's') await wire.server.settle();
    if (event === '>') deliver(wire.client, wire.server);
    if (event === '<') deliver(wire.server, wire.client);
  }
}

describe('what is refused', () => {
  const X25519 = METHODS.find(
    ({ algorithm }) => algorithm === ALGORITHM.PSK_X25519,
  ) as (typeof METHODS)[number];

  it('a call for a key that cannot be renegotiated', async () => {
    const wire = link();
    const psk = wire.client.registry.negotiate({
      algorithm: ALGORITHM.PSK,
      label: X25519.label,
      authority: '',
    });
    await wire.run();
    expect(() => wire.client.registry.renegotiate(psk)).toThrow(/ALG 1/);
    expect(() => wire.client.registry.renegotiate(3)).toThrow(KeyError);
    wire.client.registry.close();
    expect(() => wire.client.registry.renegotiate(psk)).toThrow(KeyError);
  });

  it('a 257th generation, and the key lives on', async () => {
    const wire = await established(X25519);
    for (let generation = 1; generation <= 255; generation++) {
      wire.client.registry.renegotiate(1, 0);
      await wire.run();
      move(wire, 'client');
    }
    expect(infoOf(wire.client, 1).generation).toBe(255);
    expect(() => wire.client.registry.renegotiate(1)).toThrow(
      expect.objectContaining({ code: 'ERR_KEYMUX_KEY_EXHAUSTED', scope: 'usage' }),
    );
    await wire.server.play([
      encodeNego({
        keyId: 1,
        algorithm: 3,
        fin: true,
        reject: false,
        retire: false,
        renegotiate: true,
        data: new Uint8Array(9),
      }),
    ]);
    expect(wire.server.outbox.at(-1)?.subarray(12)).toEqual(Uint8Array.of(REJECT_REASON.NO_RENEGOTIATION, 0));
    expect(failures(wire)).toEqual([undefined, undefined]);
    expect(passEnvelope(wire.client, wire.server, 1, 'lives on')).toBe('lives on');
  });

  it('C5: a run that is not chained to the generation before, though both hold the long-term key', async () => {
    const victim = await established(X25519);
    const attacker = await established(X25519, 'attacker'); // the same key file, another session
    attacker.client.registry.renegotiate(1, 0);
    await attacker.client.settle();
    const [first] = attacker.client.outbox as [Uint8Array];
    victim.server.receive(first);
    await victim.server.settle();
    const [answer] = victim.server.outbox as [Uint8Array];
    attacker.client.receive(answer);
    await attacker.client.settle();
    expect(attacker.client.failure ?? victim.server.failure).toBeUndefined();
    expect(() => passEnvelope(attacker.client, victim.server, 1, 'mine')).toThrow(
      expect.objectContaining({ reason: 'envelope' }),
    );
    expect(victim.server.registry.info(1)?.generation).toBe(0);
  });

  it.each([
    ['another ALG_ID', { algorithm: ALGORITHM.HYBRID }],
    ['an ID that names no key', { keyId: 3 }],
    ['a first message without the flag', { renegotiate: false }],
    ['a message that is none', { data: new Uint8Array(3) }],
  ])('%s', async (_, change) => {
    const wire = await established(X25519);
    const other = await established(X25519);
    other.client.registry.renegotiate(1, 0);
    await other.client.settle();
    const first = decodeNego(other.client.outbox[0] as Uint8Array);
    await wire.server.play([encodeNego({ ...first, ...change })]);
    expect(wire.server.failure?.scope).toBe('session');
  });

  it('another label or authority than the key has', async () => {
    for (const change of [
      { authority: 'a.example' },
      { label: 'anonymous', algorithm: ALGORITHM.ANONYMOUS },
    ]) {
      const wire = await established(X25519);
      const keeper = keeperOf('client');
      const asked = { offer: 2 ** 3 + 2 ** 5, label: X25519.label, authority: '', ...change };
      const algorithm = asked.label === 'anonymous' ? ALGORITHM.ANONYMOUS : ALGORITHM.PSK_X25519;
      const context = {
        role: 'initiator',
        initiator: 'client',
        depth: 0,
        keyId: 1,
        generation: 1,
        algorithm,
      } as const;
      const { send } = await keeper.start(context, asked);
      const frame = { keyId: 1, algorithm, fin: true, reject: false, retire: false, renegotiate: true };
      await wire.server.play([encodeNego({ ...frame, data: send?.data ?? new Uint8Array(0) })]);
      expect(wire.server.failure?.reason).toMatch(/other-key|unexpected/);
      expect(wire.server.outbox).toEqual([]);
    }
  });

  it('a second first message while one is answered, and one before both sides have moved', async () => {
    const wire = await established(X25519);
    const other = await established(X25519);
    other.client.registry.renegotiate(1, 0);
    await other.client.settle();
    wire.client.registry.renegotiate(1, 0);
    await wire.run();
    await wire.server.play(other.client.outbox);
    expect(wire.server.failure?.reason).toBe('unexpected');
  });

  it.each(['client', 'server'] as const)(
    'a message that comes before the %s’s own is on the wire',
    async (side) => {
      const wire = await established(X25519);
      const { registry } = wire[side];
      const frame = { keyId: 1, algorithm: 3, fin: true, reject: false, retire: false };
      const message = encodeNego({ ...frame, data: new Uint8Array(48) });
      if (side === 'client') registry.renegotiate(1, 0);
      else {
        wire.client.registry.renegotiate(1, 0);
        await wire.client.settle();
        const [first] = wire.client.outbox as [Uint8Array];
        registry.receive(decodeNego(first), first, new Uint8Array(32), 0);
      }
      for (let round = 0; round < 3; round++) await new Promise(setImmediate);
      registry.receive(decodeNego(message), message, new Uint8Array(32), 0);
      wire[side].pump(); // its own goes now, while the keeper is at work
      await wire[side].settle();
      expect(wire[side].failure?.reason).toBe('unexpected');
    },
  );

  it('both at once, by a side that is too busy to answer: it hears that its own is over too', async () => {
    const options = { maxPeerRuns: 0 };
    const wire = new Link(
      new Side('client', keeperOf('client')),
      new Side('server', keeperOf('server'), options),
    );
    wire.server.registry.negotiate({ ...KEY, algorithm: 3, label: X25519.label });
    await wire.run();
    expect(passEnvelope(wire.server, wire.client, 2, 'proof')).toBe('proof');
    expect(passEnvelope(wire.client, wire.server, 2, 'answer')).toBe('answer');
    wire.client.registry.renegotiate(2, 0);
    await wire.client.settle();
    wire.server.registry.renegotiate(2, 0); // and its keeper has not answered yet
    for (const frame of wire.client.outbox.splice(0)) wire.server.receive(frame);
    await wire.run();
    expect(failures(wire)).toEqual([undefined, undefined]);
    for (const side of [wire.client, wire.server])
      expect(side.rejections()).toMatchObject([{ reason: REJECT_REASON.TOO_MANY_RUNS }]);
    expect(passEnvelope(wire.server, wire.client, 2, 'lives on')).toBe('lives on');
  });

  it('a run that takes more than 60 seconds', async () => {
    const wire = await established(X25519);
    wire.client.registry.renegotiate(1, 1000);
    await wire.client.settle();
    expect(wire.client.registry.nextDeadline()).toBe(61_000);
    wire.client.registry.handleDeadline(61_000);
    wire.client.pump();
    expect(wire.client.failure?.reason).toBe('timeout');
  });

  it('by REJECT: the key lives on, and can be renegotiated later', async () => {
    const wire = link({ server: { maxRuns: 0 } });
    wire.server.registry.negotiate({ ...KEY, algorithm: 3, label: X25519.label });
    await wire.run();
    expect(wire.client.established).toHaveLength(0);
    const full = await established(X25519);
    const reject = {
      keyId: 1,
      algorithm: 3,
      fin: true,
      reject: true,
      retire: false,
      data: Uint8Array.of(3, 0),
    };
    full.client.registry.renegotiate(1, 0);
    await full.client.settle();
    await full.client.play([encodeNego(reject)]);
    expect(full.client.failure).toBeUndefined();
    expect(full.client.rejections()).toMatchObject([{ reason: REJECT_REASON.TOO_MANY_RUNS }]);
    expect(passEnvelope(full.client, full.server, 1, 'lives on')).toBe('lives on');
    expect(full.client.registry.renegotiate(1, 0)).toBe('begun');
  });

  it('what crosses RETIRE: it is ignored once, and the other side gives it up', async () => {
    const wire = await established(X25519);
    wire.client.registry.renegotiate(1, 0);
    await wire.client.settle();
    wire.server.retire(1);
    const [first] = wire.client.outbox.splice(0) as [Uint8Array];
    const [retire] = wire.server.outbox.splice(0) as [Uint8Array];
    await wire.server.play([first]);
    await wire.client.play([retire]);
    expect(failures(wire)).toMatchObject([{ scope: 'usage' }, undefined]);
    expect(wire.server.outbox).toEqual([]);
    wire.client.retire(1);
    await wire.server.play(wire.client.outbox);
    for (const side of [wire.client, wire.server])
      expect(side.events.at(-1)).toEqual({ type: 'retired', keyId: 1 });
  });
});
