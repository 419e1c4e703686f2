import type { ListenOptions } from 'node:net';
import { resolve } from 'node:path';
import { listenAddress } from '../config.ts';
import { ConfigError } from '../errors.ts';

/** Where a keeper listens: a socket, or an address for sessions from elsewhere. */
export type Place =
  | {
      readonly kind: 'socket';
      readonly path: string;
      /** Whose keys its callers may use: a host, '' for proxies; undefined for all. */
      readonly authority: string | undefined;
    }
  | { readonly kind: 'sessions'; readonly address: ListenOptions };

/** `unix:PATH`, `NAME=unix:PATH`, `=unix:PATH`, or `HOST:PORT`. Throws ConfigError. */
export function placeOf(text: string): Place {
  const [, name, path] = /^(?:([^=/]*)=)?unix:(.+)$/.exec(text) ?? [];
  if (path !== undefined) return { kind: 'socket', path: resolve(path), authority: name?.toLowerCase() };
  const { data: address } = listenAddress.safeParse(text);
  if (address !== undefined && 'host' in address) return { kind: 'sessions', address };
  throw new ConfigError(`--listen ${text}: write unix:PATH, NAME=unix:PATH, or HOST:PORT`);
}
