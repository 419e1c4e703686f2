import {
  ALGORITHM,
  type Identities,
  KEY_FILE_MAX,
  type KeeperHoldings,
  type KeyHolder,
  Keyring,
  LocalKeeper,
  PreSharedKey,
  type Role,
  readKeyFile,
} from '@keymux/keys';
import type { Output } from './output.ts';

/** Which authorities a key file is for; '' makes it a connection key. */
export type KeyUses = ReadonlyMap<string, readonly string[]>;

/** What may be negotiated; by default everything that proves the peer. */
export interface KeyPolicy {
  readonly algorithms?: readonly number[];
  /** Authorities for which keys may be made that prove nobody. */
  readonly anonymous?: readonly string[];
  /** Who this side can prove to be. */
  readonly identities?: Identities | undefined;
}

export interface LoadedKeys {
  readonly keeper: KeyHolder;
  /** Label of each key file. */
  readonly labels: ReadonlyMap<string, string>;
}

/** This side's parts in runs with a key for these authorities. */
type RolesFor = (authorities: readonly string[]) => readonly Role[];

/** Those of a server: it prompts for the keys of its hosts, and waits to be asked for its own. */
export const serverRoles: RolesFor = (authorities) =>
  authorities.every((authority) => authority === '') ? ['responder'] : ['initiator', 'responder'];

/** Reads key files into a keeper of this process. Rejects with KeyError if a file cannot be used. */
export async function loadKeys(
  uses: KeyUses,
  rolesFor: RolesFor,
  output: Output,
  policy: KeyPolicy = {},
): Promise<LoadedKeys> {
  const { holdings, labels } = await loadHoldings(uses, rolesFor, output, policy);
  return { keeper: new LocalKeeper(holdings), labels };
}

/** The same for a keeper that there is, to replace what it has. */
export async function loadHoldings(
  uses: KeyUses,
  rolesFor: RolesFor,
  output: Output,
  { algorithms, anonymous = [], identities }: KeyPolicy = {},
): Promise<Pick<LoadedKeys, 'labels'> & { readonly holdings: KeeperHoldings }> {
  const keyring = new Keyring();
  const labels = new Map<string, string>();
  const byLabel = new Map<string, { key: PreSharedKey; authorities: string[] }>();
  for (const [path, authorities] of uses) {
    const key = await readKey(path, output);
    labels.set(path, key.label);
    const known = byLabel.get(key.label);
    if (known) known.authorities.push(...authorities);
    else byLabel.set(key.label, { key, authorities: [...authorities] });
  }
  for (const { key, authorities } of byLabel.values()) {
    keyring.add(key, { authorities, roles: rolesFor(authorities) });
  }
  const proving = algorithms?.filter((id) => id !== ALGORITHM.ANONYMOUS);
  const allowed = proving === undefined ? {} : { algorithms: proving };
  return { holdings: { keyring, anonymous, identities, ...allowed }, labels };
}

/** Reads a key file. Rejects with KeyError if it cannot be used. */
export async function readKey(path: string, output: Output): Promise<PreSharedKey> {
  const { key, warnings } = await readKeyFile(path);
  for (const warning of warnings) output.warn(warning);
  return key;
}

/** Reads what would stand in a key file from standard input, to its end. Rejects with KeyError if it is no key. */
export async function readKeyFromInput(): Promise<PreSharedKey> {
  const content = Buffer.allocUnsafeSlow(KEY_FILE_MAX + 1);
  let length = 0;
  try {
    for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
      length += chunk.copy(content, length);
      chunk.fill(0);
      if (length > KEY_FILE_MAX) break; // refused below
    }
    return new PreSharedKey(content.subarray(0, length));
  } finally {
    content.fill(0);
  }
}

/** Adds an authority to what a key file is used for. */
export function addUse(uses: Map<string, string[]>, path: string, authority: string): void {
  const known = uses.get(path);
  if (known) known.push(authority);
  else uses.set(path, [authority]);
}
