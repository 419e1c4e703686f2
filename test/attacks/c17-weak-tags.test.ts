import { afterEach, describe, expect, test } from 'vitest';
import { at, flipped, type Meddler, type Passing } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, expectKeyFailure, failureOf, SECRET, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

async function ask(meddle?: Meddler) {
  const victims = await setVictims(scope, meddle ? { meddle } : {});
  const key = await victims.key(ALPHA);
  const told = await tell(victims.client.request({ host: ALPHA, path: '/', key })).catch(
    (error: Error) => error,
  );
  return { victims, told };
}

/** An envelope that ends `bytes` earlier. */
function shorter({ bytes: frame }: Passing, bytes: number): Buffer {
  return resized(Buffer.from(frame.subarray(0, frame.length - bytes)));
}

/** With the length that it has. */
function resized(frame: Buffer): Buffer {
  frame.writeUIntBE(frame.length - 8, 5, 3);
  return frame;
}

/** The same ciphertext with part of the tag, or with another one. */
const attacks: readonly (readonly [string, (passing: Passing) => Buffer])[] = [
  ...[4, 8, 12, 13, 14, 15].map(
    (left) => [`a tag of ${left} bytes`, (p: Passing) => shorter(p, 16 - left)] as const,
  ),
  ['no tag', (p) => shorter(p, 16)],
  ['a tag of zeros', ({ bytes }) => Buffer.concat([bytes.subarray(0, -16), Buffer.alloc(16)])],
  ['a longer tag', (p) => resized(Buffer.concat([p.bytes, Buffer.alloc(1)]))],
  ['a tag with its first bit changed', ({ bytes }) => flipped(bytes, -16, 0x80)],
  ['a tag with its last bit changed', ({ bytes }) => flipped(bytes, -1)],
  ['one bit of ciphertext changed', ({ bytes }) => flipped(bytes, 12)],
  ['another key ID', ({ bytes }) => flipped(bytes, 8, 0x02)],
  ['another generation', ({ bytes }) => flipped(bytes, 9)],
  ['a flag set', ({ bytes }) => flipped(bytes, 4)],
];

describe('C17: weak use of AEAD interfaces', () => {
  test('control: envelopes as they were sealed', async () => {
    const { victims, told } = await ask();
    expect(told).toMatchObject({ status: 200, body: expect.stringContaining(SECRET) });
    expect(victims.delivered).toHaveLength(1);
  });

  test.each(attacks)('a request with %s: not a byte of it gets out', async (_what, edit) => {
    const { victims, told } = await ask(at('up sealed 0', edit));
    expect(told).toBeInstanceOf(Error);
    expect(victims.delivered).toEqual([]);
    await expectKeyFailure(victims);
  });

  test.each(attacks)('an answer with %s: not a byte of it gets out', async (_what, edit) => {
    const { victims, told } = await ask(at('down sealed 0', edit));
    expect(await failureOf(Promise.reject(told))).toBeInstanceOf(Error);
    expect(JSON.stringify(told)).not.toContain(SECRET);
    await expectKeyFailure(victims);
  });
});
