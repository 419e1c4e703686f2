import { requireInteger, requireKeyId } from '../checks.ts';
import { DIGEST_LENGTH, TYPE } from '../constants.ts';
import { malformed } from '../errors.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';

/**
 * A front tells a host that its KEY_NEGO frame is on the carrier, and what stood there before it (spec 10.5).
 *
 *     key ID (8) | zero (24) | digest (256)
 */
export interface FrontSent {
  readonly type: 'front-sent';
  readonly keyId: number;
  /** The session digest of the server's direction just before the frame (3.6), 32 bytes. */
  readonly digest: Uint8Array;
}

export function parseFrontSent(_flags: number, body: Reader): FrontSent {
  const keyId = body.u8();
  const zero = body.u24();
  const digest = body.take(DIGEST_LENGTH);
  body.expectEnd();
  if (keyId === 0 || zero !== 0) throw malformed('FRONT_SENT with key ID 0, or bits that must be zero');
  return { type: 'front-sent', keyId, digest };
}

export function encodeFrontSent(frame: FrontSent): Uint8Array {
  requireKeyId('FRONT_SENT', frame.keyId);
  requireInteger('FRONT_SENT digest length', frame.digest.length, DIGEST_LENGTH, DIGEST_LENGTH);
  return controlFrame(TYPE.FRONT_SENT, 0, 4 + DIGEST_LENGTH)
    .u8(frame.keyId)
    .u24(0)
    .bytes(frame.digest)
    .finish();
}
