import { requireCount, requireInteger } from '../checks.ts';
import { DIGEST_LENGTH, MAX_STREAM_ID, TYPE } from '../constants.ts';
import { malformed } from '../errors.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';

/**
 * Moves one direction of a stream, or the sender's session frames, to the key of the envelope it stands in
 * (spec 1.5, 4.5).
 *
 *     X + stream ID (31) | previous key ID (8) | previous generation (8) | zero (16) | count (64) | digest (256)
 */
export interface KeySwitch {
  readonly type: 'key-switch';
  /** 0 is the sender's session frames. */
  readonly streamId: number;
  /** What the direction was bound to before: 0 and generation 0 for the clear. */
  readonly previousKeyId: number;
  readonly previousGeneration: number;
  /** Frames that the sender has sent in this direction before. */
  readonly count: number;
  /** SHA-256, 32 bytes, of what went before in the clear. */
  readonly digest: Uint8Array;
}

export function parseKeySwitch(_flags: number, body: Reader): KeySwitch {
  const streamId = body.u31();
  const previousKeyId = body.u8();
  const previousGeneration = body.u8();
  if (body.u16() !== 0) throw malformed('KEY_SWITCH whose zero field is not zero');
  const count = body.u64();
  const digest = body.take(DIGEST_LENGTH);
  body.expectEnd();
  return { type: 'key-switch', streamId, previousKeyId, previousGeneration, count, digest };
}

export function encodeKeySwitch(frame: KeySwitch): Uint8Array {
  requireInteger('KEY_SWITCH stream ID', frame.streamId, 0, MAX_STREAM_ID);
  requireInteger('KEY_SWITCH previous key ID', frame.previousKeyId, 0, 255);
  requireInteger('KEY_SWITCH previous generation', frame.previousGeneration, 0, 255);
  requireCount('KEY_SWITCH count', frame.count);
  requireInteger('KEY_SWITCH digest length', frame.digest.length, DIGEST_LENGTH, DIGEST_LENGTH);
  return controlFrame(TYPE.KEY_SWITCH, 0, 16 + DIGEST_LENGTH)
    .u32(frame.streamId)
    .u8(frame.previousKeyId)
    .u8(frame.previousGeneration)
    .u16(0)
    .u64(frame.count)
    .bytes(frame.digest)
    .finish();
}
