import { expect, test } from 'vitest';
import { BLOCK, copyOf, giveBack, isFewOnTheirWay } from '../src/blocks.ts';

const bytes = (length: number, fill: number): Uint8Array => new Uint8Array(length).fill(fill);

test('a block that was given back is used again, nothing else is', () => {
  const block = copyOf(bytes(BLOCK, 1));
  giveBack(block);
  const next = copyOf(bytes(BLOCK - 1, 2));
  expect(next.buffer).toBe(block.buffer);
  expect(next).toEqual(bytes(BLOCK - 1, 2));
  const own = copyOf(bytes(100, 3));
  giveBack(own);
  expect(copyOf(bytes(BLOCK, 4)).buffer).not.toBe(own.buffer);
  expect(own).toEqual(Buffer.from(bytes(100, 3)));
});

test('memory of others is not taken for a block, even if it has the size of one', () => {
  const own = new Uint8Array(BLOCK);
  giveBack(own.subarray(0, 100));
  expect(copyOf(bytes(BLOCK, 5)).buffer).not.toBe(own.buffer);
});

test('after an error a block is not used again: somebody may still look at it', () => {
  const block = copyOf(bytes(BLOCK, 6));
  giveBack(block, new Error('cut off'));
  expect(copyOf(bytes(BLOCK, 7)).buffer).not.toBe(block.buffer);
});

test('few or many are on their way, whether they come back well or not', () => {
  expect(isFewOnTheirWay()).toBe(true);
  const copies = Array.from({ length: 64 }, () => copyOf(bytes(BLOCK, 8)));
  const small = copyOf(bytes(100, 9));
  expect(isFewOnTheirWay()).toBe(false);
  giveBack(small);
  expect(isFewOnTheirWay()).toBe(false);
  for (const copy of copies) giveBack(copy, copy === copies[0] ? new Error('cut off') : undefined);
  expect(isFewOnTheirWay()).toBe(true);
});
