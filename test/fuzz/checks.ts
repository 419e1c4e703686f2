import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';

/** What a case has shown to be wrong. */
export class Fault extends Error {
  override readonly name = 'Fault';
}

export function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Fault(what);
}

export function mustEqual(actual: unknown, expected: unknown, what: string): void {
  if (isDeepStrictEqual(actual, expected)) return;
  const isParted = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !(value instanceof Uint8Array);
  if (isParted(actual) && isParted(expected)) {
    // The first part that differs says more than the whole.
    for (const name of new Set([...Object.keys(actual), ...Object.keys(expected)]))
      mustEqual(actual[name], expected[name], `${what}, ${name}`);
  }
  throw new Fault(`${what}: ${shorten(actual)} instead of ${shorten(expected)}`);
}

/** The error that `act` refuses with, undefined if it does not. Errors that are made on purpose have a code. */
export function refusal(act: () => unknown): (Error & { readonly code: string }) | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    mustBeTyped(error);
    return error;
  }
}

export async function asyncRefusal(act: () => Promise<unknown>): Promise<Error | undefined> {
  try {
    await act();
    return undefined;
  } catch (error) {
    mustBeTyped(error);
    return error;
  }
}

/** An error that the project throws on purpose; everything else passes through as it is. */
export function mustBeTyped(error: unknown): asserts error is Error & { readonly code: string } {
  const { code } = error as { code?: unknown };
  if (!(error instanceof Error) || typeof code !== 'string' || !code.startsWith('ERR_KEYMUX_')) throw error;
  if (code === 'ERR_KEYMUX_INTERNAL') throw error.cause ?? error;
}

/** `bytes` in pieces of `sizes`, again and again; in one piece if there are no sizes. After 200 pieces the rest comes at once. */
export function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size =
      sizes.length === 0 || pieces.length > 200 ? bytes.length : sizes[pieces.length % sizes.length];
    const end = at + Math.max(1, Math.abs(size ?? 1));
    pieces.push(Uint8Array.from(bytes.subarray(at, end)));
    at = end;
  }
  return pieces;
}

/** Sizes of pieces: mostly small, sometimes as much as there is. */
export const CUTS: fc.Arbitrary<number[]> = fc.array(
  fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 5000 })),
  { maxLength: 4 },
);

/** A change of bytes on their way. */
export interface Damage {
  /** Where, modulo the length. */
  readonly at: number;
  readonly kind: number;
  readonly value: number;
}

const KINDS = 6;

export const DAMAGE: fc.Arbitrary<Damage> = fc.record({
  // Most of what can be wrong is wrong in the first bytes.
  at: fc.oneof(fc.nat(40), fc.nat(100_000)),
  kind: fc.nat(KINDS - 1),
  value: fc.nat(255),
});

/** The bytes with all damage done, one after the other. */
export function damaged(bytes: Uint8Array, damage: readonly Damage[]): Uint8Array {
  return damage.reduce<Uint8Array>((changed, { at, kind, value }) => {
    const place = changed.length === 0 ? 0 : Math.abs(at) % changed.length;
    const before = changed.subarray(0, place);
    switch (Math.abs(kind) % KINDS) {
      case 0: // another byte
        return Buffer.concat([before, Buffer.of(value), changed.subarray(place + 1)]);
      case 1: // another bit
        return Buffer.concat([
          before,
          Buffer.of((changed[place] ?? 0) ^ (1 << (value & 7))),
          changed.subarray(place + 1),
        ]);
      case 2: // more bytes
        return Buffer.concat([before, Buffer.alloc(1 + (value & 15), value), changed.subarray(place)]);
      case 3: // fewer bytes
        return Buffer.concat([before, changed.subarray(place + 1 + (value & 15))]);
      case 4: // no more bytes
        return Uint8Array.from(before);
      default: // the same bytes again
        return Buffer.concat([changed.subarray(0, place + 1 + value), changed.subarray(place)]);
    }
  }, bytes);
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** One of a list, by any number. */
export function pick<T>(list: readonly T[], at: number): T | undefined {
  return list[Math.abs(Math.trunc(at)) % Math.max(1, list.length)];
}

function shorten(value: unknown): string {
  const text = value instanceof Uint8Array ? hex(value) : JSON.stringify(value);
  return text === undefined || text.length <= 600 ? `${text}` : `${text.slice(0, 600)}...`;
}
