import { HEAD_LENGTH, LIMITS } from '@keymux/frames';
import type { Padding } from './config.ts';

/** Most plaintext that frames may fill, so that what is left can always be padded to the policy's size (spec 4.1). */
export function plaintextLimit(policy: Padding): number {
  return policy === 'none' ? LIMITS.sealedPlaintext : LIMITS.sealedPlaintext - HEAD_LENGTH;
}

/**
 * Size of the PADDING frame to add to `size` bytes of plaintext, its 8-byte head included; 0 for none (spec 4.1).
 * What would be padded beyond an envelope is padded to a full one.
 */
export function paddingFor(policy: Padding, size: number): number {
  if (policy === 'none') return 0;
  const step = policy === 'fixed' ? FIXED_STEP : padmeStep(size);
  let padded = roundUp(size, step);
  if (padded !== size && padded - size < HEAD_LENGTH) padded = roundUp(size + HEAD_LENGTH, step);
  return Math.min(padded, LIMITS.sealedPlaintext) - size;
}

/** Lengths keep their first log2 log2 length bits. */
function padmeStep(size: number): number {
  const exponent = Math.floor(Math.log2(size));
  return 2 ** (exponent - Math.floor(Math.log2(exponent)) - 1);
}

function roundUp(size: number, step: number): number {
  return Math.ceil(size / step) * step;
}

/** As spiped's packets. */
const FIXED_STEP = 1024;
