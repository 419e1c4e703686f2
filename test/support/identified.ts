import { writeFile } from 'node:fs/promises';
import type { Client } from '@keymux/client';
import {
  ALGORITHM,
  AuthorizedKeysFile,
  Identities,
  type KeyInfo,
  Keyring,
  KnownHostsFile,
  LocalKeeper,
  SIGNED_LABEL,
  type Signer,
} from '@keymux/keys';
import type { Meddler } from './middle.ts';
import type { Scope } from './scope.ts';
import { type SshIdentity, sshIdentity } from './ssh-identity.ts';
import { ALPHA, setVictims, type Victims } from './victims.ts';

export const PEER_NAME = { host: ALPHA, port: 6121 };

export interface IdentifiedOptions {
  readonly meddle?: Meddler;
  /** Lines of the client's known_hosts and of the origin's authorized_keys, by default one for the right identity. */
  readonly knownHosts?: (who: People) => string;
  readonly authorizedKeys?: (who: People) => string;
  /** Whom each side really is. */
  readonly clientSigner?: (who: People) => Signer;
  readonly originSigner?: (who: People) => Signer;
}

export interface People {
  readonly alice: SshIdentity;
  readonly host: SshIdentity;
  readonly mallory: SshIdentity;
}

export interface Identified {
  readonly who: People;
  readonly victims: Victims;
  /** Alice's keeper, or another's with the same known_hosts. */
  keeper(signer: Signer): LocalKeeper;
  negotiate(client?: Client): Promise<KeyInfo>;
}

/** Victims that know each other by SSH identities: Alice, and the host that she asks for. */
export async function identified(scope: Scope, options: IdentifiedOptions = {}): Promise<Identified> {
  const who = {
    alice: await sshIdentity(scope, 'alice'),
    host: await sshIdentity(scope, 'host'),
    mallory: await sshIdentity(scope, 'mallory'),
  };
  const file = await scope.directory();
  const knownHosts = options.knownHosts?.(who) ?? `[${ALPHA}]:6121 ${who.host.line}`;
  const authorizedKeys = options.authorizedKeys?.(who) ?? `${who.alice.line} alice`;
  await writeFile(file('known_hosts'), `${knownHosts}\n`, { mode: 0o600 });
  await writeFile(file('authorized_keys'), `${authorizedKeys}\n`, { mode: 0o600 });
  const keeper = (signer: Signer): LocalKeeper => {
    const identities = new Identities();
    const trust = {
      knownHosts: new KnownHostsFile(file('known_hosts')),
      authorizedKeys: new AuthorizedKeysFile(file('authorized_keys')),
    };
    identities.add(signer, { authorities: [ALPHA], trust });
    return new LocalKeeper({ keyring: new Keyring(), identities });
  };
  const victims = await setVictims(scope, {
    keeper: {
      client: keeper(options.clientSigner?.(who) ?? who.alice.signer),
      origin: keeper(options.originSigner?.(who) ?? who.host.signer),
    },
    client: { peerName: PEER_NAME },
    ...(options.meddle ? { meddle: options.meddle } : {}),
  });
  const negotiate = (client = victims.client): Promise<KeyInfo> =>
    client.negotiate({ algorithm: ALGORITHM.SIGNED, label: SIGNED_LABEL, authority: ALPHA });
  return { who, victims, keeper, negotiate };
}
