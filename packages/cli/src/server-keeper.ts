import { resolve } from 'node:path';
import { connectUnix, RemoteKeeper } from '@keymux/keeper';
import type { KeptKey } from '@keymux/keys';
import { z } from 'zod';
import { ConfigError } from './errors.ts';
import type { Output } from './output.ts';

/** What --keeper takes. */
export const keeperAddress = z
  .string()
  .transform((text, context) => {
    const [, path] = /^unix:(.+)$/.exec(text) ?? [];
    if (path !== undefined) return resolve(path);
    context.addIssue({ code: 'custom', message: 'write unix:PATH, where keymux keeper listens' });
    return z.NEVER;
  })
  .optional();

/** Options that are the keeper's, where there is one. */
export interface KeeperOptions {
  readonly keeper?: string | undefined;
  readonly key?: readonly string[] | ReadonlyMap<string, string>;
  readonly identity?: string | undefined;
  readonly authorizedKeys?: string | undefined;
}

/**
 * The keeper that --keeper names; undefined if there is no such option. A process that has a keeper reads no keys. Rejects with ConfigError if it is told
 * to, and with KeyError if the keeper cannot be reached. Whoever asks closes it.
 */
export async function remoteKeeper(config: KeeperOptions, output: Output): Promise<RemoteKeeper | undefined> {
  refuseKeys(config);
  const { keeper: path } = config;
  if (path === undefined) return undefined;
  const keeper = await RemoteKeeper.connect({
    name: `at unix:${path}`,
    connect: (signal) => connectUnix(path, signal),
  });
  keeper.on('away', (error) => {
    const { message } = (error.cause ?? error) as Error;
    output.log({ event: 'keeper-away', error: message }, `${error.message} (${message})`);
  });
  keeper.on('back', () => output.log({ event: 'keeper-back' }, 'the keeper is back'));
  return keeper;
}

/** A process that has a keeper reads no keys: throws ConfigError if it is told to. */
export function refuseKeys({ keeper, key = [], identity, authorizedKeys }: KeeperOptions): void {
  const keys = [...key].length > 0 ? '--key' : undefined;
  const given = keys ?? (identity ? '--identity' : authorizedKeys ? '--authorized-keys' : undefined);
  if (keeper === undefined || given === undefined) return;
  throw new ConfigError(
    `${given} goes with keymux keeper, and not with --keeper: this process is to have no keys`,
  );
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
