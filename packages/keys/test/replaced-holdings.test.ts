import { describe, expect, it } from 'vitest';
import { ALGORITHM, Keyring, PreSharedKey } from '../src/index.ts';
import { REPLAY_WINDOW } from '../src/replay-cache.ts';
import { CLOCK, FILE, identitiesOf, keeperOf, LABEL, Link, link, Side } from './link.ts';
import { METHODS } from './methods.ts';

const NOTHING = { keyring: new Keyring() };

/** What `keeperOf` has, but for hosts of another name. */
function others() {
  const keyring = new Keyring();
  keyring.add(new PreSharedKey(FILE), { authorities: ['b.example'] });
  return { keyring, anonymous: ['b.example'] };
}

describe.each(METHODS)('a keeper whose keys are replaced, $name', ({ algorithm, label }) => {
  it('ends the runs that it has begun', async () => {
    const wire = link();
    const server = keeperOf('server');
    const changing = new Link(new Side('client', keeperOf('client')), new Side('server', server));
    changing.tamper = (frame, index) => {
      if (index === 1) server.replace(NOTHING);
      return [frame];
    };
    changing.client.registry.negotiate({ algorithm, label, authority: 'a.example' });
    await changing.run();
    wire.client.registry.negotiate({ algorithm, label, authority: 'a.example' });
    await wire.run();
    expect(changing.frames).toHaveLength(wire.frames.length);
    expect(changing.server.established).toHaveLength(1);
  });

  it('answers no more for what is gone', async () => {
    const server = keeperOf('server');
    server.replace(NOTHING);
    const wire = new Link(new Side('client', keeperOf('client')), new Side('server', server));
    wire.client.registry.negotiate({ algorithm, label, authority: 'a.example' });
    await wire.run();
    expect(wire.server.established).toEqual([]);
    expect(wire.client.established).toEqual([]);
  });
});

describe('a keeper whose keys are replaced', () => {
  it('says what it has now, also to whom it is limited', () => {
    const keeper = keeperOf('client');
    const limited = keeper.limitedTo(['b.example']);
    expect(limited.kept).toEqual([]);
    keeper.replace(others());
    expect(limited.kept.map(({ label, proves }) => [label, proves])).toEqual([
      [LABEL, 'key'],
      ['anonymous', 'nobody'],
    ]);
    expect(keeper.kept).toEqual(limited.kept);
    expect(limited.algorithms).not.toContain(ALGORITHM.SIGNED);
    expect(limited.algorithms).toEqual(keeper.algorithms);
  });

  it('keeps what it has if the new cannot be', () => {
    const keeper = keeperOf('client');
    const { kept, algorithms } = keeper;
    const impossible = { ...others(), algorithms: [ALGORITHM.SIGNED] };
    expect(() => keeper.replace(impossible)).toThrow(/nothing that it could be used for/);
    expect([keeper.kept, keeper.algorithms]).toEqual([kept, algorithms]);
  });

  it('takes early data no second time', async () => {
    const recorded = link();
    recorded.client.registry.negotiate({ algorithm: ALGORITHM.PSK, label: LABEL, authority: 'a.example' });
    await recorded.client.settle();
    const [first] = recorded.client.outbox;
    const keeper = keeperOf('server');
    const once = new Side('server', keeper);
    await once.play([first as Uint8Array]);
    expect(once.established).toHaveLength(1);
    const keyring = new Keyring();
    keyring.add(new PreSharedKey(FILE), { authorities: ['a.example'] });
    keeper.replace({ keyring, identities: identitiesOf('server') });
    const again = new Side('server', keeper);
    await again.play([first as Uint8Array]);
    expect(again.failure?.reason).toBe('replay');
  });

  const elsewhere = new PreSharedKey(FILE);
  it.each([
    ['stayed is as before', LABEL, CLOCK, undefined],
    ['has come may repeat: others may have accepted it', 'another', CLOCK, true],
    ['came longer ago than that counts is as before', 'another', CLOCK - REPLAY_WINDOW - 1, undefined],
  ])('early data under a key that %s', async (_, before, came, mayRepeat) => {
    const recorded = link();
    recorded.client.registry.negotiate({ algorithm: ALGORITHM.PSK, label: LABEL, authority: 'a.example' });
    await recorded.client.settle();
    let now = came;
    const had = new Keyring();
    had.add(elsewhere, { label: before, authorities: ['a.example'] });
    const keeper = keeperOf('server', { keyring: had, replaysKnownSince: 0, clock: () => now });
    const keyring = new Keyring();
    keyring.add(elsewhere, { authorities: ['a.example'] });
    keeper.replace({ keyring });
    now = CLOCK;
    const server = new Side('server', keeper);
    await server.play(recorded.client.outbox);
    expect(server.registry.receiver(1, 0)?.info.mayRepeat).toBe(mayRepeat);
  });
});
