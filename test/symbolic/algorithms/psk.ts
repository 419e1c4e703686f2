import { type Bindings, bound, type Party } from '../script.ts';
import { apply, constant, type Term, tuple } from '../terms.ts';
import { isOwn, OFFER, offer, sharedKey, sharingPeer, tag, transcript } from './common.ts';
import { algorithm, values } from './flow.ts';

/** ALG 1, `psk` (spec 3.7), generation 1. Generation 0 is early data, which claims nothing that a search could break. */
export const psk = algorithm({
  name: 'psk',
  fresh: { initiator: ['nonce'], responder: ['nonce'] },
  own: {
    initiator: ({ nonce }) => ({ nonceI: nonce as Term }),
    responder: ({ nonce }) => ({ nonceR: nonce as Term }),
  },
  brings: [{ ...OFFER, nonceI: 'nonce' }, { nonceR: 'nonce' }],
  message: (n, party, b) => (n === 1 ? first(party, b) : second(party, b)),
  refuses: (n, party, b, siblings) => {
    if (n !== 1) return false;
    const nonce = bound(b, 'nonceI');
    const accepted = siblings.some(
      ({ party: { role }, bindings }) => role === 'responder' && bindings.nonceI === nonce,
    );
    // The replay cache has what this side sent as initiator as well, and keeps it longer than the run takes.
    return accepted || isOwn(party, siblings, 'nonceI', nonce, false);
  },
  peer: sharingPeer,
  secret: (party, b) =>
    apply(
      'extract',
      transcript(party, [first(party, b), second(party, b)] as Term[], values(b, 'nonceI', 'nonceR')),
      sharedKey(party, b) as Term,
    ),
});

function first(party: Party, b: Bindings): Term | undefined {
  const key = sharedKey(party, b);
  if (key === undefined) return undefined;
  const body = tuple(constant('psk F_1'), offer(b), bound(b, 'nonceI'));
  return tuple(body, tag(key, 'psk initiator', transcript(party, [body], values(b, 'nonceI'))));
}

function second(party: Party, b: Bindings): Term | undefined {
  const key = sharedKey(party, b);
  const before = first(party, b);
  if (key === undefined || before === undefined) return undefined;
  const body = tuple(constant('psk F_2'), bound(b, 'nonceR'));
  return tuple(
    body,
    tag(key, 'psk responder', transcript(party, [before, body], values(b, 'nonceI', 'nonceR'))),
  );
}
