import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { paced } from '../src/paced.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('a flood is one line at once, and then one each ten seconds that speaks for all', () => {
  const said: [number, string][] = [];
  const happens = paced((number, last: string) => said.push([number, last]));
  happens('a');
  expect(said).toEqual([[1, 'a']]);
  for (const name of ['b', 'c', 'd']) happens(name);
  vi.advanceTimersByTime(9_999);
  expect(said).toHaveLength(1);
  vi.advanceTimersByTime(1);
  expect(said).toEqual([
    [1, 'a'],
    [3, 'd'],
  ]);
  happens('e');
  vi.advanceTimersByTime(10_000);
  expect(said.slice(2)).toEqual([[1, 'e']]);
  vi.advanceTimersByTime(60_000);
  expect(said).toHaveLength(3);
  happens('f');
  expect(said.at(-1)).toEqual([1, 'f']);
});
