import { ascii, concat } from '../bytes.ts';
import { checkKeyTag, checkSharedTag, runSecret, writeKeyTag, writeSharedTag } from '../closing.ts';
import {
  HASH_LENGTH,
  isMlKemPublic,
  ML_KEM_CIPHERTEXT_LENGTH,
  ML_KEM_PUBLIC_LENGTH,
  type MlKemKey,
  X25519_LENGTH,
  type X25519Key,
} from '../crypto.ts';
import { keyFailure } from '../errors.ts';
import type { Algorithm, Awaiting, Environment, Received, Turn } from '../handshake.ts';
import { unknownKey } from '../handshake-errors.ts';
import type { Offer } from '../keeper.ts';
import { encodeOffer, readOffer } from '../offer.ts';
import type { PreSharedKey } from '../pre-shared-key.ts';
import { Reader } from '../reader.ts';
import { Secret } from '../secret.ts';
import { extendTranscript, firstMessage, message, NO_TAG, startTranscript } from '../transcript.ts';
import { agreeX25519 } from './x25519-agreement.ts';

/**
 * ALG 6, `hybrid` (spec 3.12): X25519 and ML-KEM-768 together, so that what is recorded today stays secret if one of them falls.
 *
 *     F_1  initiator  FIN  offer fields, e_I (256), ek (9472), tag (256)
 *     F_2  responder  FIN  e_R (256), ct (8704), tag (256)
 *
 * The tag of F_1 comes before all public-key work of the responder: a stranger costs it one HMAC.
 */
export const hybrid: Algorithm = {
  messages: [
    { fin: true, work: 4 },
    { fin: true, work: 4 },
  ],
  startInitiator,
  startResponder,
};

/** What both sides know of a run from its first message on. */
interface Run {
  readonly environment: Environment;
  readonly offer: Offer;
  readonly key: PreSharedKey;
}

/** What the initiator keeps secret until F_2 comes. */
interface KeyPairs {
  readonly x25519: X25519Key;
  readonly mlKem: MlKemKey;
}

async function startInitiator(environment: Environment, offer: Offer): Promise<Turn> {
  const { context } = environment;
  const { key, known } = environment.preSharedKey(offer);
  if (!known) throw unknownKey(offer);
  const { generate } = await environment.mlKem();
  const own = { x25519: environment.x25519(), mlKem: generate() };
  environment.claimNonce(own.x25519.publicValue);
  const transcript = startTranscript(context);
  const frame = firstMessage(
    context,
    true,
    concat(encodeOffer(offer), own.x25519.publicValue, own.mlKem.publicValue, NO_TAG),
  );
  writeKeyTag(frame, key, INITIATOR_TAG, transcript);
  const first = extendTranscript(transcript, frame);
  return { frame, secrets: [], next: new AwaitAnswer({ environment, offer, key }, own, first) };
}

/** The initiator waits for F_2. */
class AwaitAnswer implements Awaiting {
  readonly #run: Run;
  readonly #own: KeyPairs;
  /** T_1. */
  readonly #transcript: Uint8Array;

  constructor(run: Run, own: KeyPairs, transcript: Uint8Array) {
    this.#run = run;
    this.#own = own;
    this.#transcript = transcript;
  }

  receive({ frame, data }: Received): Turn {
    const reader = new Reader(data);
    const peer = reader.take(X25519_LENGTH);
    const ciphertext = reader.take(ML_KEM_CIPHERTEXT_LENGTH);
    reader.take(HASH_LENGTH); // tag
    reader.end();

    const agreed = agreeX25519(this.#own.x25519, peer);
    const encapsulated = Secret.take(this.#own.mlKem.decapsulate(ciphertext));
    const shared = combine(encapsulated, agreed, this.#run.key);
    try {
      // A wrong ciphertext ends here too: ML-KEM makes another secret of it, and no error.
      if (!checkSharedTag(frame, shared, RESPONDER_TAG, this.#transcript)) throw keyFailure('wrong-key');
      const { environment, offer, key: provenBy } = this.#run;
      const transcript = extendTranscript(this.#transcript, frame);
      return { secrets: [runSecret(environment, offer, { shared, transcript, provenBy, confirmed: true })] };
    } finally {
      shared.wipe();
    }
  }

  wipe(): void {
    this.#own.mlKem.wipe();
  }
}

async function startResponder(environment: Environment, { frame, data }: Received): Promise<Turn> {
  const { context } = environment;
  const reader = new Reader(data);
  const offer = readOffer(reader, context.algorithm);
  const peer = reader.take(X25519_LENGTH);
  const encapsulationKey = reader.take(ML_KEM_PUBLIC_LENGTH);
  reader.take(HASH_LENGTH); // tag
  reader.end();
  if (environment.isOwnNonce(peer)) throw keyFailure('own-message');

  const { key, known } = environment.preSharedKey(offer);
  const transcript = startTranscript(context);
  if (!checkKeyTag(frame, key, INITIATOR_TAG, transcript)) {
    throw keyFailure(known ? 'wrong-key' : 'unknown-label', `label ${offer.label}`);
  }
  if (!isMlKemPublic(encapsulationKey)) throw keyFailure('public-key');

  const { encapsulate } = await environment.mlKem();
  const own = environment.x25519();
  const agreed = agreeX25519(own, peer);
  const { ciphertext, secret } = encapsulate(encapsulationKey);
  const shared = combine(Secret.take(secret), agreed, key);
  try {
    const first = extendTranscript(transcript, frame);
    const answer = message(context, true, concat(own.publicValue, ciphertext, NO_TAG));
    writeSharedTag(answer, shared, RESPONDER_TAG, first);
    const last = extendTranscript(first, answer);
    // F_1 may be a repetition: the initiator's first envelope proves that it is there.
    const closing = { shared, transcript: last, provenBy: key, confirmed: false };
    return { frame: answer, secrets: [runSecret(environment, offer, closing)] };
  } finally {
    shared.wipe();
  }
}

/** ss = ML-KEM secret || X25519 secret || K_psk. Wipes the first two. */
function combine(encapsulated: Secret, agreed: Secret, key: PreSharedKey): Secret {
  const parts = [encapsulated, agreed, key.psk];
  const shared = new Uint8Array(parts.length * HASH_LENGTH);
  for (const [index, part] of parts.entries()) part.use((bytes) => shared.set(bytes, index * HASH_LENGTH));
  encapsulated.wipe();
  agreed.wipe();
  return Secret.take(shared);
}

const INITIATOR_TAG = ascii('keymux/1 hybrid initiator');
const RESPONDER_TAG = ascii('keymux/1 hybrid responder');
