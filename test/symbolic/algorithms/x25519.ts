import { type Bindings, bound, type Party, type Sibling } from '../script.ts';
import { power, type Term } from '../terms.ts';
import { isOwn } from './common.ts';

/** What all algorithms with X25519 have in common: a public value of each side, e_I and e_R. */
export const PUBLIC_VALUES = {
  initiator: ({ exponent }: Bindings): Bindings => ({ eI: power(exponent as Term) }),
  responder: ({ exponent }: Bindings): Bindings => ({ eR: power(exponent as Term) }),
};

/** The result of X25519, as either side computes it. */
export const agreement = (b: Bindings): Term => power(...bound(b, 'eI').args, ...bound(b, 'eR').args);

/** Spec 3.10: a responder refuses an e_I that it has itself sent in a run in progress, an initiator its own. */
export function refusesOwn(n: number, party: Party, b: Bindings, siblings: readonly Sibling[]): boolean {
  if (n === 1) return isOwn(party, siblings, 'eI', bound(b, 'eI'), true);
  return n === 2 && party.rules.ownValues && b.eI === b.eR;
}
