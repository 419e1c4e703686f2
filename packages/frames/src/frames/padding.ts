import { requireInteger } from '../checks.ts';
import { HEAD_LENGTH, LIMITS, TYPE } from '../constants.ts';
import { badEnvelope } from '../errors.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';

/**
 * Zero bytes that hide the size of an envelope's other frames, as its last frame (spec 1.5, 4.1). Whether it is the
 * last one is for the decoder to see.
 */
export interface Padding {
  readonly type: 'padding';
  /** Bytes after the head. */
  readonly length: number;
}

export function parsePadding(_flags: number, body: Reader): Padding {
  const bytes = body.rest();
  // Padding that may hold anything is a channel that no log and no policy sees.
  for (const byte of bytes) {
    if (byte !== 0) throw badEnvelope('PADDING that is not all zero');
  }
  return { type: 'padding', length: bytes.length };
}

export function encodePadding(frame: Padding): Uint8Array {
  requireInteger('PADDING length', frame.length, 0, LIMITS.sealedPlaintext - HEAD_LENGTH);
  return controlFrame(TYPE.PADDING, 0, frame.length).zeros(frame.length).finish();
}
