import { requireInteger, requireStreamId } from '../checks.ts';
import { FLAG_FIN, LIMITS, TYPE } from '../constants.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';
import { parseStreamId } from './stream-id.ts';

/**
 * Further headers of an open stream (spec 1.2).
 *
 *     X + stream ID (31) | header block
 */
export interface Headers {
  readonly type: 'headers';
  readonly streamId: number;
  readonly fin: boolean;
  /** The header block, still encoded: compressed outside an envelope, plain inside (1.3). */
  readonly block: Uint8Array;
}

export function parseHeaders(flags: number, body: Reader): Headers {
  return {
    type: 'headers',
    streamId: parseStreamId('HEADERS', body),
    fin: (flags & FLAG_FIN) !== 0,
    block: body.rest(),
  };
}

export function encodeHeaders(frame: Headers): Uint8Array {
  requireStreamId('HEADERS', frame.streamId);
  requireInteger('HEADERS header block length', frame.block.length, 0, LIMITS.headerFrameLength - 4);
  return controlFrame(TYPE.HEADERS, frame.fin ? FLAG_FIN : 0, 4 + frame.block.length)
    .u32(frame.streamId)
    .bytes(frame.block)
    .finish();
}
