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
 * Decrypts `body`, which is ciphertext and then the tag. Returns undefined if the tag is not right: no byte of plaintext leaves
 * before that is known, and none survives it.
 */
export function openAes256Gcm(
  key: AeadKey,
  nonce: Uint8Array,
  additional: Uint8Array,
  body: Uint8Array,
): Uint8Array | undefined {
  const length = body.length - TAG_LENGTH;
  if (length < 0) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, checkedNonce(nonce), OPTIONS);
  decipher.setAAD(additional);
  const text = decipher.update(body.subarray(0, length));
  decipher.setAuthTag(body.subarray(length));
  try {
    decipher.final();
  } catch {
    text.fill(0);
    return undefined;
  }
  return text;
}

// Node accepts IVs of any length and hashes them into a nonce.
function checkedNonce(nonce: Uint8Array): Uint8Array {
  if (nonce.length !== NONCE_LENGTH) throw new RangeError('an AES-GCM nonce has 12 bytes');
  return nonce;
}
