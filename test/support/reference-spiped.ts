import { createCipheriv, pbkdf2Sync } from 'node:crypto';
import { cat, HMAC, longTermKeys, number, power } from './reference-keys.ts';

/**
 * A second, naive writing of spec chapter 11, from the formulas and with big integers: whole runs only, one cipher for each packet, and no
 * defence against anything. It shares nothing with packages/keys and packages/pipe.
 */
export interface RawInputs {
  readonly keyFile: Buffer;
  readonly nonceC: Buffer;
  readonly nonceS: Buffer;
  /** The 256 random bits of the exponents. */
  readonly xC: Buffer;
  readonly xS: Buffer;
  /** What a dishonest side says instead of its value, with the right h. */
  readonly yC?: bigint;
  readonly yS?: bigint;
}

export interface RawRun {
  /** y_C || h_C, and y_S || h_S. */
  readonly valueC: Buffer;
  readonly valueS: Buffer;
  readonly dk2: Buffer;
}

export function rawRun({ keyFile, nonceC, nonceS, xC, xS, ...lies }: RawInputs): RawRun {
  const { K } = longTermKeys(keyFile);
  const dk1 = pbkdf2Sync(K, cat(nonceC, nonceS), 1, 64, 'sha256');
  const [c, s] = [xC, xS].map((x) => 2n ** 258n + BigInt(`0x${x.toString('hex')}`)) as [bigint, bigint];
  const yC = number(lies.yC ?? power(2n, c), 256);
  const yS = number(lies.yS ?? power(2n, s), 256);
  return {
    valueC: cat(yC, HMAC(dk1.subarray(0, 32), yC)),
    valueS: cat(yS, HMAC(dk1.subarray(32), yS)),
    dk2: pbkdf2Sync(K, cat(nonceC, nonceS, number(power(power(2n, c), s), 256)), 1, 128, 'sha256'),
  };
}

/** Packet `index` of the direction whose E || H is `keys`. `length` is what it claims to hold. */
export function rawPacket(keys: Buffer, index: number, payload: Buffer, length = payload.length): Buffer {
  const padded = cat(payload, Buffer.alloc(1024 - payload.length), number(length, 4));
  const counter = cat(number(index, 8), Buffer.alloc(8));
  const sealed = createCipheriv('aes-256-ctr', keys.subarray(0, 32), counter).update(padded);
  return cat(sealed, HMAC(keys.subarray(32, 64), cat(sealed, number(index, 8))));
}
