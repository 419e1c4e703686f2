import { DhKey, type MlKem, X25519_LENGTH, X25519Key } from './crypto.ts';
import { keyFailure } from './errors.ts';
import type { Environment } from './handshake.ts';
import type { Holdings } from './holdings.ts';
import type { IdentityEntry } from './identity/identities.ts';
import type { Signer } from './identity/signer.ts';
import { type PeerClaim, PeerVerified } from './identity/trust.ts';
import { establishedRole, type Offer, type Role, type RunContext } from './keeper.ts';
import type { PreSharedKey } from './pre-shared-key.ts';
import type { Admission, ReplayCache } from './replay-cache.ts';

/** For which authorities somebody may use a keeper. */
export type Authorities = Pick<ReadonlySet<string>, 'has'>;

/** What all runs of a keeper share. */
export interface KeeperTools {
  readonly random: (length: number) => Uint8Array;
  /** For test vectors: what key pairs are made of as well. */
  readonly givenRandom: ((length: number) => Uint8Array) | undefined;
  readonly mlKem: () => Promise<MlKem>;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  readonly replays: ReplayCache;
  /** Of runs in progress. */
  readonly ownNonces: Set<string>;
  /** These stand in for keys and identities that are asked for and do not exist. */
  readonly nobodysKey: PreSharedKey;
  readonly nobody: Signer;
}

/** What a keeper gives one run, of what it had when the run began. */
export class RunEnvironment implements Environment {
  readonly context: RunContext;
  readonly #tools: KeeperTools;
  readonly #holdings: Holdings;
  readonly #allowed: Authorities;
  readonly #role: Role;
  #ownNonce: string | undefined;
  /** Made when somebody asks for the signal, which most runs never do: it costs as much as ten HMACs. */
  #interest: AbortController | undefined;
  #givenUp = false;

  constructor(context: RunContext, tools: KeeperTools, holdings: Holdings, allowed: Authorities) {
    this.context = context;
    this.#tools = tools;
    this.#holdings = holdings;
    this.#allowed = allowed;
    this.#role = establishedRole(context);
  }

  random(length: number): Uint8Array {
    return this.#tools.random(length);
  }

  x25519(): X25519Key {
    const { givenRandom } = this.#tools;
    return givenRandom ? X25519Key.of(givenRandom(X25519_LENGTH)) : X25519Key.generate();
  }

  dhKey(): Promise<DhKey> {
    return DhKey.generate({ client: this.context.peerAddress ?? '', random: this.#tools.givenRandom });
  }

  mlKem(): Promise<MlKem> {
    return this.#tools.mlKem();
  }

  now(): number {
    return this.#tools.clock();
  }

  preSharedKey(offer: Offer): { readonly key: PreSharedKey; readonly known: boolean } {
    const key = this.#allowed.has(offer.authority)
      ? this.#holdings.preSharedKey(offer, this.#role)
      : undefined;
    return { key: key ?? this.#tools.nobodysKey, known: key !== undefined };
  }

  identity(offer: Offer): { readonly signer: Signer; readonly known: boolean } {
    const entry = this.#identity(offer);
    return { signer: entry?.signer ?? this.#tools.nobody, known: entry !== undefined };
  }

  async verifyPeer(offer: Offer, claim: PeerClaim): Promise<PeerVerified> {
    const { role, initiator, peerName, peerAddress } = this.context;
    const { label, authority } = offer;
    const entry = this.#identity(offer);
    if (entry === undefined) throw keyFailure('unknown-label', `label ${label}`);
    const side = (role === 'initiator') === (initiator === 'client') ? 'client' : 'server';
    const ownIdentity = entry.signer.identity;
    const expected = { side, ownIdentity, authority, peerName, peerAddress, now: this.now() } as const;
    return PeerVerified.verify(claim, expected, entry.trust);
  }

  mayBeAnonymous({ authority }: Offer): boolean {
    return this.#allowed.has(authority) && this.#holdings.mayBeAnonymous(authority);
  }

  admit(label: string, nonce: Uint8Array, timestamp: number): Admission {
    return this.#tools.replays.admit(label, nonce, timestamp, this.now());
  }

  remembers(label: string, timestamp: number): boolean {
    return this.#tools.replays.remembers(label, timestamp);
  }

  claimNonce(nonce: Uint8Array): void {
    this.#ownNonce = nameOf(nonce);
    this.#tools.ownNonces.add(this.#ownNonce);
  }

  isOwnNonce(nonce: Uint8Array): boolean {
    return this.#tools.ownNonces.has(nameOf(nonce));
  }

  get signal(): AbortSignal {
    if (this.#interest === undefined) {
      this.#interest = new AbortController();
      if (this.#givenUp) this.#interest.abort();
    }
    return this.#interest.signal;
  }

  /** Nobody waits for the run any more. */
  giveUp(): void {
    this.#givenUp = true;
    this.#interest?.abort();
  }

  /** The run is over. */
  end(): void {
    if (this.#ownNonce !== undefined) this.#tools.ownNonces.delete(this.#ownNonce);
  }

  #identity(offer: Offer): IdentityEntry | undefined {
    return this.#allowed.has(offer.authority) ? this.#holdings.identity(offer, this.#role) : undefined;
  }
}

function nameOf(nonce: Uint8Array): string {
  return Buffer.from(nonce).toString('latin1');
}
