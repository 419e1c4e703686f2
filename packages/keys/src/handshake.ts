import type { DhKey, MlKem, X25519Key } from './crypto.ts';
import type { Signer } from './identity/signer.ts';
import type { PeerClaim, PeerVerified } from './identity/trust.ts';
import type { Offer, RunContext, RunSecret } from './keeper.ts';
import type { PreSharedKey } from './pre-shared-key.ts';
import type { Admission } from './replay-cache.ts';

/** What a keeper gives a run to work with. */
export interface Environment {
  readonly context: RunContext;
  /** Random bytes. */
  random(length: number): Uint8Array;
  /** A fresh key pair. */
  x25519(): X25519Key;
  /** A fresh key of group 14, and a thread to make it: the first in this process may take a while. */
  dhKey(): Promise<DhKey>;
  /** May take a while when it is called first in this process. */
  mlKem(): Promise<MlKem>;
  /** Milliseconds since 1970. */
  now(): number;
  /**
   * The key that the offer names. If there is none for this label, authority and role, a random one that nobody holds takes its
   * place, so that a responder does the same work and fails in the same way as with a wrong key (spec 3.3).
   */
  preSharedKey(offer: Offer): { readonly key: PreSharedKey; readonly known: boolean };
  /**
   * Who this side is to prove to be for the offer. If there is nobody for this label, authority and role, an identity that nobody knows takes the
   * place, for the same reason.
   */
  identity(offer: Offer): { readonly signer: Signer; readonly known: boolean };
  /** Whether the peer is who it must be. Rejects with KeyError (session) otherwise. */
  verifyPeer(offer: Offer, claim: PeerClaim): Promise<PeerVerified>;
  /** Aborted when nobody waits for the run any more. */
  readonly signal: AbortSignal;
  /** Whether a key that proves nothing may be made for the authority (spec 3.11). */
  mayBeAnonymous(offer: Offer): boolean;
  /** Judges a first message whose tag was right, and remembers it (spec 3.7). */
  admit(label: string, nonce: Uint8Array, timestamp: number): Admission;
  /** Whether `admit` knows of every first message with such a label and timestamp that was accepted before. */
  remembers(label: string, timestamp: number): boolean;
  /** Notes a nonce, or a public value, of this side for as long as its run goes on. */
  claimNonce(nonce: Uint8Array): void;
  /** Whether this keeper has a run of its own with this nonce: then the session is connected to itself. */
  isOwnNonce(nonce: Uint8Array): boolean;
}

/** A message of the peer, whose head and place in the run were checked. */
export interface Received {
  /** The whole frame, as the transcript covers it. */
  readonly frame: Uint8Array;
  readonly data: Uint8Array;
}

/** What starting a run, or receiving a message of it, leads to. */
export interface Turn {
  /** This side's next message, a whole frame. */
  readonly frame?: Uint8Array;
  readonly secrets: readonly RunSecret[];
  /** The message that the run waits for; absent if there is none. */
  readonly next?: Awaiting;
}

/**
 * A run that waits for one message of the peer. Each such message has a class of its own, which holds what is known by then and
 * nothing else; `receive` checks it and leads to the next. Only the class of the last message yields the secret of a
 * finished run. An instance is used once.
 */
export interface Awaiting {
  /** Throws KeyError (session) if the message is not right; the run is over then. */
  receive(message: Received): Turn | Promise<Turn>;
  /** Forgets what is secret. */
  wipe(): void;
}

export interface MessageForm {
  /** Its FIN flag. */
  readonly fin: boolean;
  /** The work that its receiver has with it if it is right, in tokens of about a quarter of a millisecond (spec 7.3). */
  readonly work: number;
}

/** A negotiation method. */
export interface Algorithm {
  /** The messages in order; senders alternate, the initiator is first. */
  readonly messages: readonly MessageForm[];
  startInitiator(environment: Environment, offer: Offer): Turn | Promise<Turn>;
  startResponder(environment: Environment, first: Received): Turn | Promise<Turn>;
}
