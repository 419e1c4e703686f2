import { createHash, createHmac, randomBytes as nodeRandomBytes, timingSafeEqual } from 'node:crypto';

/** Bytes of a SHA-256 hash, of an HMAC-SHA-256 tag, of our nonces and keys. */
export const HASH_LENGTH = 32;

/** SHA-256 of the concatenated parts. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** SHA-512, which SSH signatures are made over. */
export function sha512(bytes: Uint8Array): Uint8Array {
  return createHash('sha512').update(bytes).digest();
}

/** HMAC-SHA-1, by which OpenSSH hides host names in known_hosts. It protects nothing here. */
export function hmacSha1(key: Uint8Array, bytes: Uint8Array): Uint8Array {
  return createHmac('sha1', key).update(bytes).digest();
}

/** HMAC-SHA-256 (RFC 2104) of the concatenated parts, not truncated. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const hmac = createHmac('sha256', key);
  for (const part of parts) hmac.update(part);
  return hmac.digest();
}

/** Compares in time that depends on the lengths only. `timingSafeEqual` alone throws if they differ. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Bytes of the operating system's generator, the only source of randomness here. */
export function randomBytes(length: number): Uint8Array {
  return nodeRandomBytes(length);
}
