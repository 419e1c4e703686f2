import { ALGORITHM } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { Scope } from '../support/scope.ts';
import { ALPHA, setVictims } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** Where fresh values begin in the data of messages, counted from the end, with their lengths. */
const METHODS = [
  { name: 'psk', algorithm: ALGORITHM.PSK, up: [[64, 32]], down: [[64, 32]] },
  {
    name: 'spiped',
    algorithm: ALGORITHM.SPIPED,
    up: [
      [32, 32],
      [288, 256],
    ],
    down: [
      [32, 32],
      [320, 256],
    ],
  },
  { name: 'psk-x25519', algorithm: ALGORITHM.PSK_X25519, up: [[48, 32]], down: [[48, 32]] },
  {
    name: 'hybrid',
    algorithm: ALGORITHM.HYBRID,
    up: [
      [1248, 32],
      [1216, 1184],
    ],
    down: [
      [1152, 32],
      [1120, 1088],
    ],
  },
] as const;

describe.each(METHODS)('H8: ephemeral keys, $name', ({ algorithm, up, down }) => {
  test('no two of 8 runs with the same two keepers share a value', async () => {
    const victims = await setVictims(scope);
    for (let run = 0; run < 8; run++) {
      await victims.key(ALPHA, algorithm, await victims.connect());
    }
    const values: string[] = [];
    for (const wire of victims.middle.wires.slice(1)) {
      for (const [way, places] of [
        ['up', up],
        ['down', down],
      ] as const) {
        const messages = wire.sent(way, 'key-nego').map(({ bytes }) => bytes);
        for (const [index, [fromEnd, length]] of places.entries()) {
          const bytes = messages[Math.min(index, messages.length - 1)] as Buffer;
          values.push(
            bytes.subarray(bytes.length - fromEnd, bytes.length - fromEnd + length).toString('hex'),
          );
        }
      }
    }
    expect(values).toHaveLength(8 * (up.length + down.length));
    expect(new Set(values).size).toBe(values.length);
  });
});
