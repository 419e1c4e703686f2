import { createHash } from 'node:crypto';
import { ALGORITHM } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { Scope } from '../support/scope.ts';
import { ALPHA, Keys, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** Random bits of exponents whose public value begins with a zero byte; one in 256 is such. */
const SHORT = [338, 394].map((index) => createHash('sha256').update(`exponent ${index}`).digest());

/** Draws a fresh nonce, then the exponent. */
function drawing(exponent: Buffer | undefined, name: string): (length: number) => Uint8Array {
  let drawn = 0;
  return () => {
    drawn++;
    return drawn % 2 === 0 && exponent
      ? Buffer.from(exponent)
      : createHash('sha256').update(`${name} ${drawn}`).digest();
  };
}

describe('H7: leading zeros in Diffie-Hellman values', () => {
  test.each([
    ['control: neither', undefined, undefined],
    ['the client’s', SHORT[0], undefined],
    ['the origin’s', undefined, SHORT[1]],
    ['both', SHORT[0], SHORT[1]],
  ])('%s: 256 bytes on the wire, and a key that works', async (_who, ours, theirs) => {
    const keys = new Keys();
    const keeper = {
      client: keys.keeper({ random: drawing(ours, 'client') }),
      origin: keys.keeper({ random: drawing(theirs, 'origin') }),
    };
    const victims = await setVictims(scope, { keys, keeper });
    const key = await victims.key(ALPHA, ALGORITHM.SPIPED);
    expect(await tell(victims.client.request({ host: ALPHA, path: '/', key }))).toMatchObject({
      status: 200,
    });
    const { wire } = victims.middle;
    const values = [wire.sent('up', 'key-nego')[1], wire.sent('down', 'key-nego')[1]].map((passing) =>
      passing?.bytes.subarray(12),
    );
    expect(values.map((data) => data?.length)).toEqual([256 + 32, 256 + 32 + 32]);
    expect(values.map((data) => data?.[0] === 0)).toEqual([ours !== undefined, theirs !== undefined]);
  });
});
