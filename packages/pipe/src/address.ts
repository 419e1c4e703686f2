import { isIPv4, isIPv6 } from 'node:net';

/** Where a TCP or Unix socket listens. */
export type PipeAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** An address that cannot be understood. */
export class PipeAddressError extends Error {
  override readonly name = 'PipeAddressError';
  readonly code = 'ERR_KEYMUX_ADDRESS';
}

/**
 * Parses an address as spiped writes it (spec 11.6): `/path/of/socket`, `host.name:port`, `[ip.v4.ad.dr]:port` or `[ipv6::addr]:port`. Port
 * 0 takes a free one. Throws PipeAddressError.
 */
export function parsePipeAddress(text: string): PipeAddress {
  if (text.startsWith('/')) return { path: text };
  const match = /^(?:\[([^\]]*)\]|([a-z0-9._-]+)):([0-9]{1,5})$/i.exec(text);
  const [, literal, name, digits] = match ?? [];
  const port = Number(digits);
  const host = literal !== undefined && !isIPv4(literal) && !isIPv6(literal) ? undefined : (literal ?? name);
  if (host === undefined || port > 65_535) {
    throw new PipeAddressError(
      `"${text}" is not an address: write /path/of/socket, host:port, [IPv4]:port or [IPv6]:port`,
    );
  }
  return { host, port };
}

/** The address as it is written; the reverse of parsing it. */
export function formatPipeAddress(address: PipeAddress): string {
  if ('path' in address) return address.path;
  const { host, port } = address;
  return isIPv6(host) || isIPv4(host) ? `[${host}]:${port}` : `${host}:${port}`;
}
