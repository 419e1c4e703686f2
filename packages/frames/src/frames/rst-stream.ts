import { requireInteger, requireStreamId } from '../checks.ts';
import { TYPE } from '../constants.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';
import { parseStreamId } from './stream-id.ts';

/**
 * Ends both directions of a stream at once (spec 1.2).
 *
 *     X + stream ID (31) | status (32)
 */
export interface RstStream {
  readonly type: 'rst-stream';
  readonly streamId: number;
  /** See RST. A receiver takes any status, also one it does not know: the stream is over all the same. */
  readonly status: number;
}

export function parseRstStream(_flags: number, body: Reader): RstStream {
  const streamId = parseStreamId('RST_STREAM', body);
  const status = body.u32();
  body.expectEnd();
  return { type: 'rst-stream', streamId, status };
}

export function encodeRstStream(frame: RstStream): Uint8Array {
  requireStreamId('RST_STREAM', frame.streamId);
  requireInteger('RST_STREAM status', frame.status, 1, 0xffff_ffff);
  return controlFrame(TYPE.RST_STREAM, 0, 8).u32(frame.streamId).u32(frame.status).finish();
}
