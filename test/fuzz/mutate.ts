import type { Random } from './random.ts';

const INTERESTING = [
  0,
  1,
  2,
  3,
  7,
  8,
  15,
  16,
  127,
  128,
  255,
  256,
  1023,
  1024,
  65_535,
  65_536,
  2 ** 24 - 1,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];
const MOST_ITEMS = 60;
const MOST_BYTES = 200_000;

/** The case with a part changed. Its shape stays: numbers become whole numbers, lists get or lose items, bytes become others. */
export function mutated(input: unknown, donor: unknown, random: Random): unknown {
  if (typeof input === 'number') return number(input, random);
  if (typeof input === 'boolean') return !input;
  if (typeof input === 'string') return text(input, donor, random);
  if (input instanceof Uint8Array) return bytes(input, donor instanceof Uint8Array ? donor : input, random);
  if (Array.isArray(input)) return list(input, Array.isArray(donor) ? donor : input, random);
  if (typeof input !== 'object' || input === null) return input;
  const record = input as Record<string, unknown>;
  const names = Object.keys(record);
  if (names.length === 0) return input;
  // Longer parts are worth more changes.
  const name = random.of(
    names.flatMap((name) => Array<string>(1 + Math.floor(Math.log2(1 + sizeOf(record[name])))).fill(name)),
  );
  const from =
    typeof donor === 'object' && donor !== null ? (donor as Record<string, unknown>)[name] : undefined;
  return { ...record, [name]: mutated(record[name], from, random) };
}

function sizeOf(value: unknown): number {
  if (value instanceof Uint8Array || typeof value === 'string') return value.length;
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + 1 + sizeOf(item), 0);
  if (typeof value !== 'object' || value === null) return 1;
  return Object.values(value).reduce<number>((sum, item) => sum + sizeOf(item), 0);
}

function number(value: number, random: Random): number {
  switch (random.below(4)) {
    case 0:
      return random.of(INTERESTING);
    case 1:
      return Math.max(0, value + random.below(17) - 8);
    case 2:
      return random.below(32);
    default:
      return Math.abs(value ^ (1 << random.below(20)));
  }
}

function text(value: string, donor: unknown, random: Random): string {
  const other = typeof donor === 'string' ? donor : value;
  const at = random.below(value.length + 1);
  switch (random.below(4)) {
    case 0:
      return value.slice(0, at) + value.slice(at + 1 + random.below(3));
    case 1:
      return value.slice(0, at) + String.fromCharCode(random.below(128)) + value.slice(at);
    case 2:
      return value.slice(0, at) + other.slice(random.below(other.length + 1));
    default:
      return (value.slice(0, at) + value.slice(random.below(value.length + 1))).slice(0, 500);
  }
}

function bytes(value: Uint8Array, donor: Uint8Array, random: Random): Uint8Array {
  const at = random.below(value.length + 1);
  const [before, after] = [value.subarray(0, at), value.subarray(at)];
  switch (random.below(7)) {
    case 0:
      return Uint8Array.from(value, (byte, index) => (index === at ? byte ^ (1 << random.below(8)) : byte));
    case 1:
      return Uint8Array.from(value, (byte, index) => (index === at ? random.below(256) : byte));
    case 2: {
      const copy = Buffer.from(value);
      const size = random.of([1, 2, 4]);
      if (copy.length >= size)
        copy.writeUIntBE(
          random.of(INTERESTING) % 2 ** (8 * size),
          random.below(copy.length - size + 1),
          size,
        );
      return Uint8Array.from(copy);
    }
    case 3:
      return Uint8Array.from(Buffer.concat([before, after.subarray(1 + random.below(16))]));
    case 4: {
      const more = Buffer.alloc(1 + random.below(16), random.below(256));
      return Uint8Array.from(Buffer.concat([before, more, after]));
    }
    case 5: {
      const from = random.below(donor.length + 1);
      const piece = donor.subarray(from, from + 1 + random.below(64));
      return Uint8Array.from(Buffer.concat([before, piece, after.subarray(random.below(2) * piece.length)]));
    }
    default:
      return Uint8Array.from(
        Buffer.concat([before, donor.subarray(random.below(donor.length + 1))]),
      ).subarray(0, MOST_BYTES);
  }
}

function list(value: readonly unknown[], donor: readonly unknown[], random: Random): unknown[] {
  const at = random.below(value.length + 1);
  const choice = random.below(value.length === 0 ? 1 : 9);
  if (choice === 0) {
    const from = random.below(donor.length + 1);
    return [
      ...value.slice(0, at),
      ...donor.slice(from, from + 1 + random.below(4)),
      ...value.slice(at),
    ].slice(0, MOST_ITEMS);
  }
  if (choice === 1) return value.filter((_, index) => index !== at);
  if (choice === 2)
    return [...value.slice(0, at), ...donor.slice(random.below(donor.length + 1))].slice(0, MOST_ITEMS);
  if (choice === 3) return [...value.slice(0, at), ...value.slice(Math.max(0, at - 1))].slice(0, MOST_ITEMS);
  const index = random.below(value.length);
  return value.map((item, place) =>
    place === index ? mutated(item, random.of(donor.length > 0 ? donor : value), random) : item,
  );
}
