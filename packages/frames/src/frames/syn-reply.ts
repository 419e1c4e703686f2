import { requireInteger, requireStreamId } from '../checks.ts';
import { FLAG_FIN, LIMITS, TYPE } from '../constants.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';
import { parseStreamId } from './stream-id.ts';

/**
 * Accepts a stream and answers it (spec 1.2).
 *
 *     X + stream ID (31) | header block
 */
export interface SynReply {
  readonly type: 'syn-reply';
  readonly streamId: number;
  readonly fin: boolean;
  /** The header block, still encoded: compressed outside an envelope, plain inside (1.3). */
  readonly block: Uint8Array;
}

export function parseSynReply(flags: number, body: Reader): SynReply {
  return {
    type: 'syn-reply',
    streamId: parseStreamId('SYN_REPLY', body),
    fin: (flags & FLAG_FIN) !== 0,
    block: body.rest(),
  };
}

export function encodeSynReply(frame: SynReply): Uint8Array {
  requireStreamId('SYN_REPLY', frame.streamId);
  requireInteger('SYN_REPLY header block length', frame.block.length, 0, LIMITS.headerFrameLength - 4);
  return controlFrame(TYPE.SYN_REPLY, frame.fin ? FLAG_FIN : 0, 4 + frame.block.length)
    .u32(frame.streamId)
    .bytes(frame.block)
    .finish();
}
