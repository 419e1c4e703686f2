import { type Bindings, bound, type Party } from '../script.ts';
import {
  apply,
  ciphertext,
  constant,
  decapsulate,
  encapsulated,
  encapsulationKey,
  type Term,
  tuple,
} from '../terms.ts';
import { OFFER, offer, sharedKey, sharingPeer, tag, transcript } from './common.ts';
import { algorithm, values } from './flow.ts';
import { agreement, PUBLIC_VALUES, refusesOwn } from './x25519.ts';

/**
 * ALG 6, `hybrid` (spec 3.12): X25519 and a KEM, with a shared key. The responder's ciphertext is for the encapsulation key that has come, so it is named only
 * when that is known.
 */
export const hybrid = algorithm({
  name: 'hybrid',
  fresh: { initiator: ['exponent', 'decapsulationKey'], responder: ['exponent', 'randomness'] },
  own: {
    initiator: (fresh) => ({
      ...PUBLIC_VALUES.initiator(fresh),
      ek: encapsulationKey(fresh.decapsulationKey as Term),
    }),
    responder: PUBLIC_VALUES.responder,
  },
  brings: [
    { ...OFFER, eI: 'power', ek: 'encapsulation-key' },
    { eR: 'power', ct: 'ciphertext' },
  ],
  message: (n, party, b) => {
    const key = sharedKey(party, b);
    if (key === undefined) return undefined;
    return n === 1 ? first(party, b, key) : second(party, b, key);
  },
  refuses: refusesOwn,
  peer: sharingPeer,
  secret: (party, b) => {
    const key = sharedKey(party, b) as Term;
    return apply(
      'extract',
      transcript(party, [first(party, b, key), second(party, b, key)], all(b)),
      agreed(b, key),
    );
  },
});

/** The ciphertext: what came, or for the responder what it makes. */
const sent = (b: Bindings): Term => b.ct ?? ciphertext(bound(b, 'ek'), bound(b, 'randomness'));
const all = (b: Bindings): Term[] => [...values(b, 'eI', 'ek', 'eR'), sent(b)];

/** The three secrets in one. */
function agreed(b: Bindings, key: Term): Term {
  const kem = b.ct
    ? decapsulate(bound(b, 'decapsulationKey'), b.ct)
    : encapsulated(bound(b, 'ek'), bound(b, 'randomness'));
  return tuple(kem, agreement(b), key);
}

function first(party: Party, b: Bindings, key: Term): Term {
  const body = tuple(constant('hybrid F_1'), offer(b), ...values(b, 'eI', 'ek'));
  return tuple(body, tag(key, 'hybrid initiator', transcript(party, [body], values(b, 'eI', 'ek'))));
}

function second(party: Party, b: Bindings, key: Term): Term {
  const body = tuple(constant('hybrid F_2'), bound(b, 'eR'), sent(b));
  const over = transcript(party, [first(party, b, key), body], all(b));
  return tuple(body, tag(apply('extract', over, agreed(b, key)), 'hybrid responder', over));
}
