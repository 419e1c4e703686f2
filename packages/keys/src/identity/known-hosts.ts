import { equalBytes, hmacSha1 } from '../crypto.ts';
import { matchesPattern } from './pattern.ts';
import { OtherKeyType, parsePublicKey, sameIdentity } from './public-key.ts';
import { decodeBase64, SshFormatError } from './ssh-wire.ts';

/** A host as a user names it. */
export interface PeerName {
  /** A name or an address without brackets. */
  readonly host: string;
  readonly port: number;
}

/** What known_hosts says of a host and an identity. Only `match` is trust; everything else, and every exception, refuses. */
export type HostVerdict =
  | { readonly kind: 'match'; readonly line: number }
  /** No line names the host with a key that could be compared. */
  | { readonly kind: 'unknown' }
  /** The host is named with another key. */
  | { readonly kind: 'mismatch'; readonly line: number }
  | { readonly kind: 'revoked'; readonly line: number };

/** A line that cannot be understood. What it was meant to say cannot be known, so nothing in the file is trusted until it is mended. */
export class KnownHostsError extends Error {
  override readonly name = 'KnownHostsError';

  constructor(line: number, problem: string) {
    super(`line ${line} ${problem}; mend or remove it`);
  }
}

/** Whether a line speaks of a name, keeps it out by a negated pattern, or neither. */
type Naming = 'named' | 'excluded' | 'none';

/** What one line says of a host. */
export interface HostEntry {
  readonly line: number;
  /** The host must not have this identity. */
  readonly revoked: boolean;
  readonly identity: Uint8Array;
}

interface HostLine extends HostEntry {
  readonly names: (name: string) => Naming;
}

/** Hosts and the identities they have proved before: a known_hosts file as in sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. */
export class KnownHosts {
  readonly #lines: readonly HostLine[];

  /** Throws KnownHostsError. */
  constructor(text: string) {
    this.#lines = text.split('\n').flatMap((content, index) => parseLine(content.trim(), index + 1) ?? []);
  }

  /**
   * Looks the host up under the name that it has with its port and, as ssh does, under the bare name if no line has that one; but another key under
   * the bare name says nothing, since it is that of the SSH server.
   */
  check(peer: PeerName, identity: Uint8Array): HostVerdict {
    const { named, fallback } = this.#naming(peer);
    const hasKey = (entry: HostLine): boolean => sameIdentity(entry.identity, identity);
    const revoked = [...named, ...fallback].find((entry) => entry.revoked && hasKey(entry));
    if (revoked !== undefined) return { kind: 'revoked', line: revoked.line };
    const pinned = named.filter((entry) => !entry.revoked);
    const right = (pinned.length > 0 ? pinned : fallback).find((entry) => !entry.revoked && hasKey(entry));
    if (right !== undefined) return { kind: 'match', line: right.line };
    return pinned[0] === undefined ? { kind: 'unknown' } : { kind: 'mismatch', line: pinned[0].line };
  }

  /** The lines that decide which identity a host may have, for showing: those that `check` could answer `match` or `revoked` with. */
  about(peer: PeerName): readonly HostEntry[] {
    const { named, fallback } = this.#naming(peer);
    const pinned = named.some((entry) => !entry.revoked);
    const deciding = [...named, ...fallback.filter((entry) => entry.revoked || !pinned)];
    return deciding
      .sort((a, b) => a.line - b.line)
      .map(({ line, revoked, identity }) => ({ line, revoked, identity: Uint8Array.from(identity) }));
  }

  /**
   * The lines with the host's full name, and those of the others that have its bare one. What is kept out under its bare name is not trusted with its
   * port either, though it would still be revoked.
   */
  #naming(peer: PeerName): { named: HostLine[]; fallback: HostLine[] } {
    const full = hostName(peer);
    const bare = peer.host.toLowerCase();
    return {
      named: this.#lines.filter(
        ({ revoked, names }) => names(full) === 'named' && (revoked || names(bare) !== 'excluded'),
      ),
      fallback: this.#lines.filter(({ names }) => names(full) === 'none' && names(bare) === 'named'),
    };
  }
}

/** The name of a host in known_hosts: `[host]:port`, or the host alone for SSH's port 22. Throws SshFormatError if it cannot be one. */
export function hostName({ host, port }: PeerName): string {
  const name = host.toLowerCase();
  if (!/^[a-z0-9._:%-]{1,255}$/.test(name) || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new SshFormatError('is not a host and a port');
  }
  return port === 22 ? name : `[${name}]:${port}`;
}

/** `[@marker] names type base64 [comment]`; undefined for lines that say nothing of Ed25519 keys. */
function parseLine(text: string, line: number): HostLine | undefined {
  if (text === '' || text.startsWith('#')) return undefined;
  const fields = text.split(/[ \t]+/);
  const marker = text.startsWith('@') ? fields.shift() : undefined;
  if (marker === '@cert-authority') return undefined; // certificates are not taken, so it vouches for nobody
  if (marker !== undefined && marker !== '@revoked') throw new KnownHostsError(line, 'has an unknown marker');
  const [hosts = '', type = '', base64 = ''] = fields;
  try {
    const identity = parsePublicKey(type, base64);
    return { line, revoked: marker === '@revoked', names: parseNames(hosts), identity };
  } catch (error) {
    if (error instanceof OtherKeyType) return undefined;
    if (error instanceof SshFormatError) throw new KnownHostsError(line, error.message);
    throw error;
  }
}

function parseNames(hosts: string): HostLine['names'] {
  if (hosts.startsWith('|')) return parseHashed(hosts);
  const patterns = hosts
    .toLowerCase()
    .split(',')
    .map((entry) => ({ negated: entry.startsWith('!'), pattern: entry.replace(/^!/, '') }));
  if (patterns.some(({ pattern }) => pattern === '')) throw new SshFormatError('has an empty host name');
  return (name) => {
    const matching = patterns.filter(({ pattern }) => matchesPattern(pattern, name));
    if (matching.some(({ negated }) => negated)) return 'excluded';
    return matching.length > 0 ? 'named' : 'none';
  };
}

/** `|1|salt|HMAC-SHA-1(salt, name)` */
function parseHashed(hosts: string): HostLine['names'] {
  const [, version, salt = '', hash = '', ...rest] = hosts.split('|');
  if (version !== '1' || rest.length > 0) throw new SshFormatError('hides its host name in an unknown way');
  const [key, expected] = [decodeBase64(salt), decodeBase64(hash)];
  if (key.length !== 20 || expected.length !== 20)
    throw new SshFormatError('has a hashed host name of the wrong length');
  return (name) => (equalBytes(hmacSha1(key, Buffer.from(name)), expected) ? 'named' : 'none');
}
