import { DEFAULT_PORT } from '@keymux/client';
import type { PeerName } from '@keymux/keys';
import { ConfigError } from '../errors.ts';

/** A place to connect to. */
export interface Place {
  /** A name or an address without brackets. */
  readonly host: string;
  readonly port: number;
}

/** What a URL asks for, and where to connect for it. */
export interface Target {
  readonly url: string;
  /** As it goes into `:host`. */
  readonly host: string;
  /** In lower case, as keys speak for it; an IPv6 address is without brackets. */
  readonly hostname: string;
  readonly port: number;
  readonly path: string;
  /** That of the URL, or another which --connect-to names. */
  readonly place: Place;
}

/** Takes a URL of `keymux get` apart. Throws ConfigError. */
export function parseTarget(text: string, connectTo: string | undefined): Target {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['keymux:', 'http:'].includes(url.protocol) || url.hostname === '') {
    throw new ConfigError(`"${text}" is no URL of a host: write keymux://HOST[:PORT]/PATH`);
  }
  const hostname = bare(url.hostname.toLowerCase());
  const port = Number(url.port || (url.protocol === 'http:' ? 80 : DEFAULT_PORT));
  return {
    url: text,
    hostname,
    port,
    host: url.host.toLowerCase(),
    path: (url.pathname || '/') + url.search,
    place: connectTo === undefined ? { host: hostname, port } : parseConnectTo(connectTo),
  };
}

function parseConnectTo(text: string): Place {
  const place = parsePlace(text);
  if (place === undefined) throw new ConfigError(`--connect-to is "${text}"; write HOST:PORT`);
  return place;
}

/** What an ordinary program wants from a proxy: a TCP connection, in which it may speak TLS. */
export interface Destination {
  readonly text: string;
  readonly place: Place;
  readonly tls: boolean;
}

/** Takes `https://HOST[:PORT]/` or `HOST:PORT` apart; undefined if it is neither. */
export function parseDestination(text: string): Destination | undefined {
  const place = parsePlace(text);
  if (place !== undefined) return { text, place, tls: false };
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'https:') return undefined;
  return { text, place: { host: bare(url.hostname), port: Number(url.port || 443) }, tls: true };
}

/** The host as the user typed it, wherever the connection goes. */
export function peerNameOf({ hostname, port }: Target): PeerName {
  return { host: hostname, port };
}

/** The host for error messages, and where it was looked for. */
export function partyOf({ hostname, place }: Target): string {
  const at = formatPlace(place);
  return hostname === place.host ? at : `${hostname} at ${at}`;
}

/** `host:port`, with brackets where they are needed. */
export function formatPlace({ host, port }: Place): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** `host:port` or `[IPv6]:port`; undefined for what nothing could connect to. */
function parsePlace(text: string): Place | undefined {
  const match = PLACE.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port < 1 || port > 65_535) return undefined;
  return { host: bare(match[1] ?? ''), port };
}

function bare(host: string): string {
  return host.replace(/^\[|\]$/g, '');
}

const PLACE = /^(\[[0-9a-f:.]+(?:%[a-z0-9._-]+)?\]|[a-z0-9._-]+):([0-9]{1,5})$/i;
