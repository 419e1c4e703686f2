import {
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';

/** Bytes of a public value, a private key and a shared secret. */
export const X25519_LENGTH = 32;

/**
 * One side's ephemeral X25519 key (RFC 7748). One object serves one run or hand-over. The private key is a KeyObject: it lives outside the
 * JavaScript heap and does not print its bytes.
 */
export class X25519Key {
  /** 32 bytes. */
  readonly publicValue: Uint8Array;
  readonly #key: KeyObject;

  private constructor(key: KeyObject) {
    this.#key = key;
    // By its definition (RFC 7748, 6.1), and not by an export: Node locks a key while it exports it, and if garbage is collected
    // then, the job that has made the key waits for that lock as well, for ever.
    this.publicValue = Uint8Array.from(diffieHellman({ privateKey: key, publicKey: BASE_POINT }));
  }

  static generate(): X25519Key {
    return new X25519Key(generateKeyPairSync('x25519').privateKey);
  }

  /** The key with these 32 private bytes. For test vectors: parsing PKCS #8 takes several times as long as making a key. */
  static of(secret: Uint8Array): X25519Key {
    if (secret.length !== X25519_LENGTH) throw new RangeError('an X25519 key has 32 bytes');
    const encoded = Buffer.concat([PKCS8_HEAD, secret]);
    const key = createPrivateKey({ key: encoded, format: 'der', type: 'pkcs8' });
    encoded.fill(0);
    return new X25519Key(key);
  }

  /**
   * The secret shared with the holder of `peer`, 32 bytes; undefined if it is all zero, because `peer` is of small order: then
   * it would be the same whatever this side's key is (RFC 7748, 6.1). Throws RangeError if `peer` has another length than 32.
   */
  agree(peer: Uint8Array): Uint8Array | undefined {
    if (peer.length !== X25519_LENGTH) throw new RangeError('an X25519 public value has 32 bytes');
    const shared = derive(this.#key, point(peer));
    return shared?.some((byte) => byte !== 0) ? shared : undefined;
  }
}

function point(u: Uint8Array): KeyObject {
  // As JWK because parsing SPKI takes ten times as long.
  const x = Buffer.from(u.buffer, u.byteOffset, u.length).toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' });
}

const BASE_POINT = point(Uint8Array.of(9, ...new Uint8Array(X25519_LENGTH - 1)));

/** OpenSSL refuses an all-zero result by itself, with an error that says nothing. The caller checks it all the same. */
function derive(privateKey: KeyObject, publicKey: KeyObject): Uint8Array | undefined {
  try {
    return diffieHellman({ privateKey, publicKey });
  } catch {
    return undefined;
  }
}

/** All of a PKCS #8 X25519 key but its 32 bytes (RFC 8410). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b656e04220420', 'hex');
