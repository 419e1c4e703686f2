import { describe, expect, it } from 'vitest';
import {
  ALGORITHM,
  ALGORITHM_NAMES,
  ANONYMOUS_LABEL,
  algorithmId,
  algorithmName,
  type KeyError,
  Keyring,
  LocalKeeper,
  SHARED_KEY_PREFERENCE,
} from '../src/index.ts';
import { infoOf, keeperOf, LABEL, Link, link, passEnvelope, Side } from './link.ts';
import { seeded } from './random.ts';

const ANONYMOUS = { algorithm: ALGORITHM.ANONYMOUS, label: ANONYMOUS_LABEL, authority: '' };

describe('an anonymous key', () => {
  it('is made by both sides without any long-term key, and says that it proves nobody', async () => {
    const keeper = (seed: string) =>
      new LocalKeeper({ keyring: new Keyring(), anonymous: [''], random: seeded(seed) });
    const wire = new Link(new Side('client', keeper('client')), new Side('server', keeper('server')));
    wire.client.registry.negotiate(ANONYMOUS);
    await wire.run();
    expect(passEnvelope(wire.client, wire.server, 1, 'hello')).toBe('hello');
    expect(passEnvelope(wire.server, wire.client, 1, 'and back')).toBe('and back');
    for (const side of [wire.client, wire.server]) {
      expect(infoOf(side, 1)).toMatchObject({ level: 'passive', peer: 'anonymous', forwardSecrecy: true });
    }
  });

  it('is rejected where policy does not name any authority for it', async () => {
    const wire = link({ server: { anonymous: [] } });
    wire.client.registry.negotiate(ANONYMOUS);
    await wire.run();
    expect(wire.client.rejections()).toMatchObject([{ reason: 2, algorithms: [1, 2, 3, 4, 6] }]);
    expect(wire.server.failure).toBeUndefined();
  });

  it('is made for the authorities of the policy only, in both roles', async () => {
    const wire = link({ server: { anonymous: ['b.example'] } });
    wire.client.registry.negotiate({ ...ANONYMOUS, authority: 'a.example' });
    await wire.run();
    expect(wire.server.failure).toMatchObject({ scope: 'session', reason: 'not-anonymous' });
    expect(wire.server.established).toEqual([]);

    const own = link();
    own.client.registry.negotiate({ ...ANONYMOUS, authority: 'c.example' });
    await own.run();
    expect(own.client.failure).toMatchObject({ scope: 'usage', code: 'ERR_KEYMUX_KEY_UNKNOWN' });
    expect(own.frames).toEqual([]);
  });

  it('has a label of its own, which no other key can have', () => {
    const { registry } = link().client;
    const usage = expect.objectContaining<Partial<KeyError>>({ code: 'ERR_KEYMUX_KEY_USAGE' });
    expect(() => registry.negotiate({ ...ANONYMOUS, label: LABEL })).toThrow(usage);
    for (const algorithm of [ALGORITHM.PSK, ALGORITHM.SPIPED, ALGORITHM.PSK_X25519, ALGORITHM.HYBRID]) {
      expect(() => registry.negotiate({ ...ANONYMOUS, algorithm })).toThrow(usage);
    }
  });

  it('C18: lets an active attacker in, and so has a level that no policy takes for authenticated', async () => {
    const { client, towardsClient, towardsServer, server } = await relayed();
    expect(passEnvelope(client, towardsClient, 1, 'secret')).toBe('secret'); // who is in the middle reads it
    expect(passEnvelope(towardsServer, server, 1, 'forged')).toBe('forged'); // and speaks to the server
    for (const side of [client, server]) expect(infoOf(side, 1).level).toBe('passive');
  });

  it('C6: does not tie two sessions together: what is in the middle has two different exporters', async () => {
    const { client, server } = await relayed();
    const exported = [client, server].map((side) =>
      side.registry.exporter(1)?.use((bytes) => Buffer.from(bytes).toString('hex')),
    );
    expect(exported[0]).toHaveLength(64);
    expect(exported[0]).not.toBe(exported[1]);
  });

  it('is never preferred to one that proves the peer, whichever came first', async () => {
    for (const order of [
      [ALGORITHM.PSK, ALGORITHM.ANONYMOUS],
      [ALGORITHM.ANONYMOUS, ALGORITHM.PSK],
    ]) {
      const wire = link();
      for (const algorithm of order) {
        const label = algorithm === ALGORITHM.ANONYMOUS ? ANONYMOUS_LABEL : LABEL;
        wire.client.registry.negotiate({ algorithm, label, authority: '' });
        await wire.run();
      }
      const best = wire.client.registry.connectionKey() ?? 0;
      expect(infoOf(wire.client, best).algorithm).toBe(ALGORITHM.PSK);
    }
  });
});

describe('the algorithms of a keeper', () => {
  const algorithms = (options: object) => new LocalKeeper({ keyring: new Keyring(), ...options }).algorithms;

  it('are all that prove the peer, unless it is told otherwise', () => {
    expect(algorithms({})).toEqual([1, 2, 3, 6]);
    expect(algorithms({ anonymous: [''] })).toEqual([1, 2, 3, 5, 6]);
    expect(algorithms({ algorithms: [3, 2] })).toEqual([2, 3]);
    expect(algorithms({ algorithms: [], anonymous: [''] })).toEqual([5]);
    for (const options of [{ algorithms: [5] }, { algorithms: [4] }, { algorithms: [200] }]) {
      expect(() => algorithms(options)).toThrow(expect.objectContaining({ code: 'ERR_KEYMUX_KEY_USAGE' }));
    }
  });

  it('have one name each', () => {
    expect(ALGORITHM_NAMES).toEqual(['psk', 'spiped', 'psk-x25519', 'signed', 'anonymous', 'hybrid']);
    expect(ALGORITHM_NAMES.map(algorithmId)).toEqual([1, 2, 3, 4, 5, 6]);
    for (const name of ALGORITHM_NAMES) expect(algorithmName(algorithmId(name))).toBe(name);
    expect(algorithmName(7)).toBe('algorithm 7');
    expect(SHARED_KEY_PREFERENCE.map(algorithmName)).toEqual(['psk-x25519', 'hybrid', 'spiped']);
  });
});

/** A client and a server, each in a session with the same attacker. */
async function relayed() {
  const left = new Link(new Side('client', keeperOf('client')), new Side('server', keeperOf('attacker')));
  const right = new Link(new Side('client', keeperOf('attacker')), new Side('server', keeperOf('server')));
  for (const wire of [left, right]) {
    wire.client.registry.negotiate(ANONYMOUS);
    await wire.run();
    passEnvelope(wire.client, wire.server, 1, 'proves the client');
  }
  return {
    client: left.client,
    towardsClient: left.server,
    towardsServer: right.client,
    server: right.server,
  };
}
