import { concat } from '../bytes.ts';
import { runSecret } from '../closing.ts';
import { X25519_LENGTH, type X25519Key } from '../crypto.ts';
import { keyFailure } from '../errors.ts';
import type { Algorithm, Awaiting, Environment, Received, Turn } from '../handshake.ts';
import { unknownIdentity } from '../handshake-errors.ts';
import type { Signer } from '../identity/signer.ts';
import type { PeerVerified } from '../identity/trust.ts';
import type { Offer, RunSecret } from '../keeper.ts';
import { encodeOffer, readOffer } from '../offer.ts';
import { Reader } from '../reader.ts';
import type { Secret } from '../secret.ts';
import { extendTranscript, firstMessage, message, startTranscript } from '../transcript.ts';
import {
  NO_PROOF,
  PROOF_LENGTH,
  type Proof,
  ProofSeal,
  proofTranscript,
  signedData,
} from './signed-proof.ts';
import { agreeX25519 } from './x25519-agreement.ts';

/**
 * ALG 4, `signed` (spec 3.13): X25519 between two Ed25519 identities, as SIGMA-I. Who only listens learns neither identity; who pretends to be the responder
 * does not learn the initiator's.
 *
 *     F_1  initiator       offer fields, e_I (256)
 *     F_2  responder  FIN  e_R (256), proof of the responder (1152)
 *     F_3  initiator  FIN  proof of the initiator (1152)
 */
export const signed: Algorithm = {
  messages: [
    { fin: false, work: 2 },
    { fin: true, work: 3 },
    { fin: true, work: 1 },
  ],
  startInitiator,
  startResponder,
};

/** What a side knows of a run from its first message on. */
interface Run {
  readonly environment: Environment;
  readonly offer: Offer;
  /** Who this side proves to be. */
  readonly signer: Signer;
}

function startInitiator(environment: Environment, offer: Offer): Turn {
  const { context } = environment;
  const { signer, known } = environment.identity(offer);
  if (!known) throw unknownIdentity(offer);
  const own = environment.x25519();
  environment.claimNonce(own.publicValue);
  const frame = firstMessage(context, false, concat(encodeOffer(offer), own.publicValue));
  const first = extendTranscript(startTranscript(context), frame);
  return { frame, secrets: [], next: new AwaitResponder({ environment, offer, signer }, own, first) };
}

/** The initiator waits for F_2. */
class AwaitResponder implements Awaiting {
  readonly #run: Run;
  readonly #own: X25519Key;
  /** T_1. */
  readonly #transcript: Uint8Array;

  constructor(run: Run, own: X25519Key, transcript: Uint8Array) {
    this.#run = run;
    this.#own = own;
    this.#transcript = transcript;
  }

  async receive({ frame, data }: Received): Promise<Turn> {
    const { environment, offer, signer } = this.#run;
    const reader = new Reader(data);
    const peer = reader.take(X25519_LENGTH);
    reader.take(PROOF_LENGTH);
    reader.end();

    const shared = agreeX25519(this.#own, peer);
    try {
      const upTo2 = proofTranscript(this.#transcript, frame);
      const proof = readProof('responder', shared, upTo2, frame);
      const data2 = signedData('responder', upTo2, offer.authority);
      const verified = await environment.verifyPeer(offer, { ...proof, signed: data2 });

      // Only now, that the peer is who it must be, does this side say who it is.
      const second = extendTranscript(this.#transcript, frame);
      const answer = message(environment.context, true, NO_PROOF);
      const upTo3 = proofTranscript(second, answer);
      const data3 = signedData('initiator', upTo3, offer.authority, verified.identity);
      const signature = await signer.sign(data3, environment.signal);
      writeProof('initiator', shared, upTo3, answer, { identity: signer.identity, signature });
      const last = extendTranscript(second, answer);
      return { frame: answer, secrets: [closed(this.#run, verified, shared, last)] };
    } finally {
      shared.wipe();
    }
  }

  wipe(): void {
    // The key pair is a KeyObject, which goes with this object.
  }
}

async function startResponder(environment: Environment, { frame, data }: Received): Promise<Turn> {
  const { context } = environment;
  const reader = new Reader(data);
  const offer = readOffer(reader, context.algorithm);
  const peer = reader.take(X25519_LENGTH);
  reader.end();
  if (environment.isOwnNonce(peer)) throw keyFailure('own-message');

  const { signer, known } = environment.identity(offer);
  const own = environment.x25519();
  const shared = agreeX25519(own, peer);
  try {
    const first = extendTranscript(startTranscript(context), frame);
    const answer = message(context, true, concat(own.publicValue, NO_PROOF));
    const upTo2 = proofTranscript(first, answer);
    const signature = await signer.sign(signedData('responder', upTo2, offer.authority), environment.signal);
    writeProof('responder', shared, upTo2, answer, { identity: signer.identity, signature });
    const second = extendTranscript(first, answer);
    const next = new AwaitInitiator({ environment, offer, signer }, known, shared, second);
    return { frame: answer, secrets: [], next };
  } catch (error) {
    shared.wipe();
    throw error;
  }
}

/** The responder waits for F_3. */
class AwaitInitiator implements Awaiting {
  readonly #run: Run;
  /** Whether this side's identity is the one that the offer names, and not a stand-in for it. */
  readonly #known: boolean;
  readonly #shared: Secret;
  /** T_2. */
  readonly #transcript: Uint8Array;

  constructor(run: Run, known: boolean, shared: Secret, transcript: Uint8Array) {
    this.#run = run;
    this.#known = known;
    this.#shared = shared;
    this.#transcript = transcript;
  }

  async receive({ frame, data }: Received): Promise<Turn> {
    const { environment, offer, signer } = this.#run;
    const reader = new Reader(data);
    reader.take(PROOF_LENGTH);
    reader.end();

    const upTo3 = proofTranscript(this.#transcript, frame);
    const proof = readProof('initiator', this.#shared, upTo3, frame);
    if (!this.#known) throw keyFailure('unknown-label', `label ${offer.label}`);
    const data3 = signedData('initiator', upTo3, offer.authority, signer.identity);
    const verified = await environment.verifyPeer(offer, { ...proof, signed: data3 });
    const last = extendTranscript(this.#transcript, frame);
    return { secrets: [closed(this.#run, verified, this.#shared, last)] };
  }

  wipe(): void {
    this.#shared.wipe();
  }
}

function readProof(
  role: 'initiator' | 'responder',
  shared: Secret,
  transcript: Uint8Array,
  frame: Uint8Array,
): Proof {
  const seal = new ProofSeal(role, shared, transcript);
  try {
    return seal.read(frame);
  } finally {
    seal.wipe();
  }
}

function writeProof(
  role: 'initiator' | 'responder',
  shared: Secret,
  transcript: Uint8Array,
  frame: Uint8Array,
  proof: Proof,
): void {
  const seal = new ProofSeal(role, shared, transcript);
  seal.write(frame, proof);
  seal.wipe();
}

/** S = Extract(T_3, X25519). Takes the proof that the peer is who it must be. */
function closed(
  { environment, offer }: Run,
  provenBy: PeerVerified,
  shared: Secret,
  transcript: Uint8Array,
): RunSecret {
  return runSecret(environment, offer, { shared, transcript, provenBy, confirmed: true });
}
