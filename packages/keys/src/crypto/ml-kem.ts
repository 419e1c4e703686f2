import nodeCrypto, { type KeyObject } from 'node:crypto';
import { randomBytes } from './hash.ts';

/** Bytes of ML-KEM-768 (FIPS 203). */
export const ML_KEM_PUBLIC_LENGTH = 1184;
export const ML_KEM_CIPHERTEXT_LENGTH = 1088;

/** One side's ephemeral ML-KEM-768 key. One object serves one run. */
export interface MlKemKey {
  /** ek, 1184 bytes. */
  readonly publicValue: Uint8Array;
  /**
   * The secret that `ciphertext` holds, 32 bytes. A wrong ciphertext gives a secret too, which nobody else knows ("implicit
   * rejection"): whether it was right shows in what is made of the secret.
   */
  decapsulate(ciphertext: Uint8Array): Uint8Array;
  wipe(): void;
}

/** ML-KEM-768, of node:crypto or of @noble/post-quantum. Everything in it blocks, for 0.1 to 3 milliseconds. */
export interface MlKem {
  generate(): MlKemKey;
  /** A fresh secret for the holder of `publicValue`, which must have passed `isMlKemPublic`. */
  encapsulate(publicValue: Uint8Array): { readonly ciphertext: Uint8Array; readonly secret: Uint8Array };
}

/**
 * ML-KEM-768 of node:crypto where it has it (from 24.7), else of @noble/post-quantum, which is loaded and run once so that no
 * handshake waits for the compiler. With `random`, for test vectors, always the latter: node:crypto draws its own bytes.
 */
export async function loadMlKem(random?: (length: number) => Uint8Array): Promise<MlKem> {
  if (random === undefined && NATIVE !== undefined) return NATIVE;
  noble ??= loadNoble();
  return nobleMlKem(await noble, random ?? randomBytes);
}

/** ML-KEM-768 of node:crypto; undefined if this version has none. */
export const NATIVE: MlKem | undefined = nativeMlKem();

/**
 * Whether `publicValue` is 1184 bytes, of which the first 1152 are 768 numbers of 12 bits below q = 3329 (FIPS 203, 7.2). Both
 * libraries check it too; whether a key is refused must not depend on which is there.
 */
export function isMlKemPublic(publicValue: Uint8Array): boolean {
  if (publicValue.length !== ML_KEM_PUBLIC_LENGTH) return false;
  for (let offset = 0; offset < ML_KEM_PUBLIC_LENGTH - 32; offset += 3) {
    const [a = 0, b = 0, c = 0] = publicValue.subarray(offset, offset + 3);
    if ((a | ((b & 15) << 8)) >= Q || ((b >> 4) | (c << 4)) >= Q) return false;
  }
  return true;
}

function checked(publicValue: Uint8Array): Uint8Array {
  if (!isMlKemPublic(publicValue)) throw new RangeError('an ML-KEM key was not checked');
  return publicValue;
}

// node:crypto

/** What @types/node of the oldest Node that we support does not know. */
interface KemFunctions {
  generateKeyPairSync(
    type: 'ml-kem-768',
    options: typeof ENCODED,
  ): { readonly publicKey: Buffer; readonly privateKey: KeyObject };
  encapsulate(key: KeyObject): { readonly sharedKey: Buffer; readonly ciphertext: Buffer };
  decapsulate(key: KeyObject, ciphertext: Uint8Array): Buffer;
}

const ENCODED = { publicKeyEncoding: { format: 'der', type: 'spki' } } as const;

function nativeMlKem(): MlKem | undefined {
  const crypto = nodeCrypto as unknown as Partial<KemFunctions> & Pick<KemFunctions, 'generateKeyPairSync'>;
  const { encapsulate, decapsulate } = crypto;
  if (encapsulate === undefined || decapsulate === undefined) return undefined;
  return {
    generate: () => {
      // Encoded along with it, not exported: that can lock up the process (see X25519Key).
      const { publicKey: encoded, privateKey } = crypto.generateKeyPairSync('ml-kem-768', ENCODED);
      return {
        publicValue: Uint8Array.from(encoded.subarray(SPKI_HEAD.length)),
        decapsulate: (ciphertext) => decapsulate(privateKey, ciphertext),
        wipe: () => undefined, // a KeyObject lives outside the JavaScript heap, and OpenSSL clears it
      };
    },
    encapsulate: (publicValue) => {
      const encoded = Buffer.concat([SPKI_HEAD, checked(publicValue)]);
      const key = nodeCrypto.createPublicKey({ key: encoded, format: 'der', type: 'spki' });
      const { sharedKey, ciphertext } = encapsulate(key);
      return { ciphertext, secret: sharedKey };
    },
  };
}

// @noble/post-quantum

type Noble = typeof import('@noble/post-quantum/ml-kem.js').ml_kem768;

let noble: Promise<Noble> | undefined;

async function loadNoble(): Promise<Noble> {
  const { ml_kem768 } = await import('@noble/post-quantum/ml-kem.js');
  const kem = nobleMlKem(ml_kem768, randomBytes);
  const key = kem.generate();
  key.decapsulate(kem.encapsulate(key.publicValue).ciphertext);
  key.wipe();
  return ml_kem768;
}

function nobleMlKem(kem: Noble, random: (length: number) => Uint8Array): MlKem {
  return {
    generate: () => {
      const seed = random(SEED_LENGTH);
      const { publicKey, secretKey } = kem.keygen(seed);
      seed.fill(0);
      return {
        publicValue: publicKey,
        decapsulate: (ciphertext) => kem.decapsulate(ciphertext, secretKey),
        wipe: () => void secretKey.fill(0),
      };
    },
    encapsulate: (publicValue) => {
      const seed = random(MESSAGE_LENGTH);
      const { cipherText, sharedSecret } = kem.encapsulate(checked(publicValue), seed);
      seed.fill(0);
      return { ciphertext: cipherText, secret: sharedSecret };
    },
  };
}

const Q = 3329;
/** d || z, and m (FIPS 203, 7.1 and 7.2). */
const SEED_LENGTH = 64;
const MESSAGE_LENGTH = 32;
/** All of an ML-KEM-768 key in SPKI form but its 1184 bytes (RFC 9935). */
const SPKI_HEAD = Buffer.from('308204b2300b0609608648016503040402038204a100', 'hex');
