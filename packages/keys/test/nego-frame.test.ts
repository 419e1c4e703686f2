import { describe, expect, it } from 'vitest';
import { decodeNego, encodeNego } from '../src/nego-frame.ts';
import { hex, unhex } from './shared-vectors.ts';

const FAILURE = expect.objectContaining({ code: 'ERR_KEYMUX_KEY_FAILURE', reason: 'malformed' });

describe('a KEY_NEGO frame', () => {
  it.each([
    ['8003004b 00000004 01 01 0000', { keyId: 1, algorithm: 1, fin: false, reject: false, retire: false }],
    [
      '8003004b 01000005 ff 02 0001 aa',
      { keyId: 255, algorithm: 2, fin: true, reject: false, retire: false },
    ],
    ['8003004b 03000006 02 00 0002 0100', { keyId: 2, algorithm: 0, fin: true, reject: true, retire: false }],
    [
      '8003004b 09000004 02 03 0000',
      { keyId: 2, algorithm: 3, fin: true, reject: false, retire: false, renegotiate: true },
    ],
    ['8003004b 05000004 03 ff 0000', { keyId: 3, algorithm: 255, fin: true, reject: false, retire: true }],
  ])('%s', (text, fields) => {
    const bytes = unhex(text.replaceAll(' ', ''));
    const frame = decodeNego(bytes);
    expect(frame).toMatchObject(fields);
    expect(hex(encodeNego(frame))).toBe(hex(bytes));
  });

  it('ignores flags that mean nothing', () => {
    expect(decodeNego(unhex('8003004bf100000401010000'))).toMatchObject({
      fin: true,
      reject: false,
      retire: false,
    });
  });

  it.each([
    ['nothing', ''],
    ['a head only', '8003004b00000004'],
    ['another type', '8003005300000004 01010000'],
    ['another version', '8002004b00000004 01010000'],
    ['a data frame', '0003004b00000004 01010000'],
    ['key ID 0', '8003004b00000004 00010000'],
    ['H16: a data length beyond the frame', '8003004b00000004 01010001'],
    ['H16: a data length short of the frame', '8003004b00000005 01010000aa'],
    ['a frame length beyond the frame', '8003004b00000006 01010001aa'],
    ['a frame length short of the frame', '8003004b00000004 01010001aa'],
    ['bytes after the frame', '8003004b00000004 01010000aa'],
    ['REJECT and RETIRE', '8003004b07000004 01010000'],
    ['RENEGOTIATE and REJECT', '8003004b0b000004 01010000'],
    ['RENEGOTIATE and RETIRE', '8003004b0d000004 01010000'],
    ['REJECT without FIN', '8003004b02000004 01010000'],
    ['RETIRE without FIN', '8003004b04000004 01010000'],
    ['data over 8,192 bytes', `8003004b00002005 01012001${'00'.repeat(8193)}`],
  ])('with %s is refused', (_, text) => {
    expect(() => decodeNego(unhex(text.replaceAll(' ', '')))).toThrow(FAILURE);
  });
});
