import { ascii, concat } from '../bytes.ts';
import { checkSharedTag, runSecret, writeSharedTag } from '../closing.ts';
import { HASH_LENGTH, X25519_LENGTH, type X25519Key } from '../crypto.ts';
import { keyFailure } from '../errors.ts';
import type { Algorithm, Awaiting, Environment, Received, Turn } from '../handshake.ts';
import { notAnonymous } from '../handshake-errors.ts';
import type { Offer } from '../keeper.ts';
import { encodeOffer, readOffer } from '../offer.ts';
import { Reader } from '../reader.ts';
import { extendTranscript, firstMessage, message, NO_TAG, startTranscript } from '../transcript.ts';
import { agreeX25519 } from './x25519-agreement.ts';

/**
 * ALG 5, `anonymous` (spec 3.11): X25519 between two sides that prove nothing. It keeps out who only listens.
 *
 *     F_1  initiator  FIN  offer fields, e_I (256)
 *     F_2  responder  FIN  e_R (256), tag (256)
 */
export const anonymous: Algorithm = {
  messages: [
    { fin: true, work: 1 },
    { fin: true, work: 1 },
  ],
  startInitiator,
  startResponder,
};

function startInitiator(environment: Environment, offer: Offer): Turn {
  const { context } = environment;
  if (!environment.mayBeAnonymous(offer)) throw notAnonymous(offer);
  const own = environment.x25519();
  environment.claimNonce(own.publicValue);
  const frame = firstMessage(context, true, concat(encodeOffer(offer), own.publicValue));
  const first = extendTranscript(startTranscript(context), frame);
  return { frame, secrets: [], next: new AwaitAnswer(environment, offer, own, first) };
}

/** The initiator waits for F_2. */
class AwaitAnswer implements Awaiting {
  readonly #environment: Environment;
  readonly #offer: Offer;
  readonly #own: X25519Key;
  /** T_1. */
  readonly #transcript: Uint8Array;

  constructor(environment: Environment, offer: Offer, own: X25519Key, transcript: Uint8Array) {
    this.#environment = environment;
    this.#offer = offer;
    this.#own = own;
    this.#transcript = transcript;
  }

  receive({ frame, data }: Received): Turn {
    const reader = new Reader(data);
    const peer = reader.take(X25519_LENGTH);
    reader.take(HASH_LENGTH); // tag
    reader.end();

    const shared = agreeX25519(this.#own, peer);
    try {
      if (!checkSharedTag(frame, shared, RESPONDER_TAG, this.#transcript)) throw keyFailure('changed');
      const transcript = extendTranscript(this.#transcript, frame);
      const secret = runSecret(this.#environment, this.#offer, { shared, transcript, confirmed: true });
      return { secrets: [secret] };
    } finally {
      shared.wipe();
    }
  }

  wipe(): void {
    // The key pair is a KeyObject, which goes with this object.
  }
}

function startResponder(environment: Environment, { frame, data }: Received): Turn {
  const { context } = environment;
  const reader = new Reader(data);
  const offer = readOffer(reader, context.algorithm);
  const peer = reader.take(X25519_LENGTH);
  reader.end();
  if (environment.isOwnNonce(peer)) throw keyFailure('own-message');
  if (!environment.mayBeAnonymous(offer)) throw keyFailure('not-anonymous', `authority "${offer.authority}"`);

  const own = environment.x25519();
  const shared = agreeX25519(own, peer);
  try {
    const first = extendTranscript(startTranscript(context), frame);
    const answer = message(context, true, concat(own.publicValue, NO_TAG));
    writeSharedTag(answer, shared, RESPONDER_TAG, first);
    const transcript = extendTranscript(first, answer);
    // The initiator's first envelope proves that it has seen the same messages.
    return {
      frame: answer,
      secrets: [runSecret(environment, offer, { shared, transcript, confirmed: false })],
    };
  } finally {
    shared.wipe();
  }
}

const RESPONDER_TAG = ascii('keymux/1 anonymous responder');
