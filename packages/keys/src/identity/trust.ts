import { isEd25519Public } from '../crypto.ts';
import { KeyError, keyFailure } from '../errors.ts';
import type { AuthorizedKeys } from './authorized-keys.ts';
import { type HostVerdict, hostName, type KnownHosts, type PeerName } from './known-hosts.ts';
import { describeIdentity, fingerprint, sameIdentity } from './public-key.ts';
import type { Restrictions } from './restrictions.ts';
import type { SignedData } from './sshsig.ts';
import type { TrustSource } from './trust-files.ts';

/**
 * From the name that a user typed to the identity that is trusted: the procedure of the trust chapter (spec/trust.md), all of it, and nothing else. Every
 * doubt, and every error on the way, refuses.
 */

/** Whom one use of an identity trusts. What is absent trusts nobody. */
export interface Trust {
  /** On the server's side of a session: who may come in. */
  readonly authorizedKeys?: TrustSource<Pick<AuthorizedKeys, 'admit'>>;
  /** On the client's side: which identity the host of a name has. */
  readonly knownHosts?: TrustSource<KnownHosts>;
  /** On the client's side: the hosts that the user asked for in this session, where there are several (spec 9.3). */
  readonly names?: readonly PeerName[];
}

/** What a peer says of itself in a run, and the proof that it gives. */
export interface PeerClaim {
  readonly identity: Uint8Array;
  readonly signature: Uint8Array;
  /** What the signature must have been made over, by this side's own account of the run. */
  readonly signed: SignedData;
}

/** What this side knows of the run and of whom it expects. */
export interface PeerExpectation {
  /** This side's part in the session, which says which list counts: clients know hosts, servers authorize keys. */
  readonly side: 'client' | 'server';
  /** The identity that this side itself proves. */
  readonly ownIdentity: Uint8Array;
  /** Whom the key is to speak for; empty for the peer that ends the session itself. */
  readonly authority: string;
  /** The name that the user typed; a client needs it. */
  readonly peerName?: PeerName | undefined;
  /** Where the peer's connection comes from, if that is an address. */
  readonly peerAddress?: string | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** The host is not known. Somebody may look at its identity, and have it written down; then a new run finds it known. */
export class UnknownHostError extends KeyError {
  readonly host: PeerName;
  readonly identity: Uint8Array;

  constructor(host: PeerName, identity: Uint8Array, file: string) {
    super(
      'ERR_KEYMUX_HOST_KEY',
      `${hostName(host)} is not in ${file}; it says that it is ${describeIdentity(identity)}`,
      { scope: 'session' },
    );
    this.host = host;
    this.identity = identity;
  }
}

/**
 * The proof that the peer of a run is who it must be. Establishing an authenticated key takes one, and `PeerVerified.verify` is the only place where they
 * are made.
 */
export class PeerVerified {
  readonly #identity: Uint8Array;
  /** What the identity is called here: the comment of its line, or the host's name. */
  readonly principal: string;
  /** What it may not do; absent if there is nothing. */
  readonly restrictions: Restrictions | undefined;

  private constructor(token: symbol, identity: Uint8Array, principal: string, restrictions?: Restrictions) {
    if (token !== VERIFIER) throw new TypeError('only the verifier makes proofs');
    this.#identity = identity;
    this.principal = principal;
    this.restrictions = restrictions;
  }

  get identity(): Uint8Array {
    return this.#identity;
  }

  /** Whether `value` was made here. */
  static is(value: object): value is PeerVerified {
    return #identity in value;
  }

  /** Throws KeyError (session) unless everything is right. */
  static async verify(claim: PeerClaim, expected: PeerExpectation, trust: Trust): Promise<PeerVerified> {
    const { identity } = claim;
    checkProof(claim, expected.ownIdentity);
    if (expected.side === 'client') {
      const principal = await checkHost(identity, expected, trust);
      return new PeerVerified(VERIFIER, identity, principal);
    }
    const { comment, restrictions } = await admit(identity, expected, trust);
    return new PeerVerified(VERIFIER, identity, comment, restrictions);
  }
}

const VERIFIER = Symbol('verifier');

/** Step 1: the peer holds the identity's private key, and made the signature for this run. */
function checkProof({ identity, signature, signed }: PeerClaim, ownIdentity: Uint8Array): void {
  if (!isEd25519Public(identity)) throw keyFailure('signature', 'its public key is not a valid one');
  if (!signed.isSignedBy(identity, signature)) throw keyFailure('signature');
  if (sameIdentity(identity, ownIdentity))
    throw keyFailure('own-message', "the peer has this side's own identity");
}

/** Steps 2 to 4 on the client's side: typed name, file, identity. Returns the name. */
async function checkHost(identity: Uint8Array, expected: PeerExpectation, trust: Trust): Promise<string> {
  const { authority } = expected;
  const { knownHosts, names = [] } = trust;
  const asked = [expected.peerName, ...names].filter((name) => name !== undefined);
  const peerName = asked.find((name) => mayBe(authority, name)) ?? expected.peerName;
  if (peerName === undefined) throw hostFailure('no name was given by which the host could be known');
  if (knownHosts === undefined) throw hostFailure('no known_hosts file was given');
  const name = nameOf(peerName);
  if (!mayBe(authority, peerName)) {
    throw hostFailure(
      `the key is to speak for "${authority}", which is not the host that was asked for, ${name}`,
    );
  }
  const verdict = await consult(knownHosts, (list) => list.check(peerName, identity));
  if (verdict?.kind === 'match') return name;
  throw refusal(verdict, peerName, identity, knownHosts.name);
}

/** Steps 2 to 4 on the server's side: list, line, circumstances. */
async function admit(identity: Uint8Array, { peerAddress, now }: PeerExpectation, trust: Trust) {
  const { authorizedKeys } = trust;
  const who = describeIdentity(identity);
  if (authorizedKeys === undefined)
    throw keyFailure('untrusted', `${who}; no authorized_keys file was given`);
  const found = await consult(authorizedKeys, (list) => list.admit(identity, { peerAddress, now }));
  if (found?.admitted === true) return found;
  throw keyFailure('untrusted', `${who}; ${authorizedKeys.name}: ${found?.reason}`);
}

/** Whatever goes wrong while a list is read or asked is a refusal. */
async function consult<T, R>(source: TrustSource<T>, question: (list: T) => R): Promise<R> {
  try {
    return question(await source.load());
  } catch (error) {
    throw keyFailure('untrusted', `${source.name} could not be consulted`, error);
  }
}

function refusal(
  verdict: Exclude<HostVerdict, { kind: 'match' }>,
  peer: PeerName,
  identity: Uint8Array,
  file: string,
): KeyError {
  switch (verdict?.kind) {
    case 'unknown':
      return new UnknownHostError(peer, identity, file);
    case 'revoked':
      return hostFailure(
        `${hostName(peer)} has the key ${fingerprint(identity)}, which ${file}:${verdict.line} revokes`,
      );
    case 'mismatch':
      return hostFailure(
        `${hostName(peer)} has another key (${fingerprint(identity)}) than ${file}:${verdict.line} says. Somebody may be posing as ` +
          'the host. If its owner says that the key has changed, remove that line',
      );
    default: // an answer that no list of ours gives
      return hostFailure(`${file} gave no answer for ${hostName(peer)}`);
  }
}

function nameOf(peer: PeerName): string {
  try {
    return hostName(peer);
  } catch (error) {
    throw hostFailure('the name that was given is no host and port', error);
  }
}

/** Whether a key with this authority can be that of the host of a name (spec 9.3, step 2). */
function mayBe(authority: string, peerName: PeerName): boolean {
  return authority === '' || authority === peerName.host.toLowerCase() || authority === placeOf(peerName);
}

/** An authority with a port in it. */
function placeOf({ host, port }: PeerName): string {
  return `${host.toLowerCase()}:${port}`;
}

function hostFailure(message: string, cause?: unknown): KeyError {
  return new KeyError('ERR_KEYMUX_HOST_KEY', message, { scope: 'session', cause });
}
