import { concat } from '../bytes.ts';
import { runSecret } from '../closing.ts';
import { equalBytes, X25519_LENGTH, type X25519Key } from '../crypto.ts';
import { keyFailure } from '../errors.ts';
import type { Algorithm, Awaiting, Environment, Received, Turn } from '../handshake.ts';
import { unknownKey } from '../handshake-errors.ts';
import type { Offer, RunSecret } from '../keeper.ts';
import { encodeOffer, readOffer } from '../offer.ts';
import type { PreSharedKey } from '../pre-shared-key.ts';
import { Reader } from '../reader.ts';
import { extendTranscript, firstMessage, message, startTranscript } from '../transcript.ts';
import { NOISE_MESSAGE_LENGTH, NoiseHandshake } from './noise.ts';

/**
 * ALG 3, `psk-x25519` (spec 3.10): Noise_NNpsk0_25519_AESGCM_SHA256, so with forward secrecy.
 *
 *     F_1  initiator  FIN  offer fields, Noise message 1 (384): e_I (256), tag (128)
 *     F_2  responder  FIN  Noise message 2 (384): e_R (256), tag (128)
 */
export const pskX25519: Algorithm = {
  messages: [
    { fin: true, work: 1 },
    { fin: true, work: 1 },
  ],
  startInitiator,
  startResponder,
};

/** What both sides know of a run from its first message on. */
interface Run {
  readonly environment: Environment;
  readonly offer: Offer;
  readonly key: PreSharedKey;
  readonly noise: NoiseHandshake;
}

function startInitiator(environment: Environment, offer: Offer): Turn {
  const { context } = environment;
  const { key, known } = environment.preSharedKey(offer);
  if (!known) throw unknownKey(offer);
  const own = environment.x25519();
  environment.claimNonce(own.publicValue);
  const frame = firstMessage(context, true, concat(encodeOffer(offer), NO_NOISE_MESSAGE));
  const transcript = startTranscript(context);
  const noise = startNoise(transcript, frame, key, () => own);
  frame.set(noise.writeMessage(NO_PAYLOAD), frame.length - NOISE_MESSAGE_LENGTH);
  const first = extendTranscript(transcript, frame);
  return { frame, secrets: [], next: new AwaitAnswer({ environment, offer, key, noise }, first) };
}

/** The initiator waits for F_2. */
class AwaitAnswer implements Awaiting {
  readonly #run: Run;
  /** T_1. */
  readonly #transcript: Uint8Array;

  constructor(run: Run, transcript: Uint8Array) {
    this.#run = run;
    this.#transcript = transcript;
  }

  receive({ frame, data }: Received): Turn {
    const reader = new Reader(data);
    const second = reader.take(NOISE_MESSAGE_LENGTH);
    reader.end();
    this.#run.noise.readMessage(second);
    // Noise knows nothing of the head, which is the same in every run but for flags that a receiver would ignore.
    if (!equalBytes(frame, message(this.#run.environment.context, true, data))) throw keyFailure('changed');
    return { secrets: [closed(this.#run, extendTranscript(this.#transcript, frame), true)] };
  }

  wipe(): void {
    this.#run.noise.wipe();
  }
}

function startResponder(environment: Environment, { frame, data }: Received): Turn {
  const { context } = environment;
  const reader = new Reader(data);
  const offer = readOffer(reader, context.algorithm);
  const noiseMessage = reader.take(NOISE_MESSAGE_LENGTH);
  reader.end();
  if (environment.isOwnNonce(noiseMessage.subarray(0, X25519_LENGTH))) throw keyFailure('own-message');

  const { key, known } = environment.preSharedKey(offer);
  const transcript = startTranscript(context);
  const noise = startNoise(transcript, frame, key, () => environment.x25519());
  try {
    readFirst(noise, noiseMessage, known, offer);
    const first = extendTranscript(transcript, frame);
    const answer = message(context, true, noise.writeMessage(NO_PAYLOAD));
    const last = extendTranscript(first, answer);
    // F_1 may be a repetition: the initiator's first envelope proves that it is there.
    return { frame: answer, secrets: [closed({ environment, offer, key, noise }, last, false)] };
  } finally {
    noise.wipe();
  }
}

function readFirst(noise: NoiseHandshake, noiseMessage: Uint8Array, known: boolean, { label }: Offer): void {
  try {
    noise.readMessage(noiseMessage);
  } catch (error) {
    // A stand-in for an unknown key is a wrong key for everybody; the log says which it was.
    throw known ? error : keyFailure('unknown-label', `label ${label}`);
  }
}

/** The prologue is T_0 and all of F_1 before its Noise message, with the lengths that it has in the end. */
function startNoise(
  transcript: Uint8Array,
  first: Uint8Array,
  key: PreSharedKey,
  ephemeral: () => X25519Key,
): NoiseHandshake {
  const prologue = concat(transcript, first.subarray(0, first.length - NOISE_MESSAGE_LENGTH));
  return new NoiseHandshake({ protocol: PROTOCOL, pattern: NN_PSK0, prologue, psk: key.psk, ephemeral });
}

/** S = Extract(T_2, k1 || k2). */
function closed(
  { environment, offer, key, noise }: Run,
  transcript: Uint8Array,
  confirmed: boolean,
): RunSecret {
  const shared = noise.split();
  try {
    return runSecret(environment, offer, { shared, transcript, provenBy: key, confirmed });
  } finally {
    shared.wipe();
  }
}

const PROTOCOL = 'Noise_NNpsk0_25519_AESGCM_SHA256';
const NN_PSK0 = [
  ['psk', 'e'],
  ['e', 'ee'],
] as const;
const NO_NOISE_MESSAGE = new Uint8Array(NOISE_MESSAGE_LENGTH);
const NO_PAYLOAD = new Uint8Array(0);
