import { requireInteger, requireStreamId } from '../checks.ts';
import {
  FLAG_FIN,
  FLAG_PAYLOAD_OUTSIDE,
  FLAG_UNIDIRECTIONAL,
  LIMITS,
  MAX_STREAM_ID,
  TYPE,
} from '../constants.ts';
import { fieldMisuse } from '../errors.ts';
import type { Place } from '../frame.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';
import { parseStreamId } from './stream-id.ts';

/**
 * Opens a stream (spec 1.2).
 *
 *     X + stream ID (31) | X + associated stream ID (31) | priority (3) + unused (5) | slot (8) | header block
 */
export interface SynStream {
  readonly type: 'syn-stream';
  readonly streamId: number;
  /** The stream that this one belongs to; 0 for none. */
  readonly associatedId: number;
  /** 0 (highest) to 7. */
  readonly priority: number;
  /** The key ID that the stream is bound to, 0 outside an envelope. As received: section 4.4 judges it. */
  readonly slot: number;
  readonly fin: boolean;
  readonly unidirectional: boolean;
  /** The stream's DATA travels outside envelopes (4.6). Only a SYN_STREAM inside an envelope can say so. */
  readonly payloadOutside: boolean;
  /** The header block, still encoded: compressed outside an envelope, plain inside (1.3). */
  readonly block: Uint8Array;
}

export function parseSynStream(flags: number, body: Reader, place: Place): SynStream {
  return {
    type: 'syn-stream',
    streamId: parseStreamId('SYN_STREAM', body),
    associatedId: body.u31(),
    priority: body.u8() >> 5,
    slot: body.u8(),
    fin: (flags & FLAG_FIN) !== 0,
    unidirectional: (flags & FLAG_UNIDIRECTIONAL) !== 0,
    // Outside an envelope this is one of SPDY's undefined bits, and anybody on the path could set it.
    payloadOutside: place === 'inside' && (flags & FLAG_PAYLOAD_OUTSIDE) !== 0,
    block: body.rest(),
  };
}

export function encodeSynStream(frame: SynStream): Uint8Array {
  requireStreamId('SYN_STREAM', frame.streamId);
  requireInteger('SYN_STREAM associated stream ID', frame.associatedId, 0, MAX_STREAM_ID);
  requireInteger('SYN_STREAM priority', frame.priority, 0, 7);
  requireInteger('SYN_STREAM slot', frame.slot, 0, 255);
  requireInteger('SYN_STREAM header block length', frame.block.length, 0, LIMITS.headerFrameLength - 10);
  if (frame.payloadOutside && frame.slot === 0) {
    throw fieldMisuse('SYN_STREAM with payloadOutside must be sealed: its slot is the key ID, not 0');
  }
  const flags =
    (frame.fin ? FLAG_FIN : 0) |
    (frame.unidirectional ? FLAG_UNIDIRECTIONAL : 0) |
    (frame.payloadOutside ? FLAG_PAYLOAD_OUTSIDE : 0);
  return controlFrame(TYPE.SYN_STREAM, flags, 10 + frame.block.length)
    .u32(frame.streamId)
    .u32(frame.associatedId)
    .u8(frame.priority << 5)
    .u8(frame.slot)
    .bytes(frame.block)
    .finish();
}
