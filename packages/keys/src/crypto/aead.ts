import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';

/** An AES-256-GCM key. A KeyObject lives outside the JavaScript heap and does not print its bytes. */
export type AeadKey = KeyObject;

/** Bytes of an authentication tag; no other length is made or accepted. */
export const TAG_LENGTH = 16;

const KEY_LENGTH = 32;
const NONCE_LENGTH = 12;
// Without authTagLength Node accepts tags of 4 bytes (DEP0182).
const OPTIONS = { authTagLength: TAG_LENGTH } as const;

export function aeadKey(bytes: Uint8Array): AeadKey {
  if (bytes.length !== KEY_LENGTH) throw new RangeError('an AES-256 key has 32 bytes');
  return createSecretKey(bytes);
}

/** Lends the bytes of a key to `use`, which must not keep them. */
export function lendAeadKey(key: AeadKey, use: (bytes: Uint8Array) => void): void {
  const bytes = key.export();
  use(bytes);
  bytes.fill(0);
}

/** Encrypts the concatenated parts. Returns the ciphertext in as many parts, then the tag. */
export function sealAes256Gcm(
  key: AeadKey,
  nonce: Uint8Array,
  additional: Uint8Array,
  parts: readonly Uint8Array[],
): Uint8Array[] {
  const cipher = createCipheriv('aes-256-gcm', key, checkedNonce(nonce), OPTIONS);
  cipher.setAAD(additional);
  const sealed: Uint8Array[] = [];
  for (const part of parts) sealed.push(cipher.update(part));
  cipher.final();
  sealed.push(cipher.getAuthTag());
  return sealed;
}

/**
 * Decrypts `body`, which is ciphertext and then the tag, split anywhere. Returns undefined if the tag is not right: no
 * byte of plaintext leaves before that is known, and none survives it.
 */
export function openAes256Gcm(
  key: AeadKey,
  nonce: Uint8Array,
  additional: Uint8Array,
  body: readonly Uint8Array[],
): Uint8Array[] | undefined {
  let length = -TAG_LENGTH;
  for (const part of body) length += part.length;
  if (length < 0) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, checkedNonce(nonce), OPTIONS);
  decipher.setAAD(additional);
  const tag = new Uint8Array(TAG_LENGTH);
  const opened: Uint8Array[] = [];
  let offset = 0;
  for (const part of body) {
    const text = Math.min(part.length, Math.max(0, length - offset));
    if (text > 0) opened.push(decipher.update(text < part.length ? part.subarray(0, text) : part));
    if (text < part.length) tag.set(part.subarray(text), offset + text - length);
    offset += part.length;
  }
  decipher.setAuthTag(tag);
  try {
    decipher.final();
  } catch {
    for (const part of opened) part.fill(0);
    return undefined;
  }
  return opened;
}

// Node accepts IVs of any length and hashes them into a nonce.
function checkedNonce(nonce: Uint8Array): Uint8Array {
  if (nonce.length !== NONCE_LENGTH) throw new RangeError('an AES-GCM nonce has 12 bytes');
  return nonce;
}
