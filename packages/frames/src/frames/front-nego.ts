import { requireInteger } from '../checks.ts';
import { DIGEST_LENGTH, TYPE } from '../constants.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';
import { decodeKeyNego } from './key-nego.ts';

/**
 * A KEY_NEGO frame of the client, as a front passes it to a host (spec 10.5).
 *
 *     digest (256) | KEY_NEGO frame
 */
export interface FrontNego {
  readonly type: 'front-nego';
  /** The session digest of the client's direction just before the frame (3.6), 32 bytes. */
  readonly digest: Uint8Array;
  /** The whole frame; `decodeKeyNego` takes it apart. */
  readonly frame: Uint8Array;
}

export function parseFrontNego(_flags: number, body: Reader): FrontNego {
  const digest = body.take(DIGEST_LENGTH);
  const frame = body.rest();
  decodeKeyNego(frame); // refused here, where every frame is
  return { type: 'front-nego', digest, frame };
}

export function encodeFrontNego(frame: FrontNego): Uint8Array {
  requireInteger('FRONT_NEGO digest length', frame.digest.length, DIGEST_LENGTH, DIGEST_LENGTH);
  decodeKeyNego(frame.frame);
  return controlFrame(TYPE.FRONT_NEGO, 0, DIGEST_LENGTH + frame.frame.length)
    .bytes(frame.digest)
    .bytes(frame.frame)
    .finish();
}
