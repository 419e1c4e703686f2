import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign as nodeSign,
  verify as nodeVerify,
  randomFillSync,
} from 'node:crypto';
import { secretBytes } from '../bytes.ts';

/** Bytes of a public key and of a private key's seed. */
export const ED25519_KEY_LENGTH = 32;
export const ED25519_SIGNATURE_LENGTH = 64;

/**
 * An Ed25519 private key (RFC 8032). It is a KeyObject: it lives outside the JavaScript heap and does not print its bytes. `sign` takes no
 * public key: whoever can make a signer use one half with another's other half learns the private key from two signatures.
 */
export class Ed25519Key {
  readonly publicKey: Uint8Array;
  readonly #key: KeyObject;

  private constructor(key: KeyObject) {
    this.#key = key;
    const { x } = createPublicKey(key).export({ format: 'jwk' });
    this.publicKey = Uint8Array.from(Buffer.from(x as string, 'base64url'));
  }

  /** A fresh key. */
  static generate(): Ed25519Key {
    const seed = secretBytes(ED25519_KEY_LENGTH);
    try {
      // Not by generateKeyPairSync: to export such a key can lock up the process (see X25519Key).
      return Ed25519Key.ofSeed(randomFillSync(seed));
    } finally {
      seed.fill(0);
    }
  }

  /** The key with this seed of 32 bytes, which stays the caller's to wipe. */
  static ofSeed(seed: Uint8Array): Ed25519Key {
    if (seed.length !== ED25519_KEY_LENGTH) throw new RangeError('an Ed25519 seed has 32 bytes');
    const encoded = secretBytes(PKCS8_HEAD.length + seed.length);
    encoded.set(PKCS8_HEAD);
    encoded.set(seed, PKCS8_HEAD.length);
    try {
      return new Ed25519Key(createPrivateKey({ key: encoded, format: 'der', type: 'pkcs8' }));
    } finally {
      encoded.fill(0);
    }
  }

  sign(message: Uint8Array): Uint8Array {
    return nodeSign(null, message, this.#key);
  }
}

/**
 * Whether `bytes` may be somebody's public key: written in the one canonical way, and not of small order, for which there are signatures that
 * fit many messages. Points that are not on the curve are found when a signature is verified.
 */
export function isEd25519Public(bytes: Uint8Array): boolean {
  if (bytes.length !== ED25519_KEY_LENGTH) return false;
  let y = 0n;
  for (let index = ED25519_KEY_LENGTH - 1; index >= 0; index--) {
    const byte = bytes[index] as number;
    y = (y << 8n) | BigInt(index === ED25519_KEY_LENGTH - 1 ? byte & 0x7f : byte);
  }
  return y < P && !SMALL_ORDER.includes(y);
}

/** Whether `signature` is the holder's of `publicKey` over `message`. Never throws. */
export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== ED25519_SIGNATURE_LENGTH || !isEd25519Public(publicKey)) return false;
  const x = Buffer.from(publicKey.buffer, publicKey.byteOffset, publicKey.length).toString('base64url');
  try {
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    return nodeVerify(null, message, key, signature) === true;
  } catch {
    return false;
  }
}

/** All of a PKCS #8 Ed25519 key but its seed (RFC 8410). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');
const P = 2n ** 255n - 19n;
const ORDER_8 = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
/** The y of all points whose order divides 8: order 4, 1, 2, and the two of order 8. The sign of x does not matter. */
const SMALL_ORDER = [0n, 1n, P - 1n, ORDER_8, P - ORDER_8];
