import { afterEach, describe, expect, test } from 'vitest';
import { at, flipped } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, failureOf, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** What the origin says after an envelope of the client was changed in some way. */
async function answerTo(change: (envelope: Buffer) => Uint8Array) {
  const victims = await setVictims(scope, { meddle: at('up sealed 0', ({ bytes }) => change(bytes)) });
  const key = await victims.key(ALPHA);
  await failureOf(tell(victims.client.request({ host: ALPHA, path: '/', key })));
  expect(await victims.sessions[0]?.closed).toBeInstanceOf(Error);
  expect(victims.delivered).toEqual([]);
  const { seen } = victims.middle.wire;
  const answer = seen.findLastIndex(({ way, type }) => way === 'down' && type === 'key-nego');
  const after = seen.slice(answer + 1).filter(({ way }) => way === 'down');
  await scope.close();
  return Buffer.concat(after.map(({ bytes }) => bytes)).toString('hex');
}

const GOAWAY = '80030007000000080000000000004b01';

describe('H20: decryption oracle', () => {
  test('whatever is changed in an envelope, the answer is the same 16 bytes', async () => {
    const sizes: number[] = [];
    await answerTo((bytes) => {
      sizes.push(bytes.length);
      return flipped(bytes, -1);
    });
    const [size] = sizes as [number];
    // From the key ID on: what is before says where the envelope ends.
    for (let index = 8; index < size; index += 7) {
      expect(await answerTo((bytes) => flipped(bytes, index, 1 << (index % 8)))).toBe(GOAWAY);
    }
    for (const mask of [0x01, 0x80, 0xff])
      expect(await answerTo((bytes) => flipped(bytes, 4, mask))).toBe(GOAWAY);
  });

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ['cut to its tag', (bytes) => Buffer.concat([bytes.subarray(0, 10), bytes.subarray(-16)])],
    ['cut to less', (bytes) => bytes.subarray(0, 20)],
    ['its ciphertext twice', (bytes) => Buffer.concat([bytes, bytes.subarray(10)])],
    ['zeros', (bytes) => Buffer.concat([bytes.subarray(0, 10), Buffer.alloc(bytes.length - 10)])],
    ['larger than allowed', (bytes) => Buffer.concat([bytes, Buffer.alloc(70_000)])],
  ])('%s: the same', async (_what, change) => {
    const answer = await answerTo((bytes) => {
      const changed = Buffer.from(change(bytes));
      changed.writeUIntBE(changed.length - 8, 5, 3);
      return changed;
    });
    expect(answer).toBe(GOAWAY);
  });
});
