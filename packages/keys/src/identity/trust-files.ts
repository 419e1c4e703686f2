import { constants } from 'node:fs';
import type { KeyError } from '../errors.ts';
import { AuthorizedKeys } from './authorized-keys.ts';
import { hostName, KnownHosts, KnownHostsError, type PeerName } from './known-hosts.ts';
import { type OwnedFileRules, ownedFileError, readOwnedFile, withOwnedFile } from './owned-file.ts';
import { formatPublicKey } from './public-key.ts';

/** Where a list of trusted identities comes from. It is loaded for each decision, so that taking a line out has its effect at once. */
export interface TrustSource<T> {
  /** For messages: the path of a file. */
  readonly name: string;
  /** Rejects if the list cannot be had; nobody is trusted then. */
  load(): Promise<T>;
}

/** Who may come in, from a file. */
export class AuthorizedKeysFile implements TrustSource<AuthorizedKeys> {
  readonly name: string;

  constructor(path: string) {
    this.name = path;
  }

  /** Rejects with KeyError ERR_KEYMUX_TRUST_FILE, also if the file does not exist. */
  async load(): Promise<AuthorizedKeys> {
    return new AuthorizedKeys((await readOwnedFile(this.name, AUTHORIZED_KEYS)).toString('utf8'));
  }
}

/** Which host has which identity, from a file. A file that does not exist knows no host. */
export class KnownHostsFile implements TrustSource<KnownHosts> {
  readonly name: string;

  constructor(path: string) {
    this.name = path;
  }

  /** Rejects with KeyError ERR_KEYMUX_TRUST_FILE. */
  async load(): Promise<KnownHosts> {
    return this.#parse(await this.#read());
  }

  /**
   * Writes down the identity of a host that the file does not know yet: appends one line, and waits until it is on the disk. Rejects with KeyError if the
   * file has come to say anything about this host and identity since it was asked.
   */
  async add(peer: PeerName, identity: Uint8Array): Promise<void> {
    const line = `${hostName(peer)} ${formatPublicKey(identity)}\n`;
    const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT;
    await withOwnedFile(this.name, KNOWN_HOSTS, flags, async (file, size) => {
      const content = Buffer.alloc(size);
      await file.read(content, 0, size, 0);
      const verdict = this.#parse(content).check(peer, identity);
      if (verdict.kind === 'match') return;
      if (verdict.kind !== 'unknown') {
        throw ownedFileError(
          this.name,
          KNOWN_HOSTS,
          `says in line ${verdict.line} that this is not the host; not added`,
        );
      }
      // A last line without its end would swallow the new one.
      const gap = size > 0 && content[size - 1] !== LINE_FEED ? '\n' : '';
      await file.write(gap + line);
      await file.sync();
    });
  }

  async #read(): Promise<Buffer> {
    try {
      return await readOwnedFile(this.name, KNOWN_HOSTS);
    } catch (error) {
      const { code } = ((error as KeyError).cause ?? {}) as NodeJS.ErrnoException;
      if (code === 'ENOENT') return Buffer.alloc(0);
      throw error;
    }
  }

  #parse(content: Buffer): KnownHosts {
    try {
      return new KnownHosts(content.toString('utf8'));
    } catch (error) {
      if (!(error instanceof KnownHostsError)) throw error;
      throw ownedFileError(this.name, KNOWN_HOSTS, `cannot be used: ${error.message}`, error);
    }
  }
}

const LINE_FEED = 0x0a;
const COMMON = { code: 'ERR_KEYMUX_TRUST_FILE', most: 1024 * 1024, forbidden: 0o022 } as const;
const AUTHORIZED_KEYS: OwnedFileRules = { what: 'authorized_keys file', ...COMMON };
const KNOWN_HOSTS: OwnedFileRules = { what: 'known_hosts file', ...COMMON };
