import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FrameError, StateReader, StateWriter } from '../src/index.ts';
import { hex, refusal } from './support.ts';

/** What `write` writes. */
function written(write: (writer: StateWriter) => void): Uint8Array {
  const writer = new StateWriter();
  write(writer);
  return writer.finish();
}

test('what was read outlives the blob, which is wiped, also if that was a Buffer', () => {
  const blob = Buffer.from(written((writer) => writer.bytes(Uint8Array.of(1, 2))));
  const read = new StateReader(blob).bytes();
  blob.fill(0);
  expect(read).toEqual(Uint8Array.of(1, 2));
});

/** The fields of a state, each as its bytes in hexadecimal (spec 13.2) and as the value that has to come back. */
const FIELDS: [string, string, (writer: StateWriter) => void, (reader: StateReader) => unknown, unknown][] = [
  ['u8', 'fe', (writer) => writer.u8(254), (reader) => reader.u8(), 254],
  ['u16', 'fffe', (writer) => writer.u16(65_534), (reader) => reader.u16(), 65_534],
  ['u32', 'fffffffe', (writer) => writer.u32(2 ** 32 - 2), (reader) => reader.u32(), 2 ** 32 - 2],
  ['u64', '001fffffffffffff', (writer) => writer.u64(2 ** 53 - 1), (reader) => reader.u64(), 2 ** 53 - 1],
  ['i64', 'fffffffffffffffe', (writer) => writer.i64(-2), (reader) => reader.i64(), -2],
  ['f64', '3fe0000000000000', (writer) => writer.f64(0.5), (reader) => reader.f64(), 0.5],
  ['f64', '7ff0000000000000', (writer) => writer.f64(1 / 0), (reader) => reader.f64(), 1 / 0],
  ['flag', '01', (writer) => writer.flag(true), (reader) => reader.flag(), true],
  ['text', '00000003c3a961', (writer) => writer.text('éa'), (reader) => reader.text(), 'éa'],
  ['text', '00000003efbbbf', (writer) => writer.text('\ufeff'), (reader) => reader.text(), '\ufeff'],
  [
    'bytes',
    '000000020102',
    (writer) => writer.bytes(Uint8Array.of(1, 2)),
    (reader) => reader.bytes(),
    Uint8Array.of(1, 2),
  ],
  [
    'optional',
    '0107',
    (writer) => writer.optional(7, (value) => writer.u8(value)),
    (reader) => reader.optional(() => reader.u8()),
    7,
  ],
  [
    'optional, without a value',
    '00',
    (writer) => writer.optional(undefined, () => writer.u8(1)),
    (reader) => reader.optional(() => reader.u8()),
    undefined,
  ],
  [
    'list',
    '000000020506',
    (writer) => writer.list([5, 6], (value) => writer.u8(value)),
    (reader) => {
      const values: number[] = [];
      reader.list(() => values.push(reader.u8()));
      return values;
    },
    [5, 6],
  ],
  [
    'section',
    '090000000105',
    (writer) => writer.section(9, () => writer.u8(5)),
    (reader) => reader.section(9, () => reader.u8()),
    5,
  ],
];

describe('fields', () => {
  test.each(FIELDS)('%s %s', (_name, expected, write, read, value) => {
    const bytes = written(write);
    expect(hex(bytes)).toBe(expected);
    const reader = new StateReader(bytes);
    expect(read(reader)).toEqual(value);
    reader.end();
  });

  test.each(FIELDS)('%s %s, cut anywhere, is refused', (_name, _expected, write, read) => {
    const bytes = written(write);
    for (let end = 0; end < bytes.length; end++) {
      expect(refusal(() => read(new StateReader(bytes.slice(0, end)))).code).toBe('ERR_KEYMUX_HAND_OVER');
    }
  });

  test.each<[string, number[], (reader: StateReader) => unknown]>([
    ['a flag that is neither', [2], (reader) => reader.flag()],
    ['a number above what the field may be', [5], (reader) => reader.u8(4)],
    ['a 64-bit number above 2^53 - 1', [0, 32, 0, 0, 0, 0, 0, 0], (reader) => reader.u64()],
    ['a signed one below -2^53 + 1', [128, 0, 0, 0, 0, 0, 0, 0], (reader) => reader.i64()],
    ['no number', [127, 248, 0, 0, 0, 0, 0, 0], (reader) => reader.f64()],
    ['text that is not UTF-8', [0, 0, 0, 1, 255], (reader) => reader.text()],
    ['more bytes than the field may have', [0, 0, 0, 2, 1, 1], (reader) => reader.bytes(1)],
    ['a list longer than what is left', [0, 0, 0, 3, 1, 1], (reader) => reader.list(() => reader.u8())],
    ['another section', [8, 0, 0, 0, 0], (reader) => reader.section(9, () => undefined)],
    ['a section beyond what is left', [9, 0, 0, 0, 1], (reader) => reader.section(9, () => undefined)],
    ['a section with more in it', [9, 0, 0, 0, 1, 7], (reader) => reader.section(9, () => undefined)],
    ['a field beyond its section', [9, 0, 0, 0, 0, 7], (reader) => reader.section(9, () => reader.u8())],
    ['something behind the last field', [1], (reader) => reader.end()],
  ])('%s is refused', (_name, bytes, read) => {
    const error = refusal(() => read(new StateReader(Uint8Array.from(bytes))));
    expect(error).toBeInstanceOf(FrameError);
    expect(error).toMatchObject({ code: 'ERR_KEYMUX_HAND_OVER', scope: 'usage' });
  });
});

describe('memory', () => {
  test('what is read does not change when the blob is wiped', () => {
    const blob = written((writer) => writer.bytes(Uint8Array.of(1, 2, 3)));
    const read = new StateReader(blob).bytes();
    blob.fill(0);
    expect(read).toEqual(Uint8Array.of(1, 2, 3));
  });

  test('the result has a buffer of its own size, and nothing stays behind in outgrown ones', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 20_000 }), { maxLength: 8 }), (pieces) => {
        const buffers: ArrayBufferLike[] = [];
        const { set } = Uint8Array.prototype;
        // The only way that bytes get into a writer's buffers shows them.
        Uint8Array.prototype.set = function (this: Uint8Array, source: ArrayLike<number>, at?: number) {
          if (!buffers.includes(this.buffer)) buffers.push(this.buffer);
          set.call(this, source, at);
        };
        let blob: Uint8Array;
        try {
          blob = written((writer) => {
            for (const piece of pieces) writer.raw(piece);
          });
        } finally {
          Uint8Array.prototype.set = set;
        }
        expect(Buffer.concat(pieces).equals(blob)).toBe(true);
        expect(blob.buffer.byteLength).toBe(blob.length);
        expect(buffers.includes(blob.buffer)).toBe(false);
        for (const buffer of buffers) expect(new Uint8Array(buffer).every((byte) => byte === 0)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });
});
