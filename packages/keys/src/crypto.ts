/**
 * All cryptography of this package. Only the files in `crypto/` import node:crypto: each of its traps is closed there, once.
 */
export {
  type AeadKey,
  aeadKey,
  lendAeadKey,
  openAes256Gcm,
  sealAes256Gcm,
  TAG_LENGTH,
} from './crypto/aead.ts';
export { CounterPackets, PACKET_LENGTH, PACKET_TAG, PACKET_TEXT } from './crypto/counter-packets.ts';
export {
  ED25519_KEY_LENGTH,
  ED25519_SIGNATURE_LENGTH,
  Ed25519Key,
  isEd25519Public,
  verifyEd25519,
} from './crypto/ed25519.ts';
export { DhKey, GROUP14_LENGTH, isGroup14Public, prepareGroup14 } from './crypto/group14.ts';
export {
  equalBytes,
  HASH_LENGTH,
  hmacSha1,
  hmacSha256,
  randomBytes,
  sha256,
  sha512,
} from './crypto/hash.ts';
export { hkdfExpand, hkdfExtract, pbkdf2Sha256 } from './crypto/kdf.ts';
export {
  isMlKemPublic,
  loadMlKem,
  ML_KEM_CIPHERTEXT_LENGTH,
  ML_KEM_PUBLIC_LENGTH,
  type MlKem,
  type MlKemKey,
} from './crypto/ml-kem.ts';
export { MovableSha256 } from './crypto/movable-sha256.ts';
export { bcryptPbkdf, decryptAes256Ctr } from './crypto/private-key-cipher.ts';
export { X25519_LENGTH, X25519Key } from './crypto/x25519.ts';
