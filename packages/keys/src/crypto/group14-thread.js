import {
  createDiffieHellman,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  getDiffieHellman,
  randomBytes,
} from 'node:crypto';
import { parentPort } from 'node:worker_threads';

/**
 * The thread that computes in group 14 of RFC 3526, one job at a time. In JavaScript, because Node itself loads it, and Node 20 reads no TypeScript.
 *
 * Exponents are made here, as spiped makes them: 2^258 + 256 random bits, so that the number of squarings tells nothing (node:crypto would choose
 * 225 bits). They leave as KeyObjects: a handle to memory outside all JavaScript heaps, which another job may come back with.
 *
 * @typedef {{ readonly random?: Uint8Array | undefined }} MakeJob `random`: 32 bytes for test vectors, wiped here.
 * @typedef {{ readonly key: import('node:crypto').KeyObject, readonly peer: Uint8Array }} AgreeJob
 * @typedef {{ readonly key: import('node:crypto').KeyObject, readonly publicValue: Uint8Array }} Made
 * @typedef {{ readonly shared: Uint8Array | undefined }} Agreed
 */

const LENGTH = 256;
const RANDOM_LENGTH = 32;
/** 4, since 2^258 = 4 × 2^256, and the random bytes. */
const EXPONENT_LENGTH = 1 + RANDOM_LENGTH;
const PRIME = getDiffieHellman('modp14').getPrime();
const GENERATOR = Buffer.of(2);

/**
 * Node's DiffieHellman class checks from 24 on for half a second whether p is prime. KeyObjects take 1.3 ms for both steps, but 6 ms with OpenSSL 3.0,
 * which is that of Node 20: there the class takes 1.1 ms.
 */
const useClass = process.versions.node.startsWith('20.');

/** @param {MakeJob} job @returns {Made} */
function make({ random = randomBytes(RANDOM_LENGTH) }) {
  const exponent = Buffer.concat([Buffer.of(4), random], EXPONENT_LENGTH);
  random.fill(0);
  try {
    return useClass ? makeByClass(exponent) : makeKeyObject(exponent);
  } finally {
    exponent.fill(0);
  }
}

/**
 * peer^x mod p; undefined if OpenSSL refuses `peer`, which it may if that is no power of 2.
 *
 * @param {AgreeJob} job @returns {Agreed}
 */
function agree({ key, peer }) {
  try {
    return { shared: padded(useClass ? agreeByClass(key, peer) : agreeByKeyObject(key, peer)) };
  } catch {
    return { shared: undefined };
  }
}

/** @param {Buffer} exponent @returns {Made} */
function makeByClass(exponent) {
  const group = createDiffieHellman(PRIME, GENERATOR);
  group.setPrivateKey(exponent);
  return { key: createSecretKey(exponent), publicValue: padded(group.generateKeys()) };
}

/** @param {import('node:crypto').KeyObject} key @param {Uint8Array} peer */
function agreeByClass(key, peer) {
  const exponent = key.export();
  const group = createDiffieHellman(PRIME, GENERATOR);
  group.setPrivateKey(exponent);
  exponent.fill(0);
  return group.computeSecret(peer);
}

/** @param {Buffer} exponent @returns {Made} */
function makeKeyObject(exponent) {
  const encoded = Buffer.allocUnsafeSlow(PKCS8_HEAD.length + exponent.length);
  encoded.set(PKCS8_HEAD);
  encoded.set(exponent, PKCS8_HEAD.length);
  const key = createPrivateKey({ key: encoded, format: 'der', type: 'pkcs8' });
  encoded.fill(0);
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return { key, publicValue: padded(numberOf(spki)) };
}

/** @param {import('node:crypto').KeyObject} privateKey @param {Uint8Array} peer */
function agreeByKeyObject(privateKey, peer) {
  const encoded = der(SEQUENCE, ALGORITHM, der(BIT_STRING, Buffer.of(0), derInteger(peer)));
  const publicKey = createPublicKey({ key: encoded, format: 'der', type: 'spki' });
  return diffieHellman({ privateKey, publicKey });
}

/**
 * The number in 256 bytes of their own. DER and Node drop leading zero bytes, once in 256 runs, and DER adds one in every second.
 *
 * @param {Uint8Array} value Wiped.
 */
function padded(value) {
  const full = new Uint8Array(LENGTH);
  const digits = value.subarray(Math.max(0, value.length - LENGTH));
  full.set(digits, LENGTH - digits.length);
  value.fill(0);
  return full;
}

/** @param {number} tag @param {...Uint8Array} parts */
function der(tag, ...parts) {
  const content = Buffer.concat(parts);
  const { length } = content;
  const long = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...(length < 128 ? [length] : long)]), content]);
}

/** The number of a public key, which is its end. Its head is shorter where the number is (1 in 256). @param {Uint8Array} spki */
function numberOf(spki) {
  const bitString = BIT_STRING_AT + headLength(spki, BIT_STRING_AT) + 1;
  return spki.subarray(bitString + headLength(spki, bitString));
}

/** Bytes of a tag and its length. @param {Uint8Array} bytes @param {number} at */
function headLength(bytes, at) {
  const length = bytes[at + 1] ?? 0;
  return length < 0x80 ? 2 : 2 + (length & 0x7f);
}

/** Without leading zero bytes, but for one if the number would look negative. @param {Uint8Array} value */
function derInteger(value) {
  const digits = value.subarray(value.findIndex((byte) => byte !== 0));
  return der(INTEGER, Buffer.alloc((digits[0] ?? 0) >> 7), digits);
}

const [INTEGER, BIT_STRING, OCTET_STRING, SEQUENCE] = [0x02, 0x03, 0x04, 0x30];
const DH_KEY_AGREEMENT = Buffer.from('06092a864886f70d010301', 'hex');
/** PKCS #3: the prime and the generator. */
const ALGORITHM = der(SEQUENCE, DH_KEY_AGREEMENT, der(SEQUENCE, derInteger(PRIME), derInteger(GENERATOR)));
/** All of a PKCS #8 key but its exponent. */
const PKCS8_HEAD = der(
  SEQUENCE,
  der(INTEGER, Buffer.of(0)),
  ALGORITHM,
  der(OCTET_STRING, der(INTEGER, Buffer.alloc(EXPONENT_LENGTH))),
).subarray(0, -EXPONENT_LENGTH);
/** Where the BIT STRING of a public key begins: behind the head of the SEQUENCE, which is longer than 255 bytes, and the algorithm. */
const BIT_STRING_AT = 4 + ALGORITHM.length;

parentPort?.on('message', (/** @type {MakeJob | AgreeJob} */ job) => {
  const result = 'key' in job ? agree(job) : make(job);
  const bytes = 'shared' in result ? result.shared : result.publicValue;
  parentPort?.postMessage(result, bytes === undefined ? [] : [/** @type {ArrayBuffer} */ (bytes.buffer)]);
});
