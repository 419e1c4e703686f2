import { requireInteger } from '../checks.ts';
import { MAX_STREAM_ID, MAX_WINDOW_DELTA, TYPE } from '../constants.ts';
import { malformed } from '../errors.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';

/**
 * Lets the peer send more DATA (spec 1.2).
 *
 *     X + stream ID (31) | X + delta (31)
 */
export interface WindowUpdate {
  readonly type: 'window-update';
  /** 0 is the window of the session. */
  readonly streamId: number;
  /** Bytes to add to the window, 1 to 2^31 - 1. */
  readonly delta: number;
}

export function parseWindowUpdate(_flags: number, body: Reader): WindowUpdate {
  const streamId = body.u31();
  const delta = body.u31();
  body.expectEnd();
  // It opens nothing, so no correct sender makes one, but it costs us as much as one that does.
  if (delta === 0) throw malformed('WINDOW_UPDATE with a delta of 0');
  return { type: 'window-update', streamId, delta };
}

export function encodeWindowUpdate(frame: WindowUpdate): Uint8Array {
  requireInteger('WINDOW_UPDATE stream ID', frame.streamId, 0, MAX_STREAM_ID);
  requireInteger('WINDOW_UPDATE delta', frame.delta, 1, MAX_WINDOW_DELTA);
  return controlFrame(TYPE.WINDOW_UPDATE, 0, 8).u32(frame.streamId).u32(frame.delta).finish();
}
