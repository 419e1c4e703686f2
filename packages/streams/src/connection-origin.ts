import { isIPv4, type Socket } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Where a connection comes from. */
export interface ConnectionOrigin {
  /** For logs. */
  readonly peer: string;
  /** Undefined for a Unix socket. */
  readonly address: string | undefined;
  /** 0 for a Unix socket. */
  readonly port: number;
  /** Who counts as one where clients are counted (spec 7.4). */
  readonly client: string;
}

/** What counts as one client: an address, or, where many share one, each connection. */
export type CountedBy = 'address' | 'connection';

let connections = 0;

export function originOf(
  { remoteAddress: address, remotePort: port = 0 }: Socket,
  countedBy: CountedBy,
): ConnectionOrigin {
  const peer = address === undefined ? 'local' : `${address}:${port}`;
  const shared = address === undefined || countedBy === 'connection';
  return { peer, address, port, client: shared ? `connection ${++connections}` : clientAt(address) };
}

/**
 * Who counts as one by address: an IPv4 address, or the /64 of an IPv6 address, since whoever has one of its addresses can have all of them.
 * What is neither, as a front may say, counts by its text.
 */
export function clientAt(address: string): string {
  if (isIPv4(address)) return address;
  if (!ipaddr.isValid(address)) return address;
  const ip = ipaddr.process(address); // unwraps v4-mapped IPv6
  return ip.kind() === 'ipv4' ? ip.toString() : `${(ip as ipaddr.IPv6).parts.slice(0, 4).join(':')}::/64`;
}
