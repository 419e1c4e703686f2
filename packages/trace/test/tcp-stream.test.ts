import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TcpStream } from '../src/tcp-stream.ts';

interface Piece {
  readonly at: number;
  readonly length: number;
}

/** Pieces that together cover all of `length` bytes, some of them twice, in any order. */
const shuffled = (length: number) =>
  fc
    .tuple(
      fc.array(fc.nat(length), { maxLength: 8 }),
      fc.array(fc.record({ at: fc.nat(length - 1), length: fc.nat(40) }), { maxLength: 6 }),
    )
    .map(([cuts, extra]): Piece[] => {
      const ends = [...new Set([...cuts, length])].sort((a, b) => a - b);
      const cover = ends.map((end, index) => ({
        at: ends[index - 1] ?? 0,
        length: end - (ends[index - 1] ?? 0),
      }));
      return [...cover, ...extra];
    })
    .chain((pieces) => fc.shuffledSubarray(pieces, { minLength: pieces.length }));

test('whatever the order, repetition and overlap of segments, the bytes come out once and in order', () => {
  const body = Buffer.from(Array.from({ length: 100 }, (_, index) => index));
  fc.assert(
    fc.property(shuffled(body.length), fc.constantFrom(0, 5, 2 ** 32 - 50, 2 ** 31 - 10), (pieces, start) => {
      const stream = new TcpStream();
      stream.begin(start);
      const out = pieces.flatMap(({ at, length }) =>
        stream.push((start + at) % 2 ** 32, body.subarray(at, at + length)),
      );
      expect(Buffer.concat(out)).toEqual(body);
    }),
  );
});

test('nothing comes out behind a gap, or where the beginning is missing', () => {
  const stream = new TcpStream();
  expect(stream.push(1, Buffer.from('x'))).toEqual([]);
  expect(stream.began).toBe(false);
  stream.begin(10);
  expect(stream.push(11, Buffer.from('later'))).toEqual([]);
  expect(Buffer.concat(stream.push(10, Buffer.from('a'))).toString()).toBe('alater');
});

test('what waits for a segment that was not captured is bounded', () => {
  const stream = new TcpStream();
  stream.begin(0);
  const push = (): void => {
    for (let at = 1; at < 8 * 2 ** 20; at += 65_536) stream.push(at, Buffer.alloc(65_536));
  };
  expect(push).toThrow('was not captured');
});
