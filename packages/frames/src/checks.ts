import { MAX_STREAM_ID } from './constants.ts';
import { fieldMisuse } from './errors.ts';

/** Checks that encoders make of their arguments. All throw scope `usage`: nothing wrong reaches the wire. */

/** `value` is an integer from `min` to `max`. */
export function requireInteger(field: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw fieldMisuse(`${field} must be an integer from ${min} to ${max}, not ${value}`);
  }
}

/** A stream ID that names a stream: 0 does not (spec 1.2). */
export function requireStreamId(frame: string, streamId: number): void {
  requireInteger(`${frame} stream ID`, streamId, 1, MAX_STREAM_ID);
}

/** A key ID that names a key: 0 is cleartext (spec 1.5). */
export function requireKeyId(frame: string, keyId: number): void {
  requireInteger(`${frame} key ID`, keyId, 1, 255);
}

/** A count of bytes, frames or envelopes: 64 bits on the wire, 53 here (spec 1.5). */
export function requireCount(field: string, count: number): void {
  requireInteger(field, count, 0, Number.MAX_SAFE_INTEGER);
}
