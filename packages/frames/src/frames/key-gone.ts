import { requireInteger, requireKeyId } from '../checks.ts';
import { TYPE } from '../constants.ts';
import { malformed } from '../errors.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';

/**
 * A front says that nothing comes under a key any more, and that it passes nothing on that does (spec 10.3).
 *
 *     key ID (8) | zero (24) | status (32)
 */
export interface KeyGone {
  readonly type: 'key-gone';
  readonly keyId: number;
  /** As of GOAWAY. A receiver takes any status. */
  readonly status: number;
}

export function parseKeyGone(_flags: number, body: Reader): KeyGone {
  const keyId = body.u8();
  const zero = body.u24();
  const status = body.u32();
  body.expectEnd();
  if (keyId === 0 || zero !== 0) throw malformed('KEY_GONE with key ID 0, or bits that must be zero');
  return { type: 'key-gone', keyId, status };
}

export function encodeKeyGone(frame: KeyGone): Uint8Array {
  requireKeyId('KEY_GONE', frame.keyId);
  requireInteger('KEY_GONE status', frame.status, 0, 0xffff_ffff);
  return controlFrame(TYPE.KEY_GONE, 0, 8).u8(frame.keyId).u24(0).u32(frame.status).finish();
}
