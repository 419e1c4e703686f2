import { describe, expect, test } from 'vitest';
import { decodeHeaderBlock, encodeHeaderBlock, type HeaderList } from '../src/index.ts';
import { refusal } from './support.ts';

describe('encoding', () => {
  test('joins the values of a name where it occurs first, in their order', () => {
    const block = encodeHeaderBlock([
      ['a', '1'],
      ['b', 'x'],
      ['a', '2'],
      ['a', '3'],
    ]);
    expect(decodeHeaderBlock(block)).toEqual([
      ['a', '1'],
      ['a', '2'],
      ['a', '3'],
      ['b', 'x'],
    ]);
  });

  test.each<[string, HeaderList, RegExp]>([
    ['an empty name', [['', 's3cret']], /name "" is empty/],
    ['a colon', [[':', 's3cret']], /name ":" is a colon only/],
    ['upper case', [['Host', 's3cret']], /name "Host" has upper-case letters: use lower-case/],
    ['a space in a name', [['a b', 's3cret']], /name "a b" has a character that no token has/],
    ['a newline in a name', [['a\nb', 's3cret']], /name "a\\nb"/],
    ['a name beyond ISO 8859-1', [['\u4e2d', 's3cret']], /no token has/],
    [
      'a value beyond ISO 8859-1',
      [['a', 's3cret\u20ac']],
      /"a" has a character above U\+00FF: percent-encode/,
    ],
    ['NUL in a value', [['a', 's3cret\0x']], /"a" contains NUL, CR or LF.*several values as several pairs/],
    ['CR in a value', [['a', 's3cret\r']], /"a" contains NUL, CR or LF/],
    ['LF in a value', [['a', '\ns3cret']], /"a" contains NUL, CR or LF/],
    ['a leading space', [['a', ' s3cret']], /"a" begins or ends with space or tab: trim it/],
    ['a trailing tab', [['a', 's3cret\t']], /"a" begins or ends with space or tab/],
    [
      'an empty value among several',
      [
        ['a', 's3cret'],
        ['a', ''],
      ],
      /"a" has an empty value among several: leave it out/,
    ],
    [
      'too many values',
      Array.from({ length: 101 }, () => ['a', 's3cret'] as const),
      /101 header values, more than 100/,
    ],
    ['too many bytes', [['a', `s3cret${'x'.repeat(65_536)}`]], /over 65536/],
  ])('refuses %s, with the remedy and without the value', (_name, headers, message) => {
    const error = refusal(() => encodeHeaderBlock(headers));
    expect(error).toMatchObject({ scope: 'usage', code: 'ERR_KEYMUX_HEADER' });
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('s3cret');
  });

  test('cuts a long name in its message', () => {
    const { message } = refusal(() => encodeHeaderBlock([['A'.repeat(10_000), '']]));
    expect(message.length).toBeLessThan(200);
  });
});

describe('limits', () => {
  test('names, values and 32 for each pair: 65,536 is accepted, one more is not', () => {
    const headers: HeaderList = [['a', 'x'.repeat(65_536 - 33)]];
    const block = encodeHeaderBlock(headers);
    expect(decodeHeaderBlock(block)).toEqual(headers);
    expect(refusal(() => decodeHeaderBlock(block, { headerBlockBytes: 65_535 }))).toMatchObject({
      scope: 'stream',
      code: 'ERR_KEYMUX_FRAME_TOO_LARGE',
      status: 11,
    });
  });

  test('of pairs can be stricter', () => {
    const block = encodeHeaderBlock([
      ['a', '1'],
      ['a', '2'],
      ['b', ''],
    ]);
    expect(decodeHeaderBlock(block, { headerPairs: 3 })).toHaveLength(3);
    expect(refusal(() => decodeHeaderBlock(block, { headerPairs: 2 }))).toMatchObject({
      scope: 'stream',
      status: 11,
    });
  });

  test('65,535 NUL bytes are refused without 65,536 values', () => {
    const block = new Uint8Array(4 + 4 + 1 + 4 + 65_000);
    block.set([0, 0, 0, 1, 0, 0, 0, 1, 0x61, 0, 0, 0xfd, 0xe8]);
    expect(refusal(() => decodeHeaderBlock(block)).status).toBe(11);
  });
});

test('all 256 byte values survive, but for those that are refused', () => {
  let value = 'x';
  for (let code = 0; code < 256; code++) {
    if (![0, 10, 13].includes(code)) value += String.fromCharCode(code);
  }
  const headers: HeaderList = [['a', `${value}x`]];
  expect(decodeHeaderBlock(encodeHeaderBlock(headers))).toEqual(headers);
});

test('names of object properties are plain headers', () => {
  const headers: HeaderList = [
    ['__proto__', 'polluted'],
    ['constructor', '1'],
    ['tostring', '2'],
    ['__proto__', 'twice'],
  ];
  const decoded = decodeHeaderBlock(encodeHeaderBlock(headers));
  expect(decoded).toEqual([headers[0], headers[3], headers[1], headers[2]]);
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  expect(Object.getPrototypeOf({})).toBe(Object.prototype);
});
