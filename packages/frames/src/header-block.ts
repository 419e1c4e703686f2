import { LIMITS, type Limits } from './constants.ts';
import { blockTooLarge, headerMisuse, malformedBlock } from './errors.ts';
import type { HeaderList } from './frame.ts';
import { bytesOf, nameFault, splitValues, textOf, valueFault } from './header-text.ts';
import { Reader } from './reader.ts';
import { Writer } from './writer.ts';

/**
 * The plain header block of `headers` (spec 1.3). Values of one name are joined, in their order, at the place
 * where the name occurs first.
 *
 * Throws scope `usage` on what a receiver would refuse. The message has the name and the remedy but never the
 * value: values are often secret, messages are often logged.
 */
export function encodeHeaderBlock(headers: HeaderList): Uint8Array {
  if (headers.length > LIMITS.headerPairs) {
    throw headerMisuse(`${headers.length} header values, more than ${LIMITS.headerPairs}: send fewer`);
  }
  const pairs = [...groupByName(headers)].map(encodePair);
  const content = sum(pairs.map((pair) => pair.name.length + pair.value.length));
  if (content + pairs.length * PAIR_COST > LIMITS.headerBlockBytes) {
    throw headerMisuse(
      `headers of ${content} bytes in ${pairs.length} pairs are over ${LIMITS.headerBlockBytes}: send less, or as payload`,
    );
  }
  const writer = new Writer(4 + 8 * pairs.length + content).u32(pairs.length);
  for (const { name, value } of pairs) writer.u32(name.length).bytes(name).u32(value.length).bytes(value);
  return writer.finish();
}

/**
 * The headers of a plain block. Throws scope `stream`: PROTOCOL_ERROR on a block that breaks a rule,
 * FRAME_TOO_LARGE on one over a limit.
 */
export function decodeHeaderBlock(block: Uint8Array, limits?: Partial<Limits>): HeaderList {
  const { headerPairs, headerBlockBytes } = { ...LIMITS, ...limits };
  const reader = new Reader(block, 0, malformedBlock);
  const count = reader.u32();
  const names = new Set<string>();
  const headers: [string, string][] = [];
  let size = 0;
  for (let i = 0; i < count; i++) {
    // Checked for each pair and not at the end: the block may be a peer's attempt to make us do work.
    if (headers.length >= headerPairs) throw blockTooLarge(`more than ${headerPairs} header values`);
    const nameBytes = reader.take(reader.u32());
    const valueBytes = reader.take(reader.u32());
    size += nameBytes.length + valueBytes.length + PAIR_COST;
    if (size > headerBlockBytes) throw blockTooLarge(`headers of more than ${headerBlockBytes} bytes`);

    const name = decodeName(nameBytes);
    if (names.has(name)) throw malformedBlock(`header ${quote(name)} occurs in two pairs`);
    names.add(name);
    for (const value of decodeValues(name, valueBytes, headerPairs - headers.length))
      headers.push([name, value]);
  }
  reader.expectEnd();
  return headers;
}

interface Pair {
  readonly name: Uint8Array;
  readonly value: Uint8Array;
}

/** A Map and not an object: `__proto__` is a header name like any other. */
function groupByName(headers: HeaderList): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const [name, value] of headers) {
    const values = groups.get(name);
    if (values) values.push(value);
    else groups.set(name, [value]);
  }
  return groups;
}

function encodePair([name, values]: [string, string[]]): Pair {
  const nameBytes = bytesOf(name);
  const fault = nameBytes ? nameFault(nameBytes) : 'has a character that no token has';
  if (!nameBytes || fault) {
    throw headerMisuse(`header name ${quote(name)} ${fault}: use lower-case letters, digits and "-"`);
  }
  for (const value of values) checkValue(name, value, values.length);
  return { name: nameBytes, value: bytesOf(values.join('\0')) as Uint8Array };
}

function checkValue(name: string, value: string, valuesOfName: number): void {
  const bytes = bytesOf(value);
  if (!bytes) {
    throw headerMisuse(`value of header ${quote(name)} has a character above U+00FF: percent-encode it`);
  }
  if (value === '' && valuesOfName > 1) {
    throw headerMisuse(`header ${quote(name)} has an empty value among several: leave it out`);
  }
  const fault = valueFault(bytes);
  if (fault) {
    throw headerMisuse(
      `value of header ${quote(name)} ${fault}: trim it, and give several values as several pairs`,
    );
  }
}

function decodeName(bytes: Uint8Array): string {
  const fault = nameFault(bytes);
  if (fault) throw malformedBlock(`a header name ${fault}`);
  return textOf(bytes);
}

/** @param most how many values the limit still allows */
function decodeValues(name: string, joined: Uint8Array, most: number): string[] {
  const values = splitValues(joined, most);
  if (values.length > most) throw blockTooLarge(`header ${quote(name)} has too many values`);
  for (const value of values) {
    const fault = value.length === 0 && values.length > 1 ? 'is empty among several' : valueFault(value);
    if (fault) throw malformedBlock(`a value of header ${quote(name)} ${fault}`);
  }
  return values.map(textOf);
}

/** For messages: quoted, so that no control character gets into a log, and cut. */
function quote(name: string): string {
  return JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}...` : name);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** What a pair counts besides its bytes: about what it costs a receiver (spec 1.7). */
const PAIR_COST = 32;
