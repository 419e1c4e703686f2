import { ALGORITHM } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { LeakyKeeper } from '../support/keepers.ts';
import { at, type Middle } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, expectKeyFailure, failureOf, Keys, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const METHODS = [
  ['psk', ALGORITHM.PSK],
  ['spiped', ALGORITHM.SPIPED],
  ['psk-x25519', ALGORITHM.PSK_X25519],
  ['hybrid', ALGORITHM.HYBRID],
  ['anonymous', ALGORITHM.ANONYMOUS],
] as const;

/**
 * The victim really talks to the attacker's origin, and the attacker really to the honest one. With both he shares what there is to share, and he
 * wants the two keys to be the same.
 */
async function twoLegs(
  algorithm: number,
  meddle?: (legs: () => readonly Middle[]) => Parameters<typeof Middle.start>[2],
) {
  const legs: Middle[] = [];
  const keys = new Keys();
  const keeper = (): LeakyKeeper => new LeakyKeeper(keys.keeper({ anonymous: [ALPHA] }));
  const [near, far] = [
    { client: keeper(), origin: keeper() },
    { client: keeper(), origin: keeper() },
  ];
  const meddler = meddle?.(() => legs);
  const first = await setVictims(scope, { keys, keeper: near, ...(meddler ? { meddle: meddler } : {}) });
  const second = await setVictims(scope, { keys, keeper: far });
  legs.push(first.middle, second.middle);
  const label = algorithm === ALGORITHM.ANONYMOUS ? 'anonymous' : keys.of(ALPHA);
  const negotiate = (victims: typeof first) =>
    victims.client.negotiate({ algorithm, label, authority: ALPHA });
  return { first, second, near, far, negotiate };
}

describe.each(METHODS)('C6: triple handshake, %s', (_name, algorithm) => {
  test('the two ends of a leg agree on the secret, two legs never do', async () => {
    const { first, second, near, far, negotiate } = await twoLegs(algorithm);
    await Promise.all([negotiate(first), negotiate(second)]);
    expect(near.client.secrets.length).toBeGreaterThan(0);
    expect(near.origin.secrets).toEqual(near.client.secrets);
    expect(far.origin.secrets).toEqual(far.client.secrets);
    const all = [...near.client.secrets, ...far.client.secrets];
    expect(new Set(all).size).toBe(all.length);
  });

  test('what the victim seals for the attacker does not open at the honest origin', async () => {
    const { first, second, negotiate } = await twoLegs(algorithm, (legs) =>
      at('up sealed 0', ({ bytes }) => {
        legs()[1]?.wire.send('up', bytes);
        return [];
      }),
    );
    const key = await negotiate(first);
    await negotiate(second);
    void failureOf(tell(first.client.request({ host: ALPHA, path: '/', key })));
    await expectKeyFailure(second);
    expect(second.delivered).toEqual([]);
  });
});
