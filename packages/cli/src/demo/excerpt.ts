/** A few captured bytes as a hex viewer shows them: printable ASCII as it is, dots for the rest. */
export interface Excerpt {
  readonly text: string;
  /** Where in `text` the secret is, if it is there: first character and length. */
  readonly secret?: { readonly at: number; readonly length: number };
}

/** Two lines of a column of the screen. */
const LENGTH = 46;
/** Bytes shown before a secret. */
const LEAD = 2;

/** The bytes around the first canary that is there. */
export function atCanary(bytes: Buffer, canaries: readonly string[]): Excerpt | undefined {
  for (const canary of canaries) {
    const found = bytes.indexOf(canary);
    if (found < 0) continue;
    const start = Math.max(0, found - LEAD);
    const text = printable(bytes.subarray(start, start + LENGTH));
    return { text, secret: { at: found - start, length: canary.length } };
  }
  return undefined;
}

/** Bytes out of the middle of an envelope. */
export function ofNoise(bytes: Buffer): Excerpt {
  const start = Math.max(0, Math.floor((bytes.length - LENGTH) / 2));
  return { text: printable(bytes.subarray(start, start + LENGTH)) };
}

function printable(bytes: Buffer): string {
  return bytes.toString('latin1').replace(/[^\x20-\x7e]/g, '.');
}
