import type fc from 'fast-check';

/**
 * One thing to fuzz: what cases look like, and what must hold for each. The same target serves the short run of the test suite, the long runs of
 * `npm run fuzz`, and the cases that once failed.
 */
export interface FuzzTarget<Case = unknown> {
  readonly name: string;
  /**
   * Cases are plain data: numbers, flags, texts, bytes, lists and records of them. A guided run changes them in any way that leaves their shape as it
   * is, so `check` must take any number where there is one.
   */
  readonly cases: fc.Arbitrary<Case>;
  /** Throws, or rejects, if the case shows a fault. */
  readonly check: (input: Case) => void | Promise<void>;
  /** How many cases the short run tries. */
  readonly runs: number;
}

/** A target among others: whoever runs it knows nothing of its cases. */
export function target<Case>(made: FuzzTarget<Case>): FuzzTarget {
  return made as unknown as FuzzTarget;
}

/** Writes a case down. Bytes become `{ "hex": "..." }`. */
export function formatCase(input: unknown): string {
  const plain = (_: string, value: unknown): unknown =>
    value instanceof Uint8Array ? { hex: Buffer.from(value).toString('hex') } : value;
  // Buffer has a toJSON of its own, which comes before `plain`.
  return JSON.stringify(withoutBuffers(input), plain, 1);
}

export function parseCase(text: string): unknown {
  return JSON.parse(text, (_, value: unknown) =>
    isHex(value) ? new Uint8Array(Buffer.from(value.hex, 'hex')) : value,
  );
}

function withoutBuffers(value: unknown): unknown {
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (Array.isArray(value)) return value.map(withoutBuffers);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, withoutBuffers(field)]));
}

function isHex(value: unknown): value is { hex: string } {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as { hex?: unknown }).hex === 'string' &&
    Object.keys(value).length === 1
  );
}
