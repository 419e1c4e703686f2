import type { PeerName } from './identity/known-hosts.ts';
import type { Restrictions } from './identity/restrictions.ts';
import type { Secret } from './secret.ts';

export type Role = 'initiator' | 'responder';

/** How strongly a key proves who is at its other end (spec 3.9), weakest first. */
export type Level = 'none' | 'passive' | 'authenticated';

/** What both sides know of a run before its first message; the transcript begins with it (spec 3.5). */
export interface RunContext {
  /** This side's part in the run. */
  readonly role: Role;
  /** The side that sends the first message. */
  readonly initiator: 'client' | 'server';
  /** Nesting depth that the client announced, 0 to 255. */
  readonly depth: number;
  readonly keyId: number;
  /** 0 for a new key, above that for the renegotiation of one (spec 3.14). */
  readonly generation: number;
  readonly algorithm: number;
  /** The name by which the user asked for the peer, on the client's side. Not in the transcript: it decides whom to trust (trust chapter). */
  readonly peerName?: PeerName | undefined;
  /** The address that the peer connects from, on the server's side, if it has one. */
  readonly peerAddress?: string | undefined;
}

/** Milliseconds that a renegotiation may take (spec 3.14): its messages queue behind the traffic of the session, and nothing waits for it. */
export const RENEGOTIATION_TIMEOUT = 60_000;

/** Whether the run makes a new generation of a key that exists (spec 3.14). */
export function isRenegotiation({ generation }: RunContext): boolean {
  return generation > 0;
}

/**
 * This side's part in the run that made the key. Who may use a long-term key is decided for this part, whichever side asks for a new
 * generation (spec 3.14).
 */
export function establishedRole({ role, initiator, keyId }: RunContext): Role {
  const initiatorOwnsKey = (keyId % 2 === 1) === (initiator === 'client');
  return (role === 'initiator') === initiatorOwnsKey ? 'initiator' : 'responder';
}

/** What the initiator asks for (spec 3.4). */
export interface Offer {
  /** Bit set of the ALG_IDs that it would accept for this key. */
  readonly offer: number;
  /** Names the long-term key. */
  readonly label: string;
  /** Host that the key is to speak for; empty for the peer that ends the session itself. */
  readonly authority: string;
}

/** An SSH identity, and what it is called on this side (spec chapter 9). */
export interface ProvenIdentity {
  /** As ssh writes it: `SHA256:...`. */
  readonly fingerprint: string;
  /** The name by which a host was trusted, or the comment of the line that lets a client in. */
  readonly name: string;
}

/** What a run yields for one generation. Whoever receives it wipes `secret`. */
export interface RunSecret {
  /** S of spec 3.5, 32 bytes. */
  readonly secret: Secret;
  readonly generation: number;
  /** Who seals under it; `initiator` for early data (spec 3.7). */
  readonly directions: 'both' | 'initiator';
  /** What is sealed under it may be a replay. */
  readonly early: boolean;
  /** Early data only: it may have been accepted by this side before, which knows only what came since it was started (spec 3.7). */
  readonly mayRepeat?: true;
  /** Whether the run has proven the peer. If not, the first envelope that opens does (spec 3.8). */
  readonly confirmed: boolean;
  /** The level once the peer is proven. */
  readonly level: Level;
  readonly forwardSecrecy: boolean;
  readonly algorithm: number;
  readonly label: string;
  readonly authority: string;
  /** Who is proven, for people: `psk:<label>`, or `anonymous` for nobody. */
  readonly peer: string;
  /** The SSH identity that is proven, if the algorithm proves one. */
  readonly identity?: ProvenIdentity;
  /** What the peer may not do, although it is proven. */
  readonly restrictions?: Restrictions;
}

/** What a keeper has a key for, and so what sessions may ask it for. Labels and authorities travel in the clear anyway. */
export interface KeptKey {
  readonly label: string;
  /** Empty for the peer that ends the session itself. */
  readonly authority: string;
  readonly roles: readonly Role[];
  /** What a run with it proves on both sides: that they hold the same key, who they are, or nothing. */
  readonly proves: 'key' | 'identity' | 'nobody';
}

/** What one call to the keeper brought. */
export interface Step {
  /** The keeper's name for the run. */
  readonly run: number;
  /** This side's next message; the caller frames it under the run's key ID and ALG_ID. */
  readonly send?: { readonly data: Uint8Array; readonly fin: boolean; readonly reject?: boolean };
  readonly secrets: readonly RunSecret[];
  /** The run needs no more of the peer's messages; the keeper has forgotten it. */
  readonly done: boolean;
}

/**
 * The port to whoever owns the long-term keys. It may lie in another process: nothing crosses it but these structures, and the
 * keeper believes none of them. It parses every frame itself, builds the transcript itself, and gives out run secrets only; the
 * session digests, which enter the sealing keys, are not told to it (rule R9).
 *
 * A promise rejects with KeyError: scope `session` if the peer's message was at fault, `usage` if the request was.
 */
export interface Keeper {
  /** ALG_IDs that it allows, ascending. */
  readonly algorithms: readonly number[];
  /** Begins a run as its initiator. */
  start(context: RunContext, offer: Offer): Promise<Step>;
  /** Answers the first message of a run. `first` is the whole KEY_NEGO frame. */
  accept(context: RunContext, first: Uint8Array): Promise<Step>;
  /** Goes on with the peer's next message, a whole KEY_NEGO frame. */
  receive(run: number, frame: Uint8Array): Promise<Step>;
  /** Forgets a run. Unknown runs are ignored. */
  abandon(run: number): void;
}

/** A keeper that tells what it keeps. */
export interface KeyHolder extends Keeper {
  readonly kept: readonly KeptKey[];
}
