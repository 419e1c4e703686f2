import { type Bindings, bound, type Party } from '../script.ts';
import { apply, constant, publicKey, sealed, signature, type Term, tuple } from '../terms.ts';
import { OFFER, offer, transcript } from './common.ts';
import { algorithm, values } from './flow.ts';
import { agreement, PUBLIC_VALUES, refusesOwn } from './x25519.ts';

/**
 * ALG 4, `signed` (spec 3.13): SIGMA-I. F_2 and F_3 carry proofs of identity: public key, signature over the transcript, MAC over the identity, sealed with a key from
 * X25519 and the transcript. The responder is proven by F_2, the initiator by F_3.
 */
export const signed = algorithm({
  name: 'signed',
  fresh: { initiator: ['exponent'], responder: ['exponent'] },
  own: PUBLIC_VALUES,
  brings: [{ ...OFFER, eI: 'power' }, { eR: 'power', idR: 'identity' }, { idI: 'identity' }],
  message(n, party, b) {
    if (!party.authorities.includes(bound(b, 'authority'))) return undefined;
    if (n === 1) return first(b);
    return n === 2 ? second(party, b) : third(party, b);
  },
  refuses: refusesOwn,
  secret,
  peer: ({ accepts, role }, b) => {
    const identity = role === 'initiator' ? b.idR : b.idI;
    return identity && accepts?.get(identity)?.peer;
  },
  claims(n, party, b) {
    if (n === 1) return { running: proven(party, b) };
    return { running: secret(party, b), commit: n === 2 ? proven(party, b) : secret(party, b) };
  },
});

const exchanged = (b: Bindings): Term[] => values(b, 'eI', 'eR');

/** What the initiator counts on when it has taken F_2. */
const proven = (party: Party, b: Bindings): Term => tuple(upTo2(party, b), agreement(b));

function secret(party: Party, b: Bindings): Term {
  const frames = [first(b), second(party, b), third(party, b)] as Term[];
  return apply('extract', transcript(party, frames, exchanged(b)), agreement(b));
}

const first = (b: Bindings): Term => tuple(constant('signed F_1'), offer(b), bound(b, 'eI'));

/** The transcript with F_n, but for the proof at its end. */
const upTo2 = (party: Party, b: Bindings): Term =>
  transcript(party, [first(b), bound(b, 'eR')], exchanged(b));
const upTo3 = (party: Party, b: Bindings): Term =>
  transcript(party, [first(b), second(party, b) as Term, constant('signed F_3')], exchanged(b));

function second(party: Party, b: Bindings): Term | undefined {
  const privateKey = party.role === 'responder' ? party.privateKey : keyOf(party, b.idR);
  if (privateKey === undefined) return undefined;
  return tuple(
    constant('signed F_2'),
    bound(b, 'eR'),
    proof(party, b, 'responder', upTo2(party, b), privateKey),
  );
}

function third(party: Party, b: Bindings): Term | undefined {
  const privateKey = party.role === 'initiator' ? party.privateKey : keyOf(party, b.idI);
  if (privateKey === undefined) return undefined;
  return tuple(constant('signed F_3'), proof(party, b, 'initiator', upTo3(party, b), privateKey));
}

/** The private key of an identity that this side accepts: nobody looks at it, but the proof that is awaited was made with it. */
function keyOf(party: Party, identity: Term | undefined): Term | undefined {
  return identity && party.accepts?.get(identity)?.privateKey;
}

function proof(party: Party, b: Bindings, role: Party['role'], over: Term, privateKey: Term): Term {
  const { rules } = party;
  const identity = publicKey(privateKey);
  const responder = party.role === 'responder' ? publicKey(party.privateKey as Term) : b.idR;
  const signsPeer = rules.signsPeer && role === 'initiator' && responder !== undefined;
  const signs = apply(
    'sshsig',
    constant(role),
    over,
    bound(b, 'authority'),
    ...(signsPeer ? [responder] : []),
  );
  const extracted = apply('extract', over, agreement(b));
  const mac = apply('hmac', apply('mac key', extracted, constant(role)), identity);
  const body = tuple(identity, signature(privateKey, signs), ...(rules.identityMac ? [mac] : []));
  return rules.sealedProofs ? sealed(apply('proof key', extracted, constant(role)), over, body) : body;
}
