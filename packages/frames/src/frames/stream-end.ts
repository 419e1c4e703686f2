import { requireCount, requireStreamId } from '../checks.ts';
import { TYPE } from '../constants.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';
import { parseStreamId } from './stream-id.ts';

/**
 * Ends one direction of a stream whose payload travels outside envelopes (spec 1.5, 4.6).
 *
 *     X + stream ID (31) | total (64)
 */
export interface StreamEnd {
  readonly type: 'stream-end';
  readonly streamId: number;
  /** Payload bytes that the sender has sent in this direction. */
  readonly total: number;
}

export function parseStreamEnd(_flags: number, body: Reader): StreamEnd {
  const streamId = parseStreamId('STREAM_END', body);
  const total = body.u64();
  body.expectEnd();
  return { type: 'stream-end', streamId, total };
}

export function encodeStreamEnd(frame: StreamEnd): Uint8Array {
  requireStreamId('STREAM_END', frame.streamId);
  requireCount('STREAM_END total', frame.total);
  return controlFrame(TYPE.STREAM_END, 0, 12).u32(frame.streamId).u64(frame.total).finish();
}
