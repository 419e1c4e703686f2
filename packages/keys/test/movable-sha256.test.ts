import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MovableSha256 } from '../src/index.ts';

test('it is SHA-256, and goes on from what was saved, anywhere', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ piece: fc.uint8Array({ maxLength: 200 }), moved: fc.boolean() }), {
        maxLength: 12,
      }),
      (steps) => {
        const expected = createHash('sha256');
        let hash = new MovableSha256();
        for (const { piece, moved } of steps) {
          expected.update(piece);
          hash.update(piece);
          if (moved) hash = new MovableSha256(hash.save());
          expect(hash.copy().digest()).toEqual(new Uint8Array(expected.copy().digest()));
        }
        expect(hash.digest()).toEqual(new Uint8Array(expected.digest()));
      },
    ),
  );
});

test('a copy goes its own way', () => {
  const hash = new MovableSha256();
  hash.update(Buffer.from('a'));
  const copy = hash.copy();
  copy.update(Buffer.from('b'));
  expect(hash.save()).toEqual(new MovableSha256(hash.save()).save());
  expect(copy.digest()).toEqual(new Uint8Array(createHash('sha256').update('ab').digest()));
  expect(hash.digest()).toEqual(new Uint8Array(createHash('sha256').update('a').digest()));
});

test('the saved state is the chaining value, the length, and what is no whole block (spec 13.4)', () => {
  const hash = new MovableSha256();
  expect(Buffer.from(hash.save()).toString('hex')).toBe(
    '6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd190000000000000000',
  );
  hash.update(Buffer.alloc(65, 'x'));
  const state = Buffer.from(hash.save()).toString('hex');
  expect(state.slice(64)).toBe(`0000000000000041${'78'}`);
});

test.each([
  ['nothing', 0],
  ['less than a chaining value', 31],
  ['no length', 39],
  ['a byte that the length does not have', 41],
])('%s is refused', (_name, size) => {
  expect(() => new MovableSha256(new Uint8Array(size))).toThrow(RangeError);
});

test('a length that has more bytes, or none that can be counted, is refused', () => {
  const state = new MovableSha256().update(Buffer.alloc(10)).save();
  expect(() => new MovableSha256(state.subarray(0, 49))).toThrow(RangeError);
  state[32] = 255;
  expect(() => new MovableSha256(state)).toThrow(RangeError);
});
