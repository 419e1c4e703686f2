import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import {
  AuthorizedKeysFile,
  describeIdentity,
  fingerprint,
  Identities,
  readIdentityFile,
  readPublicIdentity,
  type Signer,
  SshAgent,
  type Trust,
} from '@keymux/keys';
import { ConfigError } from './errors.ts';
import type { Output } from './output.ts';
import { askPassphrase } from './passphrase.ts';

/** The value of --identity that stands for a running ssh-agent; `agent:SHA256:...` names one of its keys. */
const AGENT = 'agent';

/** Who to be, from a file or an agent. Rejects with KeyError, or ConfigError if the agent's key is not clear. */
export async function loadSigner(source: string): Promise<Signer> {
  if (source !== AGENT && !source.startsWith(`${AGENT}:`)) return readIdentityFile(source, askPassphrase);
  const signers = await SshAgent.fromEnvironment().signers();
  const wanted = source === AGENT ? undefined : source.slice(AGENT.length + 1);
  const fitting = signers.filter(({ identity }) => wanted === undefined || fingerprint(identity) === wanted);
  const [signer, ...more] = fitting;
  if (signer !== undefined && more.length === 0) return signer;
  const held = signers.map(({ identity, comment }) => `  ${describeIdentity(identity, comment)}`);
  throw new ConfigError(
    signer === undefined
      ? `the ssh-agent holds no ${wanted === undefined ? 'Ed25519 key' : `key ${wanted}`}; add it with ssh-add`
      : `the ssh-agent holds several keys; name one, --identity ${AGENT}:FINGERPRINT:\n${held.join('\n')}`,
  );
}

/** Who that would be, without asking for a passphrase. Rejects as `loadSigner` does. */
export async function showIdentity(source: string): Promise<{ identity: Uint8Array; comment: string }> {
  if (source === AGENT || source.startsWith(`${AGENT}:`)) return loadSigner(source);
  return { identity: await readPublicIdentity(source), comment: '' };
}

/** Whom clients trust by default: a known_hosts file of our own (spec 9.5 says why not that of ssh). */
export function knownHostsPath(): string {
  return configPath('known_hosts');
}

/** A file of this user's own, in the directory for configuration. */
export function configPath(name: string): string {
  const { XDG_CONFIG_HOME = '' } = process.env;
  // A relative path is no answer, says its specification: else whoever made the current folder would choose the hosts that are trusted.
  const folder = isAbsolute(XDG_CONFIG_HOME) ? XDG_CONFIG_HOME : join(homedir(), '.config');
  return join(folder, 'keymux', name);
}

/** Who a server lets in. Reads the file once at the start, to say what in it is of no use. */
export async function authorizedKeysTrust(path: string, output: Output): Promise<Trust> {
  const authorizedKeys = new AuthorizedKeysFile(path);
  const list = await authorizedKeys.load();
  for (const { line, reason } of list.unusable) {
    output.warn(`${path}:${line} lets nobody in: the line ${reason}`);
  }
  if (list.size === 0) output.warn(`${path} lets nobody in`);
  return { authorizedKeys };
}

export interface ServerIdentity {
  readonly identity?: string | undefined;
  readonly authorizedKeys?: string | undefined;
}

/**
 * The identity of a server for these authorities, all of the relay itself or all of hosts; undefined if there is none. Throws ConfigError if only one of both
 * options is there.
 */
export async function serverIdentities(
  { identity, authorizedKeys }: ServerIdentity,
  authorities: readonly string[],
  output: Output,
): Promise<Identities | undefined> {
  if (identity === undefined && authorizedKeys === undefined) return undefined;
  if (identity === undefined)
    throw new ConfigError('--authorized-keys needs --identity FILE: who this server is');
  if (authorizedKeys === undefined)
    throw new ConfigError('--identity needs --authorized-keys FILE: who may come in');
  const signer = await loadSigner(identity);
  const trust = await authorizedKeysTrust(authorizedKeys, output);
  const identities = new Identities();
  identities.add(signer, { authorities, trust });
  const text = describeIdentity(signer.identity, signer.comment);
  output.log({ event: 'identity', identity: text }, `identity: ${text}`);
  return identities;
}
