import { ascii, concat, u64 } from '../bytes.ts';
import { type Closing, checkKeyTag, runSecret, writeKeyTag } from '../closing.ts';
import { HASH_LENGTH } from '../crypto.ts';
import { keyFailure, usageError } from '../errors.ts';
import type { Algorithm, Awaiting, Environment, Received, Turn } from '../handshake.ts';
import { unknownKey } from '../handshake-errors.ts';
import type { Offer, RunSecret } from '../keeper.ts';
import { encodeOffer, readOffer } from '../offer.ts';
import type { PreSharedKey } from '../pre-shared-key.ts';
import { Reader } from '../reader.ts';
import { extendTranscript, message, NO_TAG, startTranscript } from '../transcript.ts';

/**
 * ALG 1, `psk` (spec 3.7): usable after one message, by which the initiator proves that it holds the key.
 *
 *     F_1  initiator  FIN  offer fields, timestamp (64), nonce_I (256), tag (256)
 *     F_2  responder  FIN  nonce_R (256), tag (256)
 *
 * F_1 makes generation 0, for early data. F_2 adds the responder's randomness: a key that only one side's randomness
 * entered can be installed twice, by repeating F_1, and would then seal different answers with the same nonces.
 */
export const psk: Algorithm = {
  messages: [
    { fin: true, work: 1 },
    { fin: true, work: 1 },
  ],
  startInitiator,
  startResponder,
};

function startInitiator(environment: Environment, offer: Offer): Turn {
  const { context } = environment;
  const { key, known } = environment.preSharedKey(offer);
  if (!known) throw unknownKey(offer);
  const timestamp = environment.now();
  const nonce = environment.random(HASH_LENGTH);
  // What this side sends counts as accepted, so that it cannot be made to accept it.
  if (environment.admit(offer.label, nonce, timestamp) !== 'fresh') {
    throw usageError('too many psk negotiations with this key in one minute', 'ERR_KEYMUX_KEEPER_BUSY');
  }
  const transcript = startTranscript(context);
  const frame = message(context, true, concat(encodeOffer(offer), u64(timestamp), nonce, NO_TAG));
  writeKeyTag(frame, key, INITIATOR_TAG, transcript);
  const first = extendTranscript(transcript, frame);
  return {
    frame,
    secrets: [earlySecret(environment, offer, key, first)],
    next: new AwaitConfirmation(environment, offer, key, first),
  };
}

/** The initiator waits for F_2. */
class AwaitConfirmation implements Awaiting {
  readonly #environment: Environment;
  readonly #offer: Offer;
  readonly #key: PreSharedKey;
  /** T_1. */
  readonly #transcript: Uint8Array;

  constructor(environment: Environment, offer: Offer, key: PreSharedKey, transcript: Uint8Array) {
    this.#environment = environment;
    this.#offer = offer;
    this.#key = key;
    this.#transcript = transcript;
  }

  receive({ frame, data }: Received): Turn {
    const reader = new Reader(data);
    reader.take(HASH_LENGTH); // nonce_R enters by the transcript
    reader.take(HASH_LENGTH); // tag
    reader.end();
    if (!checkKeyTag(frame, this.#key, RESPONDER_TAG, this.#transcript)) throw keyFailure('wrong-key');
    const last = extendTranscript(this.#transcript, frame);
    return { secrets: [confirmedSecret(this.#environment, this.#offer, this.#key, last)] };
  }

  wipe(): void {
    // Holds nothing secret of its own: the key is the keyring's.
  }
}

function startResponder(environment: Environment, { frame, data }: Received): Turn {
  const { context } = environment;
  const reader = new Reader(data);
  const offer = readOffer(reader, context.algorithm);
  const timestamp = Number(reader.u64());
  const nonce = reader.take(HASH_LENGTH);
  reader.take(HASH_LENGTH); // tag
  reader.end();

  const { key, known } = environment.preSharedKey(offer);
  const transcript = startTranscript(context);
  if (!checkKeyTag(frame, key, INITIATOR_TAG, transcript)) {
    throw keyFailure(known ? 'wrong-key' : 'unknown-label', `label ${offer.label}`);
  }
  // Only now: the cache is for messages of holders of the key, and nobody else learns how it judges.
  const admission = environment.admit(offer.label, nonce, timestamp);
  if (admission !== 'fresh') throw keyFailure(admission === 'full' ? 'replay-cache-full' : admission);
  const mayRepeat = !environment.remembers(offer.label, timestamp);

  const first = extendTranscript(transcript, frame);
  const answer = message(context, true, concat(environment.random(HASH_LENGTH), NO_TAG));
  writeKeyTag(answer, key, RESPONDER_TAG, first);
  const last = extendTranscript(first, answer);
  const early = earlySecret(environment, offer, key, first);
  return {
    frame: answer,
    secrets: [mayRepeat ? { ...early, mayRepeat } : early, confirmedSecret(environment, offer, key, last)],
  };
}

/** Generation 0: S_0 = Extract(T_1, K_psk). Only the initiator seals under it. */
function earlySecret(
  environment: Environment,
  offer: Offer,
  key: PreSharedKey,
  first: Uint8Array,
): RunSecret {
  return secretOf(environment, offer, key, first, { generation: 0, directions: 'initiator', early: true });
}

/** Generation 1: S_1 = Extract(T_2, K_psk). */
function confirmedSecret(
  environment: Environment,
  offer: Offer,
  key: PreSharedKey,
  last: Uint8Array,
): RunSecret {
  return secretOf(environment, offer, key, last, { generation: 1, directions: 'both', early: false });
}

function secretOf(
  environment: Environment,
  offer: Offer,
  key: PreSharedKey,
  transcript: Uint8Array,
  part: Closing['part'],
): RunSecret {
  const shared = key.psk;
  return runSecret(environment, offer, {
    shared,
    transcript,
    part,
    provenBy: key,
    confirmed: true,
    forwardSecrecy: false,
  });
}

const INITIATOR_TAG = ascii('keymux/1 psk initiator');
const RESPONDER_TAG = ascii('keymux/1 psk responder');
