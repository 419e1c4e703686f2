import { ALGORITHM, type Identities, Keyring, LocalKeeper, readKeyFile } from '@keymux/keys';
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
  readonly keeper: LocalKeeper;
  /** Label of each key file. */
  readonly labels: ReadonlyMap<string, string>;
}

/** Reads key files into a keeper of this process. Throws KeyError if a file cannot be used. */
export async function loadKeys(
  uses: KeyUses,
  roles: readonly ('initiator' | 'responder')[],
  output: Output,
  { algorithms, anonymous = [], identities }: KeyPolicy = {},
): Promise<LoadedKeys> {
  const keyring = new Keyring();
  const labels = new Map<string, string>();
  const byLabel = new Map<
    string,
    { key: Awaited<ReturnType<typeof readKeyFile>>['key']; authorities: string[] }
  >();
  for (const [path, authorities] of uses) {
    const { key, warnings } = await readKeyFile(path);
    for (const warning of warnings) output.warn(warning);
    labels.set(path, key.label);
    const known = byLabel.get(key.label);
    if (known) known.authorities.push(...authorities);
    else byLabel.set(key.label, { key, authorities: [...authorities] });
  }
  for (const { key, authorities } of byLabel.values()) keyring.add(key, { authorities, roles });
  const proving = algorithms?.filter((id) => id !== ALGORITHM.ANONYMOUS);
  const allowed = proving === undefined ? {} : { algorithms: proving };
  return { keeper: new LocalKeeper({ keyring, anonymous, identities, ...allowed }), labels };
}

/** Adds an authority to what a key file is used for. */
export function addUse(uses: Map<string, string[]>, path: string, authority: string): void {
  const known = uses.get(path);
  if (known) known.push(authority);
  else uses.set(path, [authority]);
}
