import { isIP, isIPv6 } from 'node:net';
import { matchesPattern } from './pattern.ts';

/** A pattern that cannot be understood, or not be honoured. */
export class PatternError extends Error {
  override readonly name = 'PatternError';
}

type Test = (address: Address, text: string) => boolean;

/**
 * The list of `from=` in authorized_keys (PATTERNS of ssh_config(5)): addresses, networks such as `10.0.0.0/8`, addresses with `*` and `?`, each
 * negated by `!`. Names match nothing here, since nothing asks the DNS who an address belongs to.
 */
export class AddressPatterns {
  readonly #tests: readonly { readonly negated: boolean; readonly test: Test }[];

  /** Throws PatternError. */
  constructor(list: string) {
    this.#tests = list.split(',').map((entry) => {
      const negated = entry.startsWith('!');
      return { negated, test: parseEntry(negated ? entry.slice(1) : entry, negated) };
    });
  }

  /** Whether the address is in the list: some pattern matches, and no negated one. */
  matches(address: string): boolean {
    const bare = address.replace(/%.*$/, '');
    if (isIP(bare) === 0) return false;
    const parsed = parseAddress(bare);
    const text = parsed.bits === 32 ? dotted(parsed.value) : bare.toLowerCase();
    const matching = this.#tests.filter(({ test }) => test(parsed, text));
    return matching.length > 0 && matching.every(({ negated }) => !negated);
  }
}

function parseEntry(entry: string, negated: boolean): Test {
  const [network = '', length, ...rest] = entry.split('/');
  if (isIP(network) !== 0 && !network.includes('%') && rest.length === 0) {
    return inNetwork(entry, network, length);
  }
  if (ADDRESS_WITH_WILDCARDS.test(entry)) return (_, text) => matchesPattern(entry.toLowerCase(), text);
  if (!NAME.test(entry) || ONLY_NUMBERS.test(entry)) {
    throw new PatternError(`"${entry}" is no address, no network and no name`);
  }
  // Whether an address belongs to a name that must be kept out cannot be told.
  if (negated) throw new PatternError(`"!${entry}" is a name, and only addresses are compared`);
  return () => false;
}

/** Of IPv4, or of IPv6 with a colon: `*.de` and `cafe*` are names. */
const ADDRESS_WITH_WILDCARDS = /^(?=.*[*?])(?:[0-9.*?]+|(?=.*:)[0-9a-f:.*?]+)$/i;
const NAME = /^[a-z0-9._*?-]+$/i;
/** What looks like an address and is none. */
const ONLY_NUMBERS = /^[0-9.]+$/;

function inNetwork(entry: string, network: string, length: string | undefined): Test {
  const { value, bits } = parseAddress(network);
  const wanted = length === undefined ? bits : /^[0-9]{1,3}$/.test(length) ? Number(length) : -1;
  const shift = BigInt(bits - wanted);
  if (wanted < 0 || wanted > bits || (value >> shift) << shift !== value) {
    throw new PatternError(`"${entry}" is no network: the prefix length does not fit the address`);
  }
  return (address) => address.bits === bits && address.value >> shift === value >> shift;
}

interface Address {
  readonly value: bigint;
  readonly bits: 32 | 128;
}

/** An address that `isIP` has recognised. IPv4 inside IPv6 (`::ffff:10.0.0.1`) is IPv4. */
function parseAddress(text: string): Address {
  if (!isIPv6(text)) return { value: parseIpv4(text), bits: 32 };
  const value = parseIpv6(text);
  return value >> 32n === 0xffffn ? { value: value & 0xffffffffn, bits: 32 } : { value, bits: 128 };
}

function parseIpv4(text: string): bigint {
  return text.split('.').reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function parseIpv6(text: string): bigint {
  const [left = '', right] = text.split('::');
  const head = groups(left);
  const tail = right === undefined ? [] : groups(right);
  const gap = new Array<bigint>(8 - head.length - tail.length).fill(0n);
  return [...head, ...gap, ...tail].reduce((value, group) => (value << 16n) | group, 0n);
}

function groups(text: string): bigint[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [BigInt(`0x${group}`)];
    const value = parseIpv4(group);
    return [value >> 16n, value & 0xffffn];
  });
}

function dotted(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join('.');
}
