import { Identities, isAuthority, type KeeperHoldings, KnownHostsFile } from '@keymux/keys';
import { z } from 'zod';
import { flag, list } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { authorizedKeysTrust, loadSigner, serverIdentities } from '../identities.ts';
import { addUse, loadHoldings, readKey, serverRoles } from '../keys.ts';
import type { Output } from '../output.ts';

/** The options that say what a keeper keeps. */
export const KEPT_OPTIONS = {
  key: list,
  identity: z.string().optional(),
  authorizedKeys: z.string().optional(),
  proxyKey: list,
  pipeKey: list,
  proxyIdentity: z.string().optional(),
  knownHosts: z.string().optional(),
  host: list.transform((names) => names.map((name) => name.toLowerCase())),
  anonymous: flag,
};

export type KeptOptions = z.output<z.ZodObject<typeof KEPT_OPTIONS>>;

/** The only place where a server's key files are read, or its ssh-agent is asked, if it has a keeper. Rejects with ConfigError or KeyError. */
export async function loadKept(options: KeptOptions, output: Output): Promise<KeeperHoldings> {
  const { key, host, anonymous, proxyKey, pipeKey } = options;
  const uses = new Map<string, string[]>();
  for (const entry of key) addUse(uses, ...useOf(entry));
  // One identity is for hosts, or for the peer itself: each has a trust list of its own (spec 9.1).
  const authorities = host.length > 0 ? host : [''];
  const identities = await loadIdentities(options, authorities, output);
  if (uses.size + proxyKey.length + pipeKey.length === 0 && identities === undefined && !anonymous)
    throw new ConfigError(
      'nothing to keep: give --key NAME=FILE for a host, --key FILE for a proxy, or --identity; for clients --proxy-key or --proxy-identity; for pipes --pipe-key',
    );
  const policy = { anonymous: anonymous ? authorities : [], identities };
  const { holdings } = await loadHoldings(uses, serverRoles, output, policy);
  for (const path of proxyKey)
    holdings.keyring.add(await readKey(path, output), { authorities: [''], roles: ['initiator'] });
  return holdings;
}

/** Who the hosts or the proxy are, and who somebody is towards hosts and proxies; undefined if nobody is anybody. */
async function loadIdentities(
  { identity, authorizedKeys, proxyIdentity, knownHosts }: KeptOptions,
  authorities: readonly string[],
  output: Output,
): Promise<Identities | undefined> {
  const trusted = knownHosts === undefined ? {} : { knownHosts: new KnownHostsFile(knownHosts) };
  if (proxyIdentity === undefined && knownHosts === undefined)
    return serverIdentities({ identity, authorizedKeys }, authorities, output);
  if (knownHosts === undefined)
    throw new ConfigError('--proxy-identity needs --known-hosts FILE: which identities proxies have');
  if (identity === undefined && proxyIdentity === undefined)
    throw new ConfigError(
      '--known-hosts needs --identity FILE or --proxy-identity FILE: who is to be proven to hosts',
    );
  const identities = new Identities();
  if (proxyIdentity !== undefined)
    identities.add(await loadSigner(proxyIdentity), {
      authorities: [''],
      roles: ['initiator'],
      trust: trusted,
    });
  if (identity !== undefined) {
    const admitted = authorizedKeys === undefined ? {} : await authorizedKeysTrust(authorizedKeys, output);
    identities.add(await loadSigner(identity), { authorities, trust: { ...trusted, ...admitted } });
  } else if (authorizedKeys !== undefined)
    throw new ConfigError('--authorized-keys needs --identity FILE: who this server is');
  return identities;
}

/** `NAME=FILE` for a host, `FILE` for the peer itself. */
function useOf(text: string): [path: string, authority: string] {
  const [, name, path] = /^([^=/]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || path === undefined) return [text, ''];
  if (!isAuthority(name.toLowerCase())) throw new ConfigError(`--key ${text}: "${name}" is no host name`);
  return [path, name.toLowerCase()];
}
