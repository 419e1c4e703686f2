import { isAuthority, type KeeperHoldings } from '@keymux/keys';
import { z } from 'zod';
import { flag, list } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { serverIdentities } from '../identities.ts';
import { addUse, loadHoldings, serverRoles } from '../keys.ts';
import type { Output } from '../output.ts';

/** The options that say what a keeper keeps. */
export const KEPT_OPTIONS = {
  key: list,
  identity: z.string().optional(),
  authorizedKeys: z.string().optional(),
  host: list.transform((names) => names.map((name) => name.toLowerCase())),
  anonymous: flag,
};

export type KeptOptions = z.output<z.ZodObject<typeof KEPT_OPTIONS>>;

/** The only place where a server's key files are read, or its ssh-agent is asked, if it has a keeper. Rejects with ConfigError or KeyError. */
export async function loadKept(
  { key, host, anonymous, ...identity }: KeptOptions,
  output: Output,
): Promise<KeeperHoldings> {
  const uses = new Map<string, string[]>();
  for (const entry of key) addUse(uses, ...useOf(entry));
  // One identity is for hosts, or for the peer itself: each has a trust list of its own (spec 9.1).
  const authorities = host.length > 0 ? host : [''];
  const identities = await serverIdentities(identity, authorities, output);
  if (uses.size === 0 && identities === undefined && !anonymous)
    throw new ConfigError(
      'nothing to keep: give --key NAME=FILE for a host, --key FILE for a proxy, or --identity',
    );
  const policy = { anonymous: anonymous ? authorities : [], identities };
  return (await loadHoldings(uses, serverRoles, output, policy)).holdings;
}

/** `NAME=FILE` for a host, `FILE` for the peer itself. */
function useOf(text: string): [path: string, authority: string] {
  const [, name, path] = /^([^=/]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || path === undefined) return [text, ''];
  if (!isAuthority(name.toLowerCase())) throw new ConfigError(`--key ${text}: "${name}" is no host name`);
  return [path, name.toLowerCase()];
}
