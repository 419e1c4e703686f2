import { pbkdf2Sync } from 'node:crypto';
import { secretBytes } from '../bytes.ts';
import { HASH_LENGTH, hmacSha256 } from './hash.ts';

/** HKDF-Extract with SHA-256 (RFC 5869, 2.2). Node offers only both steps in one, and transcripts need them apart. */
export function hkdfExtract(salt: Uint8Array, input: Uint8Array): Uint8Array {
  return hmacSha256(salt, input);
}

/** HKDF-Expand with SHA-256 (RFC 5869, 2.3): `length` bytes, at most 255 × 32. Throws RangeError beyond. */
export function hkdfExpand(key: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  if (length > 255 * HASH_LENGTH) throw new RangeError(`HKDF cannot expand to ${length} bytes`);
  let block = hmacSha256(key, info, Uint8Array.of(1));
  if (length === HASH_LENGTH) return block;
  const output = secretBytes(length);
  output.set(block.subarray(0, length));
  for (let offset = HASH_LENGTH, counter = 2; offset < length; offset += HASH_LENGTH, counter++) {
    const next = hmacSha256(key, block, info, Uint8Array.of(counter));
    block.fill(0);
    block = next;
    output.set(block.subarray(0, length - offset), offset);
  }
  block.fill(0);
  return output;
}

/**
 * PBKDF2-HMAC-SHA-256 (RFC 8018). Synchronous: the one caller uses one iteration, as a key derivation and not to
 * stretch a password.
 */
export function pbkdf2Sha256(
  password: Uint8Array,
  salt: Uint8Array,
  iterations: number,
  length: number,
): Uint8Array {
  return pbkdf2Sync(password, salt, iterations, length, 'sha256');
}
