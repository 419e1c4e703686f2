import { createCipheriv, createHash, createHmac, pbkdf2Sync } from 'node:crypto';

/**
 * A second, naive writing of spec chapters 3 and 4, to make vectors with and to compare the real one with. It is written from the formulas of the
 * chapters and shares nothing with packages/keys: whole runs only, big integers, slow, and no defence against anything.
 */
export const P = BigInt(
  `0x${[
    'ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd',
    'ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed',
    'ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f',
    '83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b',
    'e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510',
    '15728e5a8aacaa68ffffffffffffffff',
  ].join('')}`,
);

export const H = (...parts: Uint8Array[]): Buffer =>
  createHash('sha256')
    .update(cat(...parts))
    .digest();
export const HMAC = (key: Uint8Array, data: Uint8Array): Buffer =>
  createHmac('sha256', key).update(data).digest();
export const extract = (salt: Uint8Array, input: Uint8Array): Buffer => HMAC(salt, input);

export function expand(key: Uint8Array, info: Uint8Array, length: number): Buffer {
  const blocks: Buffer[] = [];
  for (let index = 1; blocks.length * 32 < length; index++) {
    blocks.push(HMAC(key, cat(blocks.at(-1) ?? Buffer.alloc(0), info, Buffer.of(index))));
  }
  return cat(...blocks).subarray(0, length);
}

export const cat = (...parts: Uint8Array[]): Buffer => Buffer.concat(parts);
export const text = (value: string): Buffer => Buffer.from(value, 'latin1');
export const number = (value: bigint | number, bytes: number): Buffer =>
  Buffer.from(
    BigInt(value)
      .toString(16)
      .padStart(bytes * 2, '0'),
    'hex',
  );
const integer = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`);

export function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let square = base % P, rest = exponent; rest > 0n; rest >>= 1n, square = (square * square) % P) {
    if (rest & 1n) result = (result * square) % P;
  }
  return result;
}

export interface RunInputs {
  readonly keyFile: Buffer;
  readonly label: string;
  readonly authority: string;
  readonly offer: number;
  readonly depth: number;
  readonly initiator: 'client' | 'server';
  readonly keyId: number;
  /** That the run makes; 0 by default, above that in a renegotiation. */
  readonly generation?: number;
}

/** K and K_psk (3.5). */
export function longTermKeys(keyFile: Buffer): { K: Buffer; Kpsk: Buffer; label: string } {
  const K = H(keyFile);
  const Kpsk = extract(text('keymux/1 psk'), K);
  return { K, Kpsk, label: `k-${expand(Kpsk, text('keymux/1 label'), 8).toString('hex')}` };
}

/** A KEY_NEGO frame (1.5). */
export function frame(keyId: number, algorithm: number, flags: number, data: Uint8Array): Buffer {
  const head = cat(number(0x8003004b, 4), number(flags, 1), number(data.length + 4, 3));
  return cat(head, number(keyId, 1), number(algorithm, 1), number(data.length, 2), data);
}

export function offerFields({ offer, label, authority }: RunInputs): Buffer {
  return cat(
    number(offer, 4),
    number(label.length, 1),
    text(label),
    number(authority.length, 1),
    text(authority),
  );
}

/** T_0 (3.5). */
export function t0({ depth, initiator, keyId, generation = 0 }: RunInputs): Buffer {
  const side = initiator === 'client' ? 1 : 2;
  return H(text('keymux/1 negotiation'), Buffer.of(0, depth, side, keyId, generation));
}

/** The flags of F_1, which says of a renegotiation that it is one (3.14). */
export function firstFlags({ generation = 0 }: RunInputs, flags: number): number {
  return generation > 0 ? flags | 8 : flags;
}

/** S of a generation that a renegotiation made, from that of the one before and its session digests (3.14). */
export function chained(previous: Buffer, DI: Buffer, DR: Buffer, run: Buffer): Buffer {
  return extract(expand(previous, cat(text('keymux/1 renegotiation'), Buffer.of(0), DI, DR), 32), run);
}

/** `frame` with a tag in its last 32 bytes (3.5). */
export function tagged(whole: Buffer, tagKey: (transcript: Buffer) => Buffer, previous: Buffer): Buffer {
  const transcript = H(previous, whole.subarray(0, -32));
  return cat(whole.subarray(0, -32), HMAC(tagKey(transcript), transcript));
}

/** Sealing keys, exporter and switch key of one generation (3.5). */
export function generationKeys(S: Buffer, generation: number, DI: Buffer, DR: Buffer) {
  const seal = (d: number) => {
    const material = expand(S, cat(text('keymux/1 seal'), Buffer.of(0, generation, d), DI, DR), 44);
    return { key: material.subarray(0, 32), iv: material.subarray(32) };
  };
  const exporter = expand(S, cat(text('keymux/1 exporter'), Buffer.of(0), DI, DR), 32);
  const switchKey = expand(S, cat(text('keymux/1 switch key'), Buffer.of(0), DI, DR), 32);
  return { client: seal(1), server: seal(2), exporter, switchKey };
}

/** The fields of KEY_SWITCH before its digest (1.5). */
export interface SwitchFields {
  readonly streamId: number;
  readonly previousKeyId: number;
  readonly previousGeneration: number;
  readonly count: number;
}

function switchFields({ streamId, previousKeyId, previousGeneration, count }: SwitchFields): Buffer {
  const id = number(streamId, 4);
  return cat(id, Buffer.of(previousKeyId, previousGeneration), number(0, 2), number(count, 8));
}

/** A KEY_SWITCH frame (1.5). */
export function keySwitch(fields: SwitchFields, digest: Buffer): Buffer {
  return cat(number(0x80030054, 4), number(48, 4), switchFields(fields), digest);
}

/** E for a stream: the digest without the proof (4.5). */
export function switchDigest(streamId: number, clearFrames: Buffer[], syn: Buffer | undefined): Buffer {
  const Y = syn === undefined ? Buffer.alloc(32) : H(syn);
  return H(text('keymux/1 switch'), Buffer.of(0), number(streamId, 4), H(...clearFrames), Y);
}

/** What the digest field holds if a key was before (4.5). */
export function switchProof(
  key: Buffer,
  d: number,
  fields: SwitchFields,
  to: { readonly keyId: number; readonly generation: number },
  E: Buffer,
): Buffer {
  return HMAC(key, cat(Buffer.of(d), switchFields(fields), Buffer.of(to.keyId, to.generation), E));
}

export interface Transcribed {
  readonly frames: Buffer[];
  readonly transcripts: Buffer[];
  /** S by generation. */
  readonly secrets: Buffer[];
}

/** ALG 1 (3.7). */
export function pskRun(inputs: RunInputs, timestamp: number, nonceI: Buffer, nonceR: Buffer): Transcribed {
  const { Kpsk } = longTermKeys(inputs.keyFile);
  const T0 = t0(inputs);
  const first = cat(offerFields(inputs), number(timestamp, 8), nonceI, Buffer.alloc(32));
  const F1 = tagged(
    frame(inputs.keyId, 1, 1, first),
    () => expand(Kpsk, text('keymux/1 psk initiator'), 32),
    T0,
  );
  const T1 = H(T0, F1);
  const second = frame(inputs.keyId, 1, 1, cat(nonceR, Buffer.alloc(32)));
  const F2 = tagged(second, () => expand(Kpsk, text('keymux/1 psk responder'), 32), T1);
  const T2 = H(T1, F2);
  return { frames: [F1, F2], transcripts: [T0, T1, T2], secrets: [extract(T1, Kpsk), extract(T2, Kpsk)] };
}

/** What a dishonest side of ALG 2 may put in the place of an honest value. */
export interface SpipedLies {
  readonly nonceS?: Buffer;
  readonly yC?: bigint;
  readonly yS?: bigint;
}

/** ALG 2 (3.8). `xC` and `xS` are the 256 random bits of the exponents. */
export function spipedRun(
  inputs: RunInputs,
  nonceC: Buffer,
  honestNonceS: Buffer,
  xC: Buffer,
  xS: Buffer,
  lies: SpipedLies = {},
): Transcribed & { readonly dk2: Buffer } {
  const { K } = longTermKeys(inputs.keyFile);
  const nonceS = lies.nonceS ?? honestNonceS;
  const dk1 = pbkdf2Sync(K, cat(nonceC, nonceS), 1, 64, 'sha256');
  const exponents = { C: 2n ** 258n + integer(xC), S: 2n ** 258n + integer(xS) };
  const yC = number(lies.yC ?? power(2n, exponents.C), 256);
  const yS = number(lies.yS ?? power(2n, exponents.S), 256);
  // The victim's side of the exchange, whichever side lies.
  const shared = lies.yC === undefined ? power(integer(yS), exponents.C) : power(integer(yC), exponents.S);
  const dk2 = pbkdf2Sync(K, cat(nonceC, nonceS, number(shared, 256)), 1, 128, 'sha256');
  const id = inputs.keyId;
  const T0 = t0(inputs);
  const F1 = frame(id, 2, 0, cat(offerFields(inputs), nonceC));
  const T1 = H(T0, F1);
  const F2 = frame(id, 2, 0, nonceS);
  const T2 = H(T1, F2);
  const F3 = frame(id, 2, 1, cat(yC, HMAC(dk1.subarray(0, 32), yC)));
  const T3 = H(T2, F3);
  const last = frame(id, 2, 1, cat(yS, HMAC(dk1.subarray(32), yS), Buffer.alloc(32)));
  const F4 = tagged(last, (T) => expand(extract(T, dk2), text('keymux/1 spiped responder'), 32), T3);
  const T4 = H(T3, F4);
  return {
    frames: [F1, F2, F3, F4],
    transcripts: [T0, T1, T2, T3, T4],
    secrets: [extract(T4, dk2)],
    dk2,
  };
}

/** An envelope (4.1). */
export function envelope(
  { key, iv }: { key: Buffer; iv: Buffer },
  direction: number,
  keyId: number,
  generation: number,
  counter: bigint,
  plaintext: Buffer,
) {
  const head = cat(number(0x80030053, 4), number(plaintext.length + 18, 4), Buffer.of(keyId, generation));
  const aad = cat(text('keymux/1 sealed'), Buffer.of(0, direction), head);
  const nonce = number(integer(iv) ^ counter, 12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 }).setAAD(aad);
  const body = cat(cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
  return { counter: Number(counter), head, aad, nonce, plaintext, body };
}
