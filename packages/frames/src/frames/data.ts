import { requireInteger, requireStreamId } from '../checks.ts';
import { FLAG_FIN, HEAD_LENGTH, MAX_LENGTH } from '../constants.ts';
import { Writer } from '../writer.ts';

/**
 * The 8-byte head of a DATA frame (spec 1.1, 1.2). The payload follows it on the wire, from wherever it lies: to
 * copy it behind the head would cost more than all the rest of sending it.
 *
 * @param length payload bytes, 0 to 2^24 - 1
 */
export function encodeDataHead(streamId: number, fin: boolean, length: number): Uint8Array {
  requireStreamId('DATA', streamId);
  requireInteger('DATA length', length, 0, MAX_LENGTH);
  return new Writer(HEAD_LENGTH)
    .u32(streamId)
    .u8(fin ? FLAG_FIN : 0)
    .u24(length)
    .finish();
}
