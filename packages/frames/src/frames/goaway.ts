import { requireInteger } from '../checks.ts';
import { MAX_STREAM_ID, TYPE } from '../constants.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';

/**
 * No new streams are accepted (spec 1.2).
 *
 *     X + last good stream ID (31) | status (32)
 */
export interface Goaway {
  readonly type: 'goaway';
  /** The last stream of the peer's that the sender acted on; 0 for none. */
  readonly lastGoodId: number;
  /** See GOAWAY. A receiver takes any status. */
  readonly status: number;
}

export function parseGoaway(_flags: number, body: Reader): Goaway {
  const lastGoodId = body.u31();
  const status = body.u32();
  body.expectEnd();
  return { type: 'goaway', lastGoodId, status };
}

export function encodeGoaway(frame: Goaway): Uint8Array {
  requireInteger('GOAWAY last good stream ID', frame.lastGoodId, 0, MAX_STREAM_ID);
  requireInteger('GOAWAY status', frame.status, 0, 0xffff_ffff);
  return controlFrame(TYPE.GOAWAY, 0, 8).u32(frame.lastGoodId).u32(frame.status).finish();
}
