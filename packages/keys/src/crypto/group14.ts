import {
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  getDiffieHellman,
  type KeyObject,
} from 'node:crypto';

/** Bytes of a number modulo p, always written in full. */
export const GROUP14_LENGTH = 256;

const RANDOM_LENGTH = 32;
const PRIME = getDiffieHellman('modp14').getPrime();
const PRIME_MINUS_ONE = Buffer.from(PRIME);
PRIME_MINUS_ONE[GROUP14_LENGTH - 1] = (PRIME_MINUS_ONE[GROUP14_LENGTH - 1] ?? 0) - 1; // p is odd: no borrow
const ONE = Buffer.alloc(GROUP14_LENGTH);
ONE[GROUP14_LENGTH - 1] = 1;

/**
 * One side's ephemeral key in group 14 of RFC 3526, as spiped makes it: exponent 2^258 + 256 random bits, so that the
 * number of squarings tells nothing; node:crypto would choose 225 bits. One object serves one run. The private key is a KeyObject: it lives
 * outside the JavaScript heap. Node's DiffieHellman class is of no use: from 24 on it checks for a third of a second whether p is prime.
 *
 * Construction and `agree` block for about 1 ms each, `agree` in Node 20 for 4 ms: node:crypto has no asynchronous form.
 */
export class DhKey {
  /** y = 2^x mod p, 256 bytes. */
  readonly publicValue: Uint8Array;
  readonly #key: KeyObject;

  /** `random` is 32 bytes from the generator. */
  constructor(random: Uint8Array) {
    if (random.length !== RANDOM_LENGTH) throw new RangeError('an exponent has 32 random bytes');
    const encoded = Buffer.allocUnsafeSlow(PKCS8_HEAD.length + RANDOM_LENGTH);
    encoded.set(PKCS8_HEAD);
    encoded.set(random, PKCS8_HEAD.length);
    this.#key = createPrivateKey({ key: encoded, format: 'der', type: 'pkcs8' });
    encoded.fill(0);
    const spki = createPublicKey(this.#key).export({ format: 'der', type: 'spki' });
    this.publicValue = padded(numberOf(spki));
  }

  /**
   * peer^x mod p, 256 bytes. `peer` must have passed `isGroup14Public`. Undefined if OpenSSL refuses it: version 3.0, that of Node 20, wants a
   * power of 2, which every honest value is.
   */
  agree(peer: Uint8Array): Uint8Array | undefined {
    if (!isGroup14Public(peer)) throw new RangeError('a group 14 value was not checked');
    const publicKey = createPublicKey({ key: encodePublic(peer), format: 'der', type: 'spki' });
    const shared = derive(this.#key, publicKey);
    return shared === undefined ? undefined : padded(shared);
  }
}

function derive(privateKey: KeyObject, publicKey: KeyObject): Uint8Array | undefined {
  try {
    return diffieHellman({ privateKey, publicKey });
  } catch {
    return undefined;
  }
}

/**
 * Whether `y` is 256 bytes and 1 < y < p - 1. Node itself accepts values above p and reduces them, so that p + 2 would
 * be a second way to write 2; and y = 1 is spiped's switch for doing without forward secrecy.
 */
export function isGroup14Public(y: Uint8Array): boolean {
  return y.length === GROUP14_LENGTH && Buffer.compare(y, ONE) > 0 && Buffer.compare(y, PRIME_MINUS_ONE) < 0;
}

/** The number in 256 bytes. DER drops leading zero bytes, once in 256 runs, and adds one in every second. */
function padded(value: Uint8Array): Uint8Array {
  const full = Buffer.alloc(GROUP14_LENGTH);
  const digits = value.subarray(Math.max(0, value.length - GROUP14_LENGTH));
  full.set(digits, GROUP14_LENGTH - digits.length);
  value.fill(0);
  return full;
}

function encodePublic(y: Uint8Array): Buffer {
  return der(SEQUENCE, ALGORITHM, der(BIT_STRING, Buffer.of(0), derInteger(y)));
}

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const long = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...(length < 128 ? [length] : long)]), content]);
}

/** The number of a public key, which is its end. Its head is shorter where the number is (1 in 256). */
function numberOf(spki: Uint8Array): Uint8Array {
  const bitString = BIT_STRING_AT + headLength(spki, BIT_STRING_AT) + 1;
  return spki.subarray(bitString + headLength(spki, bitString));
}

/** Bytes of a tag and its length. */
function headLength(bytes: Uint8Array, at: number): number {
  const length = bytes[at + 1] as number;
  return length < 0x80 ? 2 : 2 + (length & 0x7f);
}

/** Without leading zero bytes, but for one if the number would look negative. */
function derInteger(value: Uint8Array): Buffer {
  const digits = value.subarray(value.findIndex((byte) => byte !== 0));
  return der(INTEGER, Buffer.alloc((digits[0] ?? 0) >> 7), digits);
}

const [INTEGER, BIT_STRING, OCTET_STRING, SEQUENCE] = [0x02, 0x03, 0x04, 0x30];
const DH_KEY_AGREEMENT = Buffer.from('06092a864886f70d010301', 'hex');
/** PKCS #3: the prime and the generator 2. */
const ALGORITHM = der(SEQUENCE, DH_KEY_AGREEMENT, der(SEQUENCE, derInteger(PRIME), derInteger(Buffer.of(2))));
/** All of a PKCS #8 key but the 32 lower bytes of its exponent; the byte above those is 4, since 2^258 = 4 × 2^256. */
const PKCS8_HEAD = der(
  SEQUENCE,
  der(INTEGER, Buffer.of(0)),
  ALGORITHM,
  der(OCTET_STRING, der(INTEGER, Buffer.of(4), Buffer.alloc(RANDOM_LENGTH))),
).subarray(0, -RANDOM_LENGTH);
/** Where the BIT STRING of a public key begins: behind the head of the SEQUENCE, which is longer than 255 bytes, and the algorithm. */
const BIT_STRING_AT = 4 + ALGORITHM.length;
