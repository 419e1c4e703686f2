import { createCipheriv } from 'node:crypto';
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import {
  cat,
  expand,
  extract,
  firstFlags,
  frame,
  H,
  longTermKeys,
  number,
  offerFields,
  type RunInputs,
  type Transcribed,
  t0,
  tagged,
  text,
} from './reference-keys.ts';

/**
 * ALG 3, 5 and 6 in the naive second writing that reference-keys.ts begins. X25519 is RFC 7748 with big integers, Noise one straight line;
 * only ML-KEM is the library's, which packages/keys compares with the vectors of NIST.
 */
const P = 2n ** 255n - 19n;

/** X25519(k, u) of RFC 7748, section 5. */
export function x25519(k: Buffer, u: Buffer): Buffer {
  const bits = Buffer.from(k);
  bits[0] = (bits[0] ?? 0) & 248;
  bits[31] = ((bits[31] ?? 0) & 127) | 64;
  const scalar = little(bits);
  const x1 = (little(u) & (2n ** 255n - 1n)) % P;
  let [x2, z2, x3, z3, swap] = [1n, 0n, x1, 1n, 0n];
  for (let t = 254n; t >= 0n; t--) {
    const bit = (scalar >> t) & 1n;
    if ((swap ^ bit) === 1n) [x2, x3, z2, z3] = [x3, x2, z3, z2];
    swap = bit;
    const [a, b, c, d] = [x2 + z2, x2 - z2, x3 + z3, x3 - z3];
    const [aa, bb, da, cb] = [a * a, b * b, d * a, c * b];
    const e = aa - bb;
    [x3, z3] = [mod((da + cb) ** 2n), mod(x1 * (da - cb) ** 2n)];
    [x2, z2] = [mod(aa * bb), mod(e * (aa + 121665n * e))];
  }
  if (swap === 1n) [x2, z2] = [x3, z3];
  return number(mod(x2 * inverse(z2)), 32).reverse();
}

const mod = (value: bigint): bigint => ((value % P) + P) % P;
const little = (bytes: Buffer): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);

function inverse(value: bigint): bigint {
  let result = 1n;
  for (let square = mod(value), rest = P - 2n; rest > 0n; rest >>= 1n, square = mod(square * square)) {
    if (rest & 1n) result = mod(result * square);
  }
  return result;
}

const NINE = number(9, 32).reverse();
export const publicOf = (secret: Buffer): Buffer => x25519(secret, NINE);

/** What a dishonest side may put in the place of an honest public value. */
export interface PublicLies {
  readonly eI?: Buffer;
  readonly eR?: Buffer;
}

/** Public values and secrets of a run, as the side sees it that is lied to. */
function exchange(secretI: Buffer, secretR: Buffer, lies: PublicLies) {
  const [eI, eR] = [lies.eI ?? publicOf(secretI), lies.eR ?? publicOf(secretR)];
  return { eI, eR, shared: lies.eI ? x25519(secretR, eI) : x25519(secretI, eR) };
}

/** ALG 3 (3.10): Noise_NNpsk0_25519_AESGCM_SHA256 in a straight line. */
export function pskX25519Run(
  inputs: RunInputs,
  secretI: Buffer,
  secretR: Buffer,
  lies: PublicLies = {},
): Transcribed & { readonly k1: Buffer; readonly k2: Buffer } {
  const { Kpsk } = longTermKeys(inputs.keyFile);
  const { eI, eR, shared } = exchange(secretI, secretR, lies);
  const T0 = t0(inputs);
  const room = frame(inputs.keyId, 3, firstFlags(inputs, 1), cat(offerFields(inputs), Buffer.alloc(48)));

  const protocol = text('Noise_NNpsk0_25519_AESGCM_SHA256'); // 32 bytes, so h and ck begin with it
  let h = H(protocol, T0, room.subarray(0, -48));
  let ck = protocol;
  let k = Buffer.alloc(32);
  const hkdf = (input: Buffer, count: number) => {
    const output = expand(extract(ck, input), Buffer.alloc(0), 32 * count);
    return [output.subarray(0, 32), output.subarray(32, 64), output.subarray(64)] as const;
  };
  const mixKey = (input: Buffer) => {
    [ck, k] = hkdf(input, 2) as unknown as [Buffer, typeof k];
  };
  const empty = () => {
    const cipher = createCipheriv('aes-256-gcm', k, Buffer.alloc(12), { authTagLength: 16 }).setAAD(h);
    cipher.final();
    const tag = cipher.getAuthTag();
    h = H(h, tag);
    return tag;
  };
  // psk
  const [ck1, mixed, k1] = hkdf(Kpsk, 3);
  [ck, h, k] = [ck1, H(h, mixed), k1 as typeof k];
  // e
  h = H(h, eI);
  mixKey(eI);
  const F1 = cat(room.subarray(0, -48), eI, empty());
  // e, ee
  h = H(h, eR);
  mixKey(eR);
  mixKey(shared);
  const F2 = frame(inputs.keyId, 3, 1, cat(eR, empty()));
  const [split1, split2] = hkdf(Buffer.alloc(0), 2);
  const T1 = H(T0, F1);
  const T2 = H(T1, F2);
  return {
    frames: [F1, F2],
    transcripts: [T0, T1, T2],
    secrets: [extract(T2, cat(split1, split2))],
    k1: split1,
    k2: split2,
  };
}

/** ALG 5 (3.11). */
export function anonymousRun(
  inputs: RunInputs,
  secretI: Buffer,
  secretR: Buffer,
  lies: PublicLies = {},
): Transcribed {
  const { eI, eR, shared } = exchange(secretI, secretR, lies);
  const T0 = t0(inputs);
  const F1 = frame(inputs.keyId, 5, firstFlags(inputs, 1), cat(offerFields(inputs), eI));
  const T1 = H(T0, F1);
  const answer = frame(inputs.keyId, 5, 1, cat(eR, Buffer.alloc(32)));
  const F2 = tagged(answer, (T) => expand(extract(T, shared), text('keymux/1 anonymous responder'), 32), T1);
  const T2 = H(T1, F2);
  return { frames: [F1, F2], transcripts: [T0, T1, T2], secrets: [extract(T2, shared)] };
}

/** What the two sides of ALG 6 draw. */
export interface HybridRandom {
  readonly secretI: Buffer;
  /** d || z */
  readonly seed: Buffer;
  readonly secretR: Buffer;
  readonly m: Buffer;
}

export interface HybridLies extends PublicLies {
  readonly ek?: Buffer;
  readonly ct?: Buffer;
  /** What the tag of F_2 and S are made with instead. */
  readonly secret?: (parts: { kem: Buffer; dh: Buffer; Kpsk: Buffer }) => Buffer;
}

/** ALG 6 (3.12). */
export function hybridRun(inputs: RunInputs, random: HybridRandom, lies: HybridLies = {}): Transcribed {
  const { Kpsk } = longTermKeys(inputs.keyFile);
  const { eI, eR, shared: dh } = exchange(random.secretI, random.secretR, lies);
  const honest = ml_kem768.keygen(random.seed);
  const { cipherText, sharedSecret: kem } = ml_kem768.encapsulate(honest.publicKey, random.m);
  const id = inputs.keyId;
  const T0 = t0(inputs);
  const first = cat(offerFields(inputs), eI, lies.ek ?? honest.publicKey, Buffer.alloc(32));
  const F1 = tagged(frame(id, 6, 1, first), () => expand(Kpsk, text('keymux/1 hybrid initiator'), 32), T0);
  const T1 = H(T0, F1);
  const parts = { kem: Buffer.from(kem), dh, Kpsk };
  const ss = lies.secret?.(parts) ?? cat(parts.kem, dh, Kpsk);
  const second = frame(id, 6, 1, cat(eR, lies.ct ?? cipherText, Buffer.alloc(32)));
  const F2 = tagged(second, (T) => expand(extract(T, ss), text('keymux/1 hybrid responder'), 32), T1);
  const T2 = H(T1, F2);
  return { frames: [F1, F2], transcripts: [T0, T1, T2], secrets: [extract(T2, ss)] };
}
