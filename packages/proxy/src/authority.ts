import { isIP, isIPv6 } from 'node:net';

/** Where a CONNECT wants to go. */
export interface Destination {
  /** A lower-case DNS name, or an IP address without brackets. */
  readonly host: string;
  readonly port: number;
}

const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;

/**
 * Parses `host:port` strictly; undefined if it is anything else. Spellings that some resolvers take for addresses
 * (`127.1`, `0x7f000001`, `2130706433`) are refused: a name whose last label is a number is no name.
 */
export function parseDestination(text: string): Destination | undefined {
  const match = /^(\[[^\]]*\]|[^:[\]]+):([0-9]{1,5})$/.exec(text);
  if (match === null) return undefined;
  const port = Number(match[2]);
  if (port < 1 || port > 65_535) return undefined;
  const host = parseHost(match[1] as string);
  return host === undefined ? undefined : { host, port };
}

function parseHost(text: string): string | undefined {
  if (text.startsWith('[')) {
    const address = text.slice(1, -1);
    return isIPv6(address) && !address.includes('%') ? address : undefined;
  }
  if (isIP(text) === 4) return text;
  const name = text.toLowerCase().replace(/\.$/, '');
  const labels = name.split('.');
  const last = labels.at(-1) ?? '';
  if (name.length > 253 || !labels.every((label) => LABEL.test(label))) return undefined;
  return /^(?:[0-9]+|0x[0-9a-f]*)$/.test(last) ? undefined : name;
}
