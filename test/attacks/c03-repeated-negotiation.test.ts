import { once } from 'node:events';
import { connect } from 'node:net';
import { ALGORITHM, type KeyInfo } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { at, flipped, type Meddler, type Way } from '../support/middle.ts';
import { recordNonces } from '../support/nonces.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, expectKeyFailure, failureOf, setVictims, tell, type Victims } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** Two requests under a key. */
async function use(algorithm: number, meddle?: Meddler): Promise<{ victims: Victims; used: string[] }> {
  const used = recordNonces(scope);
  const victims = await setVictims(scope, meddle ? { meddle } : {});
  const key = await victims.key(ALPHA, algorithm).catch(() => undefined);
  if (key === undefined) return { victims, used };
  for (const path of ['/1', '/2']) {
    await failureOf(tell(victims.client.request({ host: ALPHA, path, key })));
  }
  return { victims, used };
}

function expectNoNonceTwice(used: readonly string[]): void {
  expect(new Set(used).size).toBe(used.length);
}

const METHODS = [
  { name: 'psk', algorithm: ALGORITHM.PSK, messages: { up: 1, down: 1 } },
  { name: 'spiped', algorithm: ALGORITHM.SPIPED, messages: { up: 2, down: 2 } },
  { name: 'psk-x25519', algorithm: ALGORITHM.PSK_X25519, messages: { up: 1, down: 1 } },
  { name: 'hybrid', algorithm: ALGORITHM.HYBRID, messages: { up: 1, down: 1 } },
];

describe.each(METHODS)('C3: a negotiation is repeated, $name', ({ algorithm, messages }) => {
  test('control: both requests are answered, and no nonce is used twice', async () => {
    const { victims, used } = await use(algorithm);
    expect(victims.delivered).toHaveLength(2);
    expect(used.length).toBeGreaterThanOrEqual(4);
    expectNoNonceTwice(used);
  });

  const places = (['up', 'down'] as const).flatMap((way) =>
    Array.from({ length: messages[way] }, (_, nth) => [way, nth] as const),
  );

  test.each(places)('message %s %d comes twice', async (way, nth) => {
    const { victims, used } = await use(
      algorithm,
      at(`${way} key-nego ${nth}`, ({ bytes }) => [bytes, bytes]),
    );
    await expectKeyFailure(victims);
    expectNoNonceTwice(used);
  });

  test.each(places)('message %s %d comes again when the key is in use', async (way, nth) => {
    const again = (type: 'sealed', from: Way): Meddler =>
      at(`${from} ${type} 1`, ({ bytes }, wire) => {
        const message = wire.sent(way, 'key-nego')[nth]?.bytes as Buffer;
        return from === way ? [message, bytes] : bytes;
      });
    const { victims, used } = await use(algorithm, again('sealed', way));
    await expectKeyFailure(victims);
    expect(victims.delivered.length).toBeLessThanOrEqual(2);
    expectNoNonceTwice(used);
  });

  test('all that the client sent is played to the origin again', async () => {
    const { victims, used } = await use(algorithm);
    const { middle, delivered, sessions, port } = victims;
    const attacker = connect({ port, host: '127.0.0.1' });
    scope.defer(() => attacker.destroy());
    attacker.resume();
    attacker.write(
      Buffer.concat(middle.wire.seen.filter(({ way }) => way === 'up').map(({ bytes }) => bytes)),
    );
    await once(attacker, 'close');
    expect(await sessions[1]?.closed).toMatchObject({ code: 'ERR_KEYMUX_KEY_FAILURE' });
    expect(delivered).toHaveLength(2); // those of the victim
    expectNoNonceTwice(used);
  });
});

describe('C3: a renegotiation is repeated', () => {
  /** Requests under both generations of a key. */
  async function renew(meddle?: Meddler) {
    const { victims, used } = await use(ALGORITHM.PSK_X25519, meddle);
    const { client } = victims;
    const key = client.session.key(1) as KeyInfo;
    const failure = await failureOf(
      client.session
        .renegotiate(key)
        .then(() => tell(client.request({ host: ALPHA, path: '/3', key })))
        .then(() => tell(client.request({ host: ALPHA, path: '/4', key }))),
    );
    return { victims, used, failure };
  }

  test('control: four requests under two generations, and no nonce is used twice', async () => {
    const { victims, used, failure } = await renew();
    expect(failure).toBeUndefined();
    expect(victims.delivered).toHaveLength(4);
    expect(victims.middle.wire.sent('up', 'sealed').map(({ bytes }) => bytes[9])).toContain(1);
    expectNoNonceTwice(used);
  });

  test.each<[string, Meddler]>([
    ['its first message comes twice', at('up key-nego 1', ({ bytes }) => [bytes, bytes])],
    ['its answer comes twice', at('down key-nego 1', ({ bytes }) => [bytes, bytes])],
    [
      'the first run’s message stands in its place',
      at('up key-nego 1', (_passing, wire) => wire.sent('up', 'key-nego')[0]?.bytes ?? []),
    ],
    [
      'the first run’s answer stands in the place of its own',
      at('down key-nego 1', (_passing, wire) => wire.sent('down', 'key-nego')[0]?.bytes ?? []),
    ],
    ['one bit of its answer is another', at('down key-nego 1', ({ bytes }) => flipped(bytes, -1))],
  ])('%s', async (_what, meddle) => {
    const { victims, used, failure } = await renew(meddle);
    expect(failure).toBeDefined();
    await expectKeyFailure(victims);
    expect(victims.delivered.length).toBeLessThanOrEqual(3);
    expectNoNonceTwice(used);
  });
});
