import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** A rule that cannot be understood. */
export class RuleError extends Error {
  override readonly name = 'RuleError';
  readonly code = 'ERR_KEYMUX_RULE';
}

/** The part of IPv6 that public unicast addresses are taken from; `::7f00:1`, an IPv4 address in disguise, is outside. */
const GLOBAL_IPV6 = { network: ipaddr.IPv6.parse('2000::'), bits: 3 };

interface PortRange {
  readonly from: number;
  readonly to: number;
}

type Rule =
  | { readonly kind: 'any' }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'suffix'; readonly suffix: string }
  | { readonly kind: 'network'; readonly network: ipaddr.IPv4 | ipaddr.IPv6; readonly bits: number };

/**
 * Where a proxy connects to: nowhere, but for its rules (spec 5.2). A rule is `HOST:PORT`, where HOST is a name, `*.suffix`, `*`, an address
 * or a network (`10.0.0.0/8`, `[fd00::/8]`), and PORT a number, a range (`8000-8099`) or `*`.
 *
 * Rules with names reach public addresses only. Loopback, private, link-local and other special addresses are reached only by rules that
 * give the address, so that a name that somebody else controls cannot lead inside. The one exception is the name `localhost`, which means loopback.
 */
export class DestinationPolicy {
  readonly #rules: readonly { readonly rule: Rule; readonly ports: PortRange; readonly text: string }[];

  /** Throws RuleError naming the rule and what is wrong with it. */
  constructor(rules: readonly string[]) {
    this.#rules = rules.map((text) => ({ ...parseRule(text), text }));
  }

  /** Whether a lookup of this name makes sense at all, before anything is resolved. */
  mayName(host: string, port: number): boolean {
    return this.#rules.some(
      ({ rule, ports }) => covers(ports, port) && (rule.kind === 'network' || matchesName(rule, host)),
    );
  }

  /** Whether a rule names this destination as it is written: a network matches only addresses in it. */
  names(host: string, port: number): boolean {
    return this.#rules.some(({ rule, ports }) => {
      if (!covers(ports, port)) return false;
      return rule.kind === 'network'
        ? isIP(host) !== 0 && inNetwork(ipaddr.process(host), rule)
        : matchesName(rule, host);
    });
  }

  /** The rule that allows connecting to `address`, which `host` resolved to; undefined refuses. */
  allows(host: string, address: string, port: number): string | undefined {
    const ip = ipaddr.process(address); // unwraps v4-mapped IPv6
    const kind = ip.range();
    const isPublic = kind === 'unicast' && (ip.kind() === 'ipv4' || inNetwork(ip, GLOBAL_IPV6));
    const isLocalhost = kind === 'loopback' && host === 'localhost';
    return this.#rules.find(({ rule, ports }) => {
      if (!covers(ports, port)) return false;
      if (rule.kind === 'network') return inNetwork(ip, rule);
      return matchesName(rule, host) && (isPublic || (isLocalhost && rule.kind === 'name'));
    })?.text;
  }
}

function matchesName(rule: Exclude<Rule, { kind: 'network' }>, host: string): boolean {
  if (rule.kind === 'any') return true;
  return rule.kind === 'name' ? host === rule.name : host.endsWith(rule.suffix);
}

function inNetwork(
  ip: ipaddr.IPv4 | ipaddr.IPv6,
  rule: Pick<Rule & { kind: 'network' }, 'network' | 'bits'>,
): boolean {
  return ip.kind() === rule.network.kind() && ip.match(rule.network as ipaddr.IPv4 & ipaddr.IPv6, rule.bits);
}

function covers(ports: PortRange, port: number): boolean {
  return port >= ports.from && port <= ports.to;
}

function parseRule(text: string): { rule: Rule; ports: PortRange } {
  const match = /^(\[[^\]]+\]|[^:[\]]+):([0-9*-]+)$/.exec(text.trim().toLowerCase());
  if (match === null)
    throw new RuleError(
      `allow rule "${text}": write HOST:PORT, for example example.com:443 or 10.0.0.0/8:22`,
    );
  return { rule: parseHostRule(text, match[1] as string), ports: parsePorts(text, match[2] as string) };
}

function parseHostRule(text: string, host: string): Rule {
  if (host === '*') return { kind: 'any' };
  const bare = host.replace(/^\[|\]$/g, '');
  const [address = '', bits, ...rest] = bare.split('/');
  if (ipaddr.IPv4.isValidFourPartDecimal(address) || ipaddr.IPv6.isValid(address)) {
    const network = ipaddr.parse(address);
    const most = network.kind() === 'ipv4' ? 32 : 128;
    const length = bits === undefined ? most : Number(bits);
    if (!Number.isInteger(length) || length < 0 || length > most || rest.length > 0 || bits === '') {
      throw new RuleError(`allow rule "${text}": the prefix length must be 0 to ${most}`);
    }
    return { kind: 'network', network, bits: length };
  }
  if (/^\*\.[a-z0-9._-]+$/.test(host)) return { kind: 'suffix', suffix: host.slice(1) };
  if (/^[a-z0-9._-]+$/.test(host) && !/^[0-9.]+$/.test(host))
    return { kind: 'name', name: host.replace(/\.$/, '') };
  throw new RuleError(
    `allow rule "${text}": "${host}" is neither a name, *.suffix, *, an address nor a network`,
  );
}

function parsePorts(text: string, ports: string): PortRange {
  if (ports === '*') return { from: 1, to: 65_535 };
  const match = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(ports);
  const from = Number(match?.[1]);
  const to = Number(match?.[2] ?? match?.[1]);
  if (match === null || from < 1 || to > 65_535 || from > to) {
    throw new RuleError(`allow rule "${text}": the port must be a number, a range such as 8000-8099, or *`);
  }
  return { from, to };
}
