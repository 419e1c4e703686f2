import { type Bindings, bound, type Party } from '../script.ts';
import { apply, constant, power, type Term, tuple } from '../terms.ts';
import { isOwn, OFFER, offer, sharedKey, sharingPeer, tag, transcript } from './common.ts';
import { algorithm, values } from './flow.ts';

/** ALG 2, `spiped` (spec 3.8): nonces, then public values under keys made of the shared key and the nonces. */
export const spiped = algorithm({
  name: 'spiped',
  fresh: { initiator: ['nonce', 'exponent'], responder: ['nonce', 'exponent'] },
  own: {
    initiator: ({ nonce, exponent }) => ({ nonceI: nonce as Term, yI: power(exponent as Term) }),
    responder: ({ nonce, exponent }) => ({ nonceR: nonce as Term, yR: power(exponent as Term) }),
  },
  brings: [{ ...OFFER, nonceI: 'nonce' }, { nonceR: 'nonce' }, { yI: 'power' }, { yR: 'power' }],
  message,
  refuses: (n, party, b, siblings) => {
    if (n === 1) return isOwn(party, siblings, 'nonceI', bound(b, 'nonceI'), true);
    if (!party.rules.ownValues) return false;
    return n === 2 ? b.nonceI === b.nonceR : n === 4 && b.yI === b.yR;
  },
  peer: sharingPeer,
  secret: (party, b) =>
    apply('extract', transcript(party, frames(party, b, 4), allValues(b)), agreed(party, b)),
});

const allValues = (b: Bindings): Term[] => values(b, 'nonceI', 'nonceR', 'yI', 'yR');

function message(n: number, party: Party, b: Bindings): Term | undefined {
  const key = sharedKey(party, b);
  if (key === undefined) return undefined;
  if (n === 1) return tuple(constant('spiped F_1'), offer(b), bound(b, 'nonceI'));
  if (n === 2) return tuple(constant('spiped F_2'), bound(b, 'nonceR'));
  const [name, side] = n === 3 ? ['yI', 'C'] : ['yR', 'S'];
  const mac = apply('hmac', apply(`dhmac_${side}`, key, ...values(b, 'nonceI', 'nonceR')), bound(b, name));
  const body = tuple(constant(`spiped F_${n}`), bound(b, name), mac);
  if (n === 3) return body;
  const over = transcript(party, [...frames(party, b, 3), body], allValues(b));
  return tuple(body, tag(apply('extract', over, agreed(party, b)), 'spiped responder', over));
}

function frames(party: Party, b: Bindings, upTo: number): Term[] {
  return Array.from({ length: upTo }, (_, index) => message(index + 1, party, b) as Term);
}

/** dk_2. */
function agreed(party: Party, b: Bindings): Term {
  const exponents = [...bound(b, 'yI').args, ...bound(b, 'yR').args];
  return apply('dk_2', sharedKey(party, b) as Term, ...values(b, 'nonceI', 'nonceR'), power(...exponents));
}
