import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  ALGORITHM,
  ANONYMOUS_LABEL,
  AuthorizedKeysFile,
  Identities,
  type Keeper,
  Keyring,
  KnownHostsFile,
  LocalKeeper,
  PreSharedKey,
  readIdentityFile,
  SIGNED_LABEL,
} from '@keymux/keys';

/** A server that the client has a key with. */
type Peer = 'proxy' | 'origin';

export interface KeySource {
  readonly algorithm: number;
  /** Where the files of `signed` are. */
  readonly directory: string;
}

/** The name by which the client's known_hosts has the servers. */
export const PEER_NAME = { host: 'server.test', port: 6121 };

/** The keeper of a side, for the key that the client shares with `peer`, and that key's label. */
export async function keeperFor(
  peer: Peer,
  side: Peer | 'client',
  { algorithm, directory }: KeySource,
): Promise<{ keeper: Keeper; label: string }> {
  const keyring = new Keyring();
  switch (algorithm) {
    case ALGORITHM.ANONYMOUS:
      return { keeper: new LocalKeeper({ keyring, anonymous: [''] }), label: ANONYMOUS_LABEL };
    case ALGORITHM.SIGNED: {
      const identities = await identityOf(side === 'client' ? 'client' : 'server', directory);
      return { keeper: new LocalKeeper({ keyring, identities }), label: SIGNED_LABEL };
    }
    default: {
      const key = new PreSharedKey(Buffer.alloc(32, `shared with the ${peer}`));
      keyring.add(key, { authorities: [''] });
      // Nobody can have been here before: no early data is taken for a replay of what an earlier process was sent.
      return { keeper: new LocalKeeper({ keyring, replaysKnownSince: 0 }), label: key.label };
    }
  }
}

async function identityOf(side: 'client' | 'server', directory: string): Promise<Identities> {
  const trust = {
    knownHosts: new KnownHostsFile(join(directory, 'known_hosts')),
    authorizedKeys: new AuthorizedKeysFile(join(directory, 'authorized_keys')),
  };
  const identities = new Identities();
  identities.add(await readIdentityFile(join(directory, side)), { authorities: [''], trust });
  return identities;
}

/** Writes SSH identities of client and servers, who trust each other, into a directory. */
export function makeIdentities(directory: string): void {
  const at = (name: string): string => join(directory, name);
  for (const side of ['client', 'server'])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at(side)]);
  const publicKey = (side: string): string => readFileSync(at(`${side}.pub`), 'latin1');
  const host = `[${PEER_NAME.host}]:${PEER_NAME.port}`;
  writeFileSync(at('known_hosts'), `${host} ${publicKey('server')}`, { mode: 0o600 });
  writeFileSync(at('authorized_keys'), publicKey('client'), { mode: 0o600 });
}
