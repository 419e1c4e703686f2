import { type Belief, type Bindings, bound, type Party, type Sibling } from '../script.ts';
import { apply, constant, sealed, type Term, tuple } from '../terms.ts';

/** The fields of a first message that any algorithm has, and the past that the responder has seen instead of the initiator's. */
export const OFFER = { label: 'label', authority: 'authority', past: 'past' } as const;

export function offer(bindings: Bindings): Term {
  return tuple(bound(bindings, 'label'), bound(bindings, 'authority'));
}

/** The shared key that the offer names. undefined: this side refuses the offer (spec 3.4). */
export function sharedKey({ shared, authorities }: Party, bindings: Bindings): Term | undefined {
  if (!authorities.includes(bound(bindings, 'authority'))) return undefined;
  return shared?.get(bound(bindings, 'label'))?.key;
}

/** Who else holds the shared key that the offer names. */
export const sharingPeer = ({ shared }: Party, bindings: Bindings): string | undefined =>
  shared?.get(bound(bindings, 'label'))?.peer;

/** T_n of spec 3.5, or what is left of it without the rule: `values` are the nonces and public values so far. */
export function transcript(party: Party, frames: readonly Term[], values: readonly Term[]): Term {
  if (!party.rules.transcript) return apply('values', ...values);
  const start = party.rules.initiator ? apply('T0', constant(party.initiatorIs)) : apply('T0');
  return frames.reduce((before, frame) => apply('T', before, frame), start);
}

/** The tag at the end of a message: HMAC over the transcript and the message so far. */
export const tag = (key: Term, text: string, over: Term): Term =>
  apply('hmac', apply('expand', key, constant(text)), over);

/** Whether this agent has sent `value` itself in a run that it began, as long as it still knows. */
export function isOwn(
  party: Party,
  siblings: readonly Sibling[],
  name: string,
  value: Term,
  forgets: boolean,
): boolean {
  return (
    party.rules.ownValues &&
    siblings.some(
      ({ party: { role }, bindings, inProgress }) =>
        role === 'initiator' && (inProgress || !forgets) && bindings[name] === value,
    )
  );
}

/** The keys of both directions, client's first (spec 3.5). */
function keys({ rules }: Party, bindings: Bindings, secret: Term): readonly Term[] {
  const digests = rules.digests ? [bound(bindings, 'past')] : [];
  return ['client', 'server'].map((side) => apply('seal', secret, constant(side), ...digests));
}

/** A side's first envelope, which proves to the other one that it has the keys. */
export function firstEnvelope(party: Party, from: Party['role'], bindings: Bindings, secret: Term): Term {
  const [client, server] = keys(party, bindings, secret);
  const fromClient = (from === 'initiator') === (party.initiatorIs === 'client');
  return sealed((fromClient ? client : server) as Term, constant('head'), constant('KEY_SWITCH'));
}

/** What a side believes of the run itself: here both agree on the offer, and on who began. */
export function runBelief(
  party: Party,
  bindings: Bindings,
  claims: Pick<Belief, 'running' | 'commit'>,
): Belief {
  return { ...claims, view: tuple(offer(bindings), constant(party.initiatorIs)) };
}

/** What a side believes of the keys: here both agree on what was before as well. It shows with the first envelope. */
export function keyBelief(party: Party, bindings: Bindings, secret: Term, commit: boolean): Belief {
  const both = keys(party, bindings, secret);
  const running = tuple(...both);
  const view = tuple(offer(bindings), constant(party.initiatorIs), bound(bindings, 'past'));
  return { view, running, ...(commit ? { commit: running } : {}), keys: both };
}
