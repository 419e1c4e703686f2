import { describe, expect, it } from 'vitest';
import { ALGORITHM } from '../src/index.ts';
import { REPLAY_WINDOW, ReplayCache } from '../src/replay-cache.ts';
import { CLOCK, keeperOf, LABEL, link, passEnvelope, Side, sealedHead } from './link.ts';
import { METHODS } from './methods.ts';
import { seeded } from './random.ts';

describe('C12: a first message of psk, sent again', () => {
  it('is refused by the same keeper, in whatever session', async () => {
    const keeper = keeperOf('server');
    const { first } = await recordedRun();
    const once = new Side('server', keeper);
    await once.play([first]);
    expect(once.established).toHaveLength(1);
    const again = new Side('server', keeper);
    await again.play([first]);
    expect(again.failure?.reason).toBe('replay');
    expect(again.events.some((event) => event.type === 'established')).toBe(false);
  });

  it('gets from a sister keeper no more than early data, marked as such, and other keys', async () => {
    const { first, early, later } = await recordedRun();
    const sister = new Side('server', keeperOf('sister'));
    await sister.play([first]);
    const opened = sister.registry.receiver(1, 0);
    expect(opened?.info.early).toBe(true);
    expect(Buffer.from(opened?.open(early.head, early.body) ?? []).toString()).toBe('early');
    expect(() => sister.registry.receiver(1, 1)?.open(later.head, later.body)).toThrow(
      expect.objectContaining({ reason: 'envelope' }),
    );
  });

  it('is refused once its time is over, and while it has not come', async () => {
    const { first } = await recordedRun();
    for (const [offset, reason] of [
      [-REPLAY_WINDOW - 1, 'clock'],
      [-REPLAY_WINDOW, undefined],
      [REPLAY_WINDOW, undefined],
      [REPLAY_WINDOW + 1, 'clock'],
    ] as const) {
      const server = new Side('server', keeperOf('server', { clock: () => CLOCK + offset }));
      await server.play([first]);
      expect(server.failure?.reason).toBe(reason);
    }
  });

  it('leads to early data that may repeat, as long as an earlier process can have accepted it', async () => {
    const { first } = await recordedRun();
    for (const [started, mayRepeat] of [
      [CLOCK - REPLAY_WINDOW - 1, undefined],
      [CLOCK - REPLAY_WINDOW, true],
      [CLOCK, true],
    ] as const) {
      const server = new Side('server', keeperOf('server', { replaysKnownSince: started }));
      await server.play([first]);
      expect(server.registry.receiver(1, 0)?.info.mayRepeat).toBe(mayRepeat);
      expect(server.registry.receiver(1, 1)?.info.mayRepeat).toBeUndefined();
    }
  });

  it('is refused when the cache is full', async () => {
    const wire = link({ server: { replayCapacity: 1 } });
    for (let run = 0; run < 2; run++) {
      wire.client.registry.negotiate({ algorithm: ALGORITHM.PSK, label: LABEL, authority: '' });
      await wire.run();
    }
    expect(wire.server.failure?.reason).toBe('replay-cache-full');
  });
});

describe('a first message of two that make the key together, sent again', () => {
  // psk is above; in spiped and signed it is the third message that proves the initiator.
  const others = METHODS.filter(({ algorithm, messages }) => messages === 2 && algorithm !== ALGORITHM.PSK);
  it.each(others)(
    '$name: makes another key that proves nobody, opens nothing and seals nothing',
    async (method) => {
      const { algorithm, label } = method;
      const wire = link();
      wire.client.registry.negotiate({ algorithm, label, authority: '' });
      await wire.run();
      const recorded = seal(wire.client, 0, 'recorded');
      const keeper = keeperOf('later');
      for (let session = 0; session < 2; session++) {
        const server = new Side('server', keeper);
        await server.play([wire.frames[0] as Uint8Array]);
        expect(server.registry.info(1)?.level).toBe('none');
        expect(server.registry.sender(1)).toBeUndefined();
        expect(() => server.registry.receiver(1, 0)?.open(recorded.head, recorded.body)).toThrow(
          expect.objectContaining({ reason: 'envelope' }),
        );
        expect(server.registry.connectionKey()).toBeUndefined();
      }
    },
  );
});

describe('the replay cache', () => {
  const [a, b] = [seeded('a')(32), seeded('b')(32)];

  it('remembers by label', () => {
    const cache = new ReplayCache();
    expect(cache.admit('x', a, CLOCK, CLOCK)).toBe('fresh');
    expect(cache.admit('x', a, CLOCK, CLOCK)).toBe('replay');
    expect(cache.admit('x', a, CLOCK + 1, CLOCK)).toBe('replay');
    expect(cache.admit('x', b, CLOCK, CLOCK)).toBe('fresh');
    expect(cache.admit('y', a, CLOCK, CLOCK)).toBe('fresh');
  });

  it('never forgets what could be accepted again', () => {
    for (const offset of [-REPLAY_WINDOW, -1, 0, 1, 999, REPLAY_WINDOW]) {
      const cache = new ReplayCache();
      const timestamp = CLOCK + offset;
      expect(cache.admit('x', a, timestamp, CLOCK)).toBe('fresh');
      for (let now = CLOCK; now <= timestamp + REPLAY_WINDOW + 2000; now += 250) {
        expect(cache.admit('x', a, timestamp, now)).not.toBe('fresh');
      }
    }
  });

  it('refuses when full, and has room again when entries have expired', () => {
    const cache = new ReplayCache(2);
    expect(cache.admit('x', a, CLOCK, CLOCK)).toBe('fresh');
    expect(cache.admit('x', b, CLOCK, CLOCK)).toBe('fresh');
    const late = CLOCK + REPLAY_WINDOW;
    expect(cache.admit('x', seeded('c')(32), late, late)).toBe('full');
    expect(cache.admit('x', a, CLOCK, late)).toBe('replay');
    const later = late + 1000;
    expect(cache.admit('x', seeded('c')(32), later, later)).toBe('fresh');
  });

  it('does not take again what it has forgotten, if the clock is set back', () => {
    const cache = new ReplayCache();
    expect(cache.admit('x', a, CLOCK, CLOCK)).toBe('fresh');
    expect(cache.admit('x', b, CLOCK + 60_000, CLOCK + 60_000)).toBe('fresh');
    expect(cache.admit('x', a, CLOCK, CLOCK)).toBe('clock');
  });
});

/** An honest run, of which somebody has recorded the first message and an envelope of each generation. */
async function recordedRun() {
  const wire = link();
  wire.client.registry.negotiate({ algorithm: ALGORITHM.PSK, label: LABEL, authority: '' });
  await wire.client.settle();
  const early = seal(wire.client, 0, 'early');
  await wire.run();
  const later = seal(wire.client, 1, 'later');
  wire.server.registry.receiver(1, 1)?.open(later.head, later.body);
  expect(passEnvelope(wire.server, wire.client, 1, 'answer')).toBe('answer');
  return { first: wire.frames[0] as Uint8Array, early, later };
}

function seal(side: Side, generation: number, text: string) {
  const head = sealedHead(1, generation, text.length + 16);
  const body = Buffer.concat(side.registry.sender(1)?.seal(head, [Buffer.from(text)]) ?? []);
  return { head, body };
}
