import type { Duplex } from 'node:stream';
import type { PeerName } from '@keymux/keys';
import { connectSocket, connectUpgrade, connectWebSocket } from '@keymux/streams';

/** An address that cannot be understood. */
export class AddressError extends Error {
  override readonly name = 'AddressError';
  readonly code = 'ERR_KEYMUX_ADDRESS';
}

/** IANA's port for SPDY. */
export const DEFAULT_PORT = 6121;

/** Where a session is opened to. */
export type Address =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'websocket'; readonly url: URL }
  | { readonly kind: 'upgrade'; readonly url: URL };

/** Parses `host[:port]`, `[v6]:port`, `unix:/path`, or a URL of a WebSocket (`ws`, `wss`) or for an upgrade (`http`, `https`). Throws AddressError. */
export function parseAddress(text: string): Address {
  if (text.startsWith('unix:')) return { kind: 'unix', path: text.slice(5) };
  const scheme = /^(ws|http)s?:\/\//.exec(text)?.[1];
  if (scheme !== undefined) {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || url.port === '0') throw new AddressError(`"${text}" is not a URL to connect to`);
    return { kind: scheme === 'ws' ? 'websocket' : 'upgrade', url };
  }
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?$/i.exec(text);
  const port = Number(match?.[2] ?? DEFAULT_PORT);
  if (match === null || port < 1 || port > 65_535) {
    throw new AddressError(
      `"${text}" is not an address: write host:port, [IPv6]:port, unix:/path, ws://host:port/ or http://host:port/`,
    );
  }
  return { kind: 'tcp', host: (match[1] as string).replace(/^\[|\]$/g, ''), port };
}

/** The host that an address names; a Unix socket names none. */
export function nameOf(address: Address): PeerName | undefined {
  if (address.kind === 'tcp') return { host: address.host, port: address.port };
  if (address.kind === 'unix') return undefined;
  const { hostname, port, protocol } = address.url;
  const scheme = protocol === 'wss:' || protocol === 'https:' ? 443 : 80;
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || scheme) };
}

/** Opens a carrier to an address. Rejects with the system's error, or the signal's reason. */
export function connectCarrier(
  address: Address,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Duplex> {
  if (address.kind === 'websocket') return connectWebSocket(address.url, options);
  if (address.kind === 'upgrade') return connectUpgrade(address.url, options);
  return connectSocket(
    address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port },
    options,
  );
}
