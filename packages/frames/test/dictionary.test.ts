import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { compressionDictionary } from '../src/index.ts';

const vector: { length: number; sha256: string; adler32: string; words: string[]; text: string } = JSON.parse(
  readFileSync(new URL('../../../spec/vectors/dictionary.json', import.meta.url), 'utf8'),
);

test('is the dictionary of SPDY/3', () => {
  const dictionary = compressionDictionary();
  expect(dictionary.length).toBe(1_423);
  expect(createHash('sha256').update(dictionary).digest('hex')).toBe(vector.sha256);
  expect(adler32(dictionary)).toBe(vector.adler32);
});

test('is built once', () => {
  expect(compressionDictionary()).toBe(compressionDictionary());
});

/** RFC 1950, section 8.2. */
function adler32(bytes: Uint8Array): string {
  let a = 1;
  let b = 0;
  for (const byte of bytes) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  return (b * 65_536 + a).toString(16).padStart(8, '0');
}
