import { type Bindings, bound, type Party } from '../script.ts';
import { apply, constant, sealed, type Term, tuple } from '../terms.ts';
import { OFFER, offer, sharedKey, sharingPeer, transcript } from './common.ts';
import { algorithm, values } from './flow.ts';
import { agreement, PUBLIC_VALUES, refusesOwn } from './x25519.ts';

/** ALG 3, `psk-x25519` (spec 3.10): Noise NNpsk0 with T_0 and the offer as its prologue. */
export const pskX25519 = algorithm({
  name: 'psk-x25519',
  fresh: { initiator: ['exponent'], responder: ['exponent'] },
  own: PUBLIC_VALUES,
  brings: [{ ...OFFER, eI: 'power' }, { eR: 'power' }],
  message: (n, party, b) => {
    const key = sharedKey(party, b);
    if (key === undefined) return undefined;
    return n === 1 ? first(party, b, key) : second(party, b, key);
  },
  refuses: refusesOwn,
  peer: sharingPeer,
  secret: (party, b) => {
    const key = sharedKey(party, b) as Term;
    const frames = [first(party, b, key), second(party, b, key)];
    return apply('extract', transcript(party, frames, values(b, 'eI', 'eR')), apply('split', chain2(b, key)));
  },
});

const NOTHING = constant('nothing');

/** The chaining keys of Noise after `psk, e` and after `e, ee`. */
const chain1 = (b: Bindings, key: Term): Term => apply('ck', key, bound(b, 'eI'));
const chain2 = (b: Bindings, key: Term): Term => apply('ck', chain1(b, key), bound(b, 'eR'), agreement(b));

function first(party: Party, b: Bindings, key: Term): Term {
  const body = tuple(constant('psk-x25519 F_1'), offer(b), bound(b, 'eI'));
  return tuple(body, sealed(apply('k', chain1(b, key)), transcript(party, [body], values(b, 'eI')), NOTHING));
}

function second(party: Party, b: Bindings, key: Term): Term {
  const over = transcript(party, [first(party, b, key), bound(b, 'eR')], values(b, 'eI', 'eR'));
  return tuple(constant('psk-x25519 F_2'), bound(b, 'eR'), sealed(apply('k', chain2(b, key)), over, NOTHING));
}
