import { type Bindings, bound, type Party } from '../script.ts';
import { apply, constant, type Term, tuple } from '../terms.ts';
import { OFFER, offer, tag, transcript } from './common.ts';
import { algorithm, values } from './flow.ts';
import { agreement, PUBLIC_VALUES, refusesOwn } from './x25519.ts';

/** ALG 5, `anonymous` (spec 3.11): X25519 between two sides that prove nothing. */
export const anonymous = algorithm({
  name: 'anonymous',
  fresh: { initiator: ['exponent'], responder: ['exponent'] },
  own: PUBLIC_VALUES,
  brings: [{ ...OFFER, eI: 'power' }, { eR: 'power' }],
  message: (n, party, b) => {
    if (!party.authorities.includes(bound(b, 'authority'))) return undefined;
    return n === 1 ? first(b) : second(party, b);
  },
  refuses: refusesOwn,
  peer: () => undefined,
  secret: (party, b) =>
    apply('extract', transcript(party, [first(b), second(party, b)], values(b, 'eI', 'eR')), agreement(b)),
});

const first = (b: Bindings): Term => tuple(constant('anonymous F_1'), offer(b), bound(b, 'eI'));

function second(party: Party, b: Bindings): Term {
  const body = tuple(constant('anonymous F_2'), bound(b, 'eR'));
  const over = transcript(party, [first(b), body], values(b, 'eI', 'eR'));
  return tuple(body, tag(apply('extract', over, agreement(b)), 'anonymous responder', over));
}
