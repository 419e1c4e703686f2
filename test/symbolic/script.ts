import type { Rules } from './rules.ts';
import { constant, type Term } from './terms.ts';

/** What a session has received so far, and its own fresh values. */
export type Bindings = Readonly<Record<string, Term>>;

/** The kinds of values that a message can carry and that a receiver cannot foresee. */
export type Sort =
  | 'nonce'
  | 'power'
  | 'encapsulation-key'
  | 'ciphertext'
  | 'identity'
  | 'label'
  | 'authority'
  | 'past';

/** The past of a session where a search is not about it. */
export const NO_PAST = constant('nothing before');

/** What a session takes part in a run with: its place, and its long-term keys. */
export interface Party {
  readonly agent: string;
  /** Tells fresh values of sessions apart. */
  readonly session: string;
  readonly role: 'initiator' | 'responder';
  /** Which side of the session begins the run: a side may be client or server of it. */
  readonly initiatorIs: 'client' | 'server';
  /** Pre-shared keys by label: the key, and who else holds it. */
  readonly shared?: ReadonlyMap<Term, { readonly key: Term; readonly peer: string }>;
  /** ALG 4: this side's private key, and whom it accepts: name by public key. */
  readonly privateKey?: Term;
  readonly accepts?: ReadonlyMap<Term, { readonly privateKey: Term; readonly peer: string }>;
  /** The initiator asks for the first of these; the responder speaks for all of them. */
  readonly authorities: readonly Term[];
  /** What the initiator sent before the run, where a search is about that. */
  readonly past?: Term | undefined;
  readonly rules: Rules;
}

/** What a session believes once it has taken a step. */
export interface Belief {
  /** It has not to do with anybody else; undefined if it claims nothing about its peer. */
  readonly peer?: string | undefined;
  /** What both sides must agree on. */
  readonly view: Term;
  /** From here on the session's peer may count on it: what it has computed. */
  readonly running?: Term;
  /** From here on the session counts on its peer: what that one must have computed. */
  readonly commit?: Term;
  /** The keys that it will seal or open payload with. */
  readonly keys?: readonly Term[];
}

/** Another session of the same agent, as its keeper sees it. */
export interface Sibling {
  readonly party: Party;
  readonly bindings: Bindings;
  /** Whether its run is still going on. */
  readonly inProgress: boolean;
}

export interface Step {
  /** What comes in: values of these sorts, in the one message that this side accepts with them. */
  readonly awaits?: {
    readonly fields: Readonly<Record<string, Sort>>;
    /** undefined: refused. */
    message(bindings: Bindings): Term | undefined;
    /** Whether it is refused for what this agent has seen in its other sessions. */
    refuses(bindings: Bindings, siblings: readonly Sibling[]): boolean;
  };
  /** What goes out then. */
  sends?(bindings: Bindings): readonly Term[];
  beliefs?(bindings: Bindings): readonly Belief[];
}

/** A role of an algorithm: the steps of one side of a run. An initiator's first step awaits nothing. */
export interface Script {
  readonly party: Party;
  readonly fresh: Bindings;
  readonly steps: readonly Step[];
}

/** Both roles of an algorithm. */
export interface Algorithm {
  readonly name: string;
  initiator(party: Party): Script;
  responder(party: Party): Script;
}

export function bound(bindings: Bindings, name: string): Term {
  const term = bindings[name];
  if (term === undefined) throw new Error(`${name} is not bound yet`);
  return term;
}
