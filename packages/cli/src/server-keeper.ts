import { resolve } from 'node:path';
import { connectUnix, RemoteKeeper } from '@keymux/keeper';
import type { KeptKey } from '@keymux/keys';
import { z } from 'zod';
import { ConfigError } from './errors.ts';
import { withFirstContact } from './first-contact.ts';
import type { LinkOptions } from './keeper/link-client.ts';
import { type Output, reasonsOf } from './output.ts';

/** Where a keeper is: at a socket of this machine, or at the other end of a session. */
export interface KeeperAddress {
  readonly kind: 'socket' | 'session';
  /** A path, or an address as sessions take it. */
  readonly address: string;
  /** As it was given. */
  readonly text: string;
}

const address = z.string().transform((text, context): KeeperAddress => {
  const [, path] = /^unix:(.+)$/.exec(text) ?? [];
  if (path !== undefined) return { kind: 'socket', address: resolve(path), text };
  const [, place] = /^keymux:\/\/([^/]+)\/?$/.exec(text) ?? [];
  const address = place ?? (/^(?:ws|http)s?:\/\//.test(text) ? text : undefined);
  if (address !== undefined) return { kind: 'session', address, text };
  context.addIssue({
    code: 'custom',
    message: 'write unix:PATH or keymux://HOST:PORT, where keymux keeper listens',
  });
  return z.NEVER;
});

/** The options that say which keeper a process has, and how it knows it. */
export const KEEPER_OPTIONS = {
  keeper: address.optional(),
  keeperKey: z.string().optional(),
  keeperIdentity: z.string().optional(),
  knownHosts: z.string().optional(),
};

/** Those, and the options that are the keeper's, where there is one. */
export interface KeeperOptions extends LinkOptions {
  readonly keeper?: KeeperAddress | undefined;
  readonly key?: Iterable<unknown> | undefined;
  readonly identity?: string | undefined;
  readonly authorizedKeys?: string | undefined;
  readonly proxyKey?: string | undefined;
  readonly proxyIdentity?: string | undefined;
}

/**
 * The keeper that --keeper names; undefined if there is no such option. A process that has a keeper reads no keys. Rejects with ConfigError if it is told
 * to, and with KeyError if the keeper cannot be reached. Whoever asks closes it.
 */
export async function remoteKeeper(
  options: KeeperOptions,
  output: Output,
): Promise<RemoteKeeper | undefined> {
  refuseKeys(options);
  const { keeper: place } = options;
  if (place?.kind !== 'session') refuseLinkOptions(options);
  if (place === undefined) return undefined;
  const { address } = place;
  const keeper = await (place.kind === 'socket'
    ? RemoteKeeper.connect({
        name: `at unix:${address}`,
        connect: (signal) => connectUnix(address, signal),
      })
    : linkedKeeper(address, options, output));
  keeper.on('away', (error) => {
    const [what = '', ...why] = reasonsOf(error);
    const reason = why.join('; ') || what;
    output.log({ event: 'keeper-away', error: reason }, `${what} (${reason})`);
  });
  keeper.on('back', () => output.log({ event: 'keeper-back' }, 'the keeper is back'));
  return keeper;
}

/** A process that has a keeper reads no keys: throws ConfigError if it is told to. */
export function refuseKeys({ keeper, key = [], ...options }: KeeperOptions): void {
  const given = [
    [[...key].length > 0, '--key'],
    [options.identity, '--identity'],
    [options.authorizedKeys, '--authorized-keys'],
    [options.proxyKey, '--proxy-key'],
    [options.proxyIdentity, '--proxy-identity'],
  ].find(([value]) => value);
  if (keeper === undefined || given === undefined) return;
  throw new ConfigError(
    `${given[1]} goes with keymux keeper, and not with --keeper: this process is to have no keys`,
  );
}

/** A keeper elsewhere. What that takes is of no use to a process whose keeper is on its own machine. */
async function linkedKeeper(address: string, options: LinkOptions, output: Output): Promise<RemoteKeeper> {
  const { prepareLink } = await import('./keeper/link-client.ts');
  const { knownHosts, call } = await prepareLink(address, options, output);
  const connect = () => RemoteKeeper.connect({ name: `at ${address}`, connect: call });
  return withFirstContact(connect, knownHosts, output);
}

function refuseLinkOptions({ keeperKey, keeperIdentity }: LinkOptions): void {
  const given = keeperKey ? '--keeper-key' : keeperIdentity ? '--keeper-identity' : undefined;
  if (given !== undefined)
    throw new ConfigError(`${given} is for a keeper elsewhere: give --keeper keymux://HOST:PORT too`);
}

/** Says which hosts lose their keys or get some, where the keeper is told so while it runs. */
export function watchHosts(keeper: RemoteKeeper, hosts: () => ReadonlySet<string>, output: Output): void {
  const keyless = (): Set<string> =>
    new Set([...hosts()].filter((name) => keptFor(keeper.kept, name) === undefined));
  let before = keyless();
  keeper.on('changed', () => {
    const now = keyless();
    for (const host of hosts()) {
      if (now.has(host) === before.has(host)) continue;
      const text = now.has(host)
        ? 'the keeper has no key for it any more'
        : 'the keeper has a key for it now';
      output.log({ event: now.has(host) ? 'key-gone' : 'key-there', host }, `${host}: ${text}`);
    }
    before = now;
  });
}

/** What a keeper has for an authority, what proves most first; undefined if there is nothing. */
export function keptFor(kept: readonly KeptKey[], authority: string): KeptKey | undefined {
  const all = kept.filter((key) => key.authority === authority);
  return PROOFS.map((proves) => all.find((key) => key.proves === proves)).find((key) => key !== undefined);
}

const PROOFS = ['key', 'identity', 'nobody'] as const;
