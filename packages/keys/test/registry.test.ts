import { describe, expect, it } from 'vitest';
import {
  ALGORITHM,
  type Keeper,
  KeyError,
  KeyRegistry,
  type NegotiateOptions,
  REJECT_REASON,
  type RunContext,
  Secret,
  type Step,
} from '../src/index.ts';
import { decodeNego, encodeNego, type NegoFrame } from '../src/nego-frame.ts';
import { encodeReject } from '../src/reject.ts';
import { keeperOf, LABEL, link, passEnvelope, Side, sealedHead } from './link.ts';
import { METHODS } from './methods.ts';

const PSK = { algorithm: ALGORITHM.PSK, label: LABEL, authority: '' };
const SPIPED = { algorithm: ALGORITHM.SPIPED, label: LABEL, authority: '' };

describe('key IDs', () => {
  for (const { role, first, count } of [
    { role: 'client', first: 1, count: 128 },
    { role: 'server', first: 2, count: 127 },
  ] as const) {
    it(`a ${role} has ${count}, and then a clear error on a session that goes on`, async () => {
      const wire = link();
      const side = wire[role];
      for (let index = 0; index < count; index++) {
        expect(side.registry.negotiate(PSK)).toBe(first + 2 * index);
        await wire.run();
      }
      expect(() => side.registry.negotiate(PSK)).toThrow(
        expect.objectContaining({ code: 'ERR_KEYMUX_IDS_EXHAUSTED', scope: 'usage' }),
      );
      expect(side.established).toHaveLength(count);
      expect(wire.client.failure ?? wire.server.failure).toBeUndefined();
      expect(passEnvelope(wire.client, wire.server, first, 'still works')).toBe('still works');
    });
  }

  it('may be left out, but not gone back to, nor be of the wrong parity', async () => {
    const frames = await firstFrames(3);
    const [one, three, five] = frames as [Uint8Array, Uint8Array, Uint8Array];
    expect((await served([three, five])).failure).toBeUndefined();
    expect((await served([three, one])).failure?.reason).toBe('key-id');
    expect((await served([encodeNego({ ...decodeNego(one), keyId: 2 })])).failure?.reason).toBe('key-id');
  });

  it('are spent by runs that were rejected', async () => {
    const side = new Side('server', keeperOf('server', { algorithms: [ALGORITHM.SPIPED] }));
    const [first] = (await firstFrames(1)) as [Uint8Array];
    await side.play([first]);
    expect(side.failure).toBeUndefined();
    await side.play([first]);
    expect(side.failure?.reason).toBe('key-id');
  });
});

describe('REJECT', () => {
  it('answers an algorithm that does not exist, or is not allowed, with those that are', async () => {
    const wire = link({ server: { algorithms: [ALGORITHM.SPIPED], anonymous: [], identities: undefined } });
    const keyId = wire.client.registry.negotiate(PSK);
    await wire.run();
    expect(wire.client.rejections()).toMatchObject([{ reason: REJECT_REASON.NOT_ALLOWED, algorithms: [2] }]);
    expect(wire.client.registry.sender(keyId)).toBeUndefined();
    wire.client.registry.negotiate(SPIPED);
    await wire.run();
    expect(wire.client.established).toHaveLength(1);

    const [first] = (await firstFrames(1)) as [Uint8Array];
    const server = await served([encodeNego({ ...decodeNego(first), algorithm: 9 })]);
    expect(decodeNego(server.outbox[0] as Uint8Array)).toMatchObject({
      keyId: 1,
      algorithm: 9,
      reject: true,
      fin: true,
    });
    expect(server.outbox[0]?.subarray(12)).toEqual(
      Uint8Array.of(REJECT_REASON.UNKNOWN_ALGORITHM, 6, 1, 2, 3, 4, 5, 6),
    );
  });

  it('answers the fifth run at a time, and the session goes on', async () => {
    const wire = link();
    wire.tamper = (frame) => (decodeNego(frame).fin && !decodeNego(frame).reject ? [] : [frame]);
    for (let run = 0; run < 5; run++) wire.client.registry.negotiate(SPIPED);
    await wire.run();
    expect(wire.client.rejections()).toMatchObject([{ keyId: 9, reason: REJECT_REASON.TOO_MANY_RUNS }]);
    expect(wire.server.failure ?? wire.client.failure).toBeUndefined();
  });

  it('answers a run that the keeper has no room for', async () => {
    const wire = link({ server: { maxRuns: 0 } });
    wire.client.registry.negotiate(SPIPED);
    await wire.run();
    expect(wire.client.rejections()).toMatchObject([
      { reason: REJECT_REASON.TOO_MANY_RUNS, algorithms: [1, 2, 3, 4, 5, 6] },
    ]);
  });

  it('answers the renegotiation of a key of ALG 1, and the key lives on', async () => {
    const wire = link();
    wire.client.registry.negotiate(PSK);
    await wire.run();
    const [another] = (await firstFrames(1, 'another client')) as [Uint8Array];
    await wire.server.play([encodeNego({ ...decodeNego(another), renegotiate: true })]);
    expect(wire.server.outbox.at(-1)?.subarray(12)).toEqual(Uint8Array.of(REJECT_REASON.NO_RENEGOTIATION, 0));
    expect(passEnvelope(wire.client, wire.server, 1, 'lives on')).toBe('lives on');
  });

  const reject = encodeReject(REJECT_REASON.NOT_ALLOWED, [1]);
  for (const [what, data] of [
    ['without a list', Uint8Array.of(1)],
    ['with a cut list', Uint8Array.of(1, 2, 1)],
    ['with a byte too many', Uint8Array.of(1, 1, 1, 0)],
    ['with a list that does not ascend', Uint8Array.of(1, 2, 2, 1)],
    ['with an ALG_ID twice', Uint8Array.of(1, 2, 1, 1)],
  ] as const) {
    it(`${what} is an error`, async () => {
      const side = await started(PSK);
      side.receive(rejection({ data }));
      expect(side.failure?.reason).toBe('malformed');
    });
  }

  it('is an error as first frame, for a run of the sender, after the first answer, and for an established key', async () => {
    const unknown = new Side('client', keeperOf('client'));
    unknown.receive(rejection({ keyId: 2, data: reject }));
    expect(unknown.failure?.reason).toBe('key-id');

    const [first] = (await firstFrames(1, 'client', SPIPED)) as [Uint8Array];
    const server = await served([first]);
    server.receive(rejection({ algorithm: 2, data: reject }));
    expect(server.failure?.reason).toBe('unexpected');

    const wire = link();
    wire.tamper = (frame, index) => (index < 2 ? [frame] : []);
    wire.client.registry.negotiate(SPIPED);
    await wire.run();
    wire.client.receive(rejection({ algorithm: 2, data: reject }));
    expect(wire.client.failure?.reason).toBe('unexpected');

    const done = link();
    done.client.registry.negotiate(PSK);
    await done.run();
    done.client.receive(rejection({ data: reject }));
    expect(done.client.failure?.reason).toBe('unexpected');
  });

  it('and everything else but RETIRE is an error from the side that did not begin the run', async () => {
    const wire = link();
    wire.client.registry.negotiate(PSK);
    await wire.run();
    wire.server.receive(rejection({ data: reject }));
    expect(wire.server.failure?.reason).toBe('unexpected');
    wire.client.receive(rejection({ reject: false, data: new Uint8Array(64) }));
    expect(wire.client.failure?.reason).toBe('unexpected');
    const unflagged = link();
    unflagged.client.registry.negotiate(PSK);
    await unflagged.run();
    unflagged.server.receive((await firstFrames(1, 'another client'))[0] as Uint8Array);
    expect(unflagged.server.failure?.reason).toBe('unexpected');
  });

  it('names algorithms that the initiator never offered, and nothing comes of it', async () => {
    const side = await started(SPIPED);
    side.receive(rejection({ algorithm: 2, data: encodeReject(2, [1, 5]) }));
    await side.settle();
    expect(side.rejections()).toMatchObject([{ algorithms: [1, 5] }]);
    expect(side.outbox).toHaveLength(1);
  });
});

describe('time', () => {
  it.each(METHODS)('ends a run of $name whose initiator waits for more than 10 seconds', async (method) => {
    const { algorithm, label } = method;
    const side = new Side('client', keeperOf('client'));
    side.registry.negotiate({ algorithm, label, authority: '', now: 5000 });
    await side.settle();
    expect(side.registry.nextDeadline()).toBe(15_000);
    side.registry.handleDeadline(15_000);
    side.pump();
    expect(side.failure?.reason).toBe('timeout');
    expect(side.established).toEqual([]);
  });

  for (const role of ['initiator', 'responder'] as const) {
    it(`ends a session whose ${role} waits for more than 10 seconds`, async () => {
      const side =
        role === 'initiator'
          ? new Side('client', keeperOf('client'))
          : new Side('server', keeperOf('server'));
      if (role === 'initiator') side.registry.negotiate({ ...SPIPED, now: 5000 });
      else side.receive((await firstFrames(1, 'client', SPIPED))[0] as Uint8Array, 5000);
      await side.settle();
      expect(side.registry.nextDeadline()).toBe(15_000);
      side.registry.handleDeadline(14_999);
      side.pump();
      expect(side.failure).toBeUndefined();
      side.registry.handleDeadline(15_000);
      side.pump();
      expect(side.failure?.reason).toBe('timeout');
      expect(side.registry.nextDeadline()).toBeUndefined();
    });
  }

  it('begins to run when it is first told, if the caller of negotiate did not know it', () => {
    const { registry } = new Side('client', keeperOf('client'));
    registry.negotiate(PSK);
    expect(registry.nextDeadline()).toBeLessThanOrEqual(70_000);
    registry.handleDeadline(70_000);
    expect(registry.nextDeadline()).toBe(80_000);
  });

  it('does not matter to a run that is over', async () => {
    const wire = link();
    wire.client.registry.negotiate({ ...PSK, now: 0 });
    await wire.run();
    expect(wire.client.registry.nextDeadline()).toBeUndefined();
    wire.client.registry.handleDeadline(99_999);
    expect(wire.client.failure).toBeUndefined();
  });

  it('lets a keeper forget runs that nobody goes on with', async () => {
    let now = 0;
    const keeper = keeperOf('server', { maxRuns: 1, clock: () => now });
    const [first] = (await firstFrames(1, 'client', SPIPED)) as [Uint8Array];
    const context: RunContext = {
      role: 'responder',
      initiator: 'client',
      depth: 0,
      keyId: 1,
      generation: 0,
      algorithm: 2,
    };
    const abandoned = await keeper.accept(context, first);
    expect((await keeper.accept(context, first)).send?.reject).toBe(true);
    now = 10_001;
    expect((await keeper.accept(context, first)).send?.reject).toBeUndefined();
    await expect(keeper.receive(abandoned.run, first)).rejects.toMatchObject({ reason: 'keeper' });
  });
});

describe('a keeper that takes its time', () => {
  it('keeps its key ID busy until the message that it made is on the wire', async () => {
    const { keeper, answer } = slowKeeper(keeperOf('server'));
    const side = new Side('server', keeper);
    side.receive((await firstFrames(1))[0] as Uint8Array);
    await side.settle();
    expect(side.registry.busy(1)).toBe(true);
    expect(() => side.receive(side.outbox[0] ?? rejection({}))).toThrow(
      expect.objectContaining({ code: 'ERR_KEYMUX_KEY_USAGE' }),
    );
    await answer();
    expect(side.registry.busy(1)).toBe(true);
    expect(side.registry.receiver(1, 0)).toBeUndefined();
    side.pump();
    expect(side.registry.busy(1)).toBe(false);
    expect(side.registry.receiver(1, 0)).toBeDefined();
  });

  it('tells of progress, later and once for several events', async () => {
    const { keeper, answer } = slowKeeper(keeperOf('client'));
    const registry = new KeyRegistry({ role: 'client', keeper });
    let told = 0;
    registry.onProgress = () => told++;
    registry.negotiate(PSK);
    registry.negotiate(PSK);
    expect(told).toBe(0);
    await answer();
    expect(told).toBe(1);
  });

  it('has what it made wiped if the session is over by then', async () => {
    for (const end of ['close', 'timeout'] as const) {
      const { keeper, answer, steps, abandoned } = slowKeeper(keeperOf('client'));
      const registry = new KeyRegistry({ role: 'client', keeper });
      registry.negotiate({ ...PSK, now: 0 });
      if (end === 'close') registry.close();
      else registry.handleDeadline(10_000);
      await answer();
      expect(steps[0]?.secrets.map(({ secret }) => secret.wiped)).toEqual([true]);
      expect(abandoned).toEqual([steps[0]?.run]);
      expect(registry.sender(1)).toBeUndefined();
    }
  });
});

describe('a keeper in trouble', () => {
  const failing = (fault: () => never): Keeper => ({
    algorithms: [],
    start: fault,
    accept: async () => fault(),
    receive: async () => fault(),
    abandon: fault,
  });

  for (const [what, fault] of [
    [
      'throws',
      () => {
        throw new Error('boom');
      },
    ],
    [
      'throws something that is no error',
      () => {
        throw 'boom';
      },
    ],
    [
      'rejects',
      () => {
        throw new TypeError('boom');
      },
    ],
  ] as [string, () => never][]) {
    it(`that ${what} becomes one failure, and no rejection escapes`, async () => {
      const client = new Side('client', failing(fault));
      client.registry.negotiate(PSK);
      client.registry.negotiate(PSK);
      await client.settle();
      expect(client.events).toMatchObject([
        { type: 'failed', error: { code: 'ERR_KEYMUX_KEY_FAILURE', reason: 'keeper' } },
      ]);
      const server = new Side('server', failing(fault));
      await server.play([(await firstFrames(1))[0] as Uint8Array]);
      expect(server.failure?.reason).toBe('keeper');
      server.registry.close();
    });
  }

  it('is not needed to find out that this side asked for what it does not have', async () => {
    for (const asked of [{ label: 'nobody' }, { authority: 'b.example' }]) {
      const side = new Side('client', keeperOf('client'));
      side.registry.negotiate({ ...PSK, ...asked });
      await side.settle();
      expect(side.failure).toMatchObject({ code: 'ERR_KEYMUX_KEY_UNKNOWN', scope: 'usage' });
      expect(side.outbox).toEqual([]);
      side.registry.negotiate(PSK);
      await side.settle();
      expect(side.outbox).toHaveLength(1);
    }
    const { registry } = new Side('client', keeperOf('client'));
    for (const asked of [
      { label: '' },
      { label: '../id_ed25519' },
      { authority: 'A.example' },
      { offer: 4 },
      { offer: 2 ** 33 + 2.5 },
    ]) {
      expect(() => registry.negotiate({ ...PSK, ...asked })).toThrow(KeyError);
    }
    expect(registry.negotiate(PSK)).toBe(1);
  });

  it('refuses contexts that cannot be', async () => {
    const right: RunContext = {
      role: 'initiator',
      initiator: 'client',
      depth: 0,
      keyId: 1,
      generation: 0,
      algorithm: 1,
    };
    const offer = { offer: 2, label: LABEL, authority: '' };
    const keeper = keeperOf('client');
    for (const wrong of [
      { role: 'responder' },
      { initiator: 'server' },
      { keyId: 0 },
      { keyId: 2 },
      { keyId: 257 },
      { depth: 256 },
      { depth: -1 },
      { generation: 1 },
      { algorithm: 1.5 },
      { algorithm: 3 },
    ] as Partial<RunContext>[]) {
      await expect(keeper.start({ ...right, ...wrong }, offer), JSON.stringify(wrong)).rejects.toMatchObject({
        scope: 'usage',
      });
    }
    const [first] = (await firstFrames(1)) as [Uint8Array];
    for (const wrong of [{ keyId: 3 }, { algorithm: 2 }]) {
      await expect(keeper.accept({ ...right, role: 'responder', ...wrong }, first)).rejects.toMatchObject({
        reason: 'unexpected',
      });
    }
  });
});

describe('retirement', () => {
  it('lets one last envelope go, then wipes the key when both sides have retired it', async () => {
    const wire = link();
    wire.client.registry.negotiate(PSK);
    await wire.run();
    const [client, server] = [wire.client.registry, wire.server.registry];
    server.confirmGeneration(1, 1);
    client.bind(1, 7);
    expect(() => client.retire(1)).toThrow(expect.objectContaining({ scope: 'usage' }));
    client.unbind(1, 7);

    const sender = client.sender(1);
    wire.client.retire(1);
    expect(client.sender(1)).toBeUndefined();
    const head = sealedHead(1, 1, 17);
    const last = Buffer.concat(sender?.seal(head, [Uint8Array.of(1)]) ?? []);
    expect(() => sender?.seal(head, [Uint8Array.of(1)])).toThrow(KeyError);
    expect(server.receiver(1, 1)?.open(head, last)).toHaveLength(1);
    wire.server.receive(wire.client.outbox.at(-1) as Uint8Array);
    expect(server.receiver(1, 1)).toBeUndefined();
    expect(passEnvelope(wire.server, wire.client, 1, 'the other direction lives')).toBeTruthy();
    const proofs = () => [client, server].map((registry) => registry.switchProof(1, 1, Uint8Array.of(1)));
    expect(proofs()[0]).toHaveLength(32);
    expect(proofs()[1]).toEqual(proofs()[0]);

    wire.server.retire(1);
    wire.client.receive(wire.server.outbox.at(-1) as Uint8Array);
    expect(proofs()).toEqual([undefined, undefined]);
    for (const side of [wire.client, wire.server]) {
      expect(side.events.at(-1)).toEqual({ type: 'retired', keyId: 1 });
      expect(side.registry.info(1)).toBeUndefined();
      expect(() => side.registry.retire(1)).toThrow(KeyError);
    }
    const [again] = (await firstFrames(1, 'again')) as [Uint8Array];
    wire.server.receive(again);
    expect(wire.server.failure?.reason).toBe('key-id');
  });

  const retire = (change: Partial<NegoFrame> = {}) =>
    encodeNego({
      keyId: 1,
      algorithm: 1,
      fin: true,
      reject: false,
      retire: true,
      data: new Uint8Array(0),
      ...change,
    });

  for (const [what, frames] of [
    ['twice', [retire(), retire()]],
    ['with data', [retire({ data: Uint8Array.of(0) })]],
    ['with another ALG_ID', [retire({ algorithm: 2 })]],
    ['of a key that does not exist', [retire({ keyId: 3 })]],
  ] as const) {
    it(`${what} is an error`, async () => {
      const wire = link();
      wire.client.registry.negotiate(PSK);
      await wire.run();
      for (const frame of frames) wire.server.receive(frame);
      expect(wire.server.failure).toBeDefined();
    });
  }

  it('is an error while the run goes on', async () => {
    const side = await started(PSK);
    expect(() => side.registry.retire(1)).toThrow(KeyError);
    side.receive(retire());
    expect(side.failure?.reason).toBe('unexpected');
    expect(() => side.registry.retire(1)).toThrow(KeyError);
  });
});

describe('the end', () => {
  it('wipes keys and runs, and nothing comes after it', async () => {
    const wire = link();
    wire.client.registry.negotiate(PSK);
    await wire.run();
    const [sender, receiver] = [wire.client.registry.sender(1), wire.client.registry.receiver(1, 1)];
    const exporter = wire.client.registry.exporter(1);
    wire.client.registry.close();
    expect(wire.client.registry.poll()).toBeUndefined();
    expect(() => sender?.seal(sealedHead(1, 1, 17), [Uint8Array.of(1)])).toThrow(KeyError);
    expect(() => receiver?.open(sealedHead(1, 1, 17), new Uint8Array(17))).toThrow(KeyError);
    expect(exporter?.wiped).toBe(true);
    expect(wire.client.registry.switchProof(1, 1, Uint8Array.of(1))).toBeUndefined();
    expect(() => wire.client.registry.negotiate(PSK)).toThrow(KeyError);
    wire.client.receive(wire.frames[1] as Uint8Array);
    expect(wire.client.failure).toBeUndefined();
  });

  it('leaves keys able to seal after a failure, for GOAWAY, but listens no more', async () => {
    const wire = link();
    wire.client.registry.negotiate(PSK);
    await wire.run();
    wire.client.receive(rejection({}));
    expect(wire.client.failure).toBeDefined();
    expect(wire.client.registry.sender(1)?.seal(sealedHead(1, 1, 17), [Uint8Array.of(1)])).toHaveLength(2);
    const events = wire.client.events.length;
    wire.client.receive(rejection({}));
    expect(wire.client.events).toHaveLength(events);
  });

  it('comes if the client changes its nesting depth after a run has begun', async () => {
    const side = new Side('server', keeperOf('server'));
    side.registry.setDepth(1);
    side.registry.setDepth(2);
    side.registry.negotiate(PSK);
    side.registry.setDepth(2);
    side.pump();
    expect(side.failure).toBeUndefined();
    side.registry.setDepth(3);
    side.pump();
    expect(side.failure?.reason).toBe('unexpected');
  });
});

/** The first messages of so many runs of a client. */
async function firstFrames(
  count: number,
  seed = 'client',
  options: NegotiateOptions = PSK,
): Promise<Uint8Array[]> {
  const side = new Side('client', keeperOf(seed));
  for (let index = 0; index < count; index++) side.registry.negotiate(options);
  await side.settle();
  return side.outbox;
}

async function served(frames: readonly Uint8Array[]): Promise<Side> {
  const side = new Side('server', keeperOf('server'));
  await side.play(frames);
  return side;
}

async function started(options: NegotiateOptions): Promise<Side> {
  const side = new Side('client', keeperOf('client'));
  side.registry.negotiate(options);
  await side.settle();
  return side;
}

function rejection(fields: Partial<NegoFrame>): Uint8Array {
  return encodeNego({
    keyId: 1,
    algorithm: 1,
    fin: true,
    reject: true,
    retire: false,
    data: Uint8Array.of(2, 0),
    ...fields,
  });
}

/** A keeper that answers when it is told to. */
function slowKeeper(real: Keeper) {
  const waiting: (() => void)[] = [];
  const steps: Step[] = [];
  const abandoned: number[] = [];
  const later = async (step: () => Promise<Step>): Promise<Step> => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    const made = await step();
    for (const { secret } of made.secrets) expect(secret).toBeInstanceOf(Secret);
    steps.push(made);
    return made;
  };
  const keeper: Keeper = {
    algorithms: real.algorithms,
    start: (context, offer) => later(() => real.start(context, offer)),
    accept: (context, first) => later(() => real.accept(context, first)),
    receive: (run, frame) => later(() => real.receive(run, frame)),
    abandon: (run) => {
      abandoned.push(run);
      real.abandon(run);
    },
  };
  const answer = async (): Promise<void> => {
    for (const resolve of waiting.splice(0)) resolve();
    await new Promise(setImmediate);
  };
  return { keeper, answer, steps, abandoned };
}
