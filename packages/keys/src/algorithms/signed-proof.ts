import { ascii, concat, u8 } from '../bytes.ts';
import {
  type AeadKey,
  aeadKey,
  ED25519_KEY_LENGTH,
  ED25519_SIGNATURE_LENGTH,
  equalBytes,
  HASH_LENGTH,
  hkdfExpand,
  hkdfExtract,
  hmacSha256,
  openAes256Gcm,
  sealAes256Gcm,
  sha256,
  TAG_LENGTH,
} from '../crypto.ts';
import { keyFailure } from '../errors.ts';
import { SignedData } from '../identity/sshsig.ts';
import type { Role } from '../keeper.ts';
import { Secret } from '../secret.ts';

/** Bytes of a proof of identity as it is sent: identity, signature, MAC, tag. */
export const PROOF_LENGTH = ED25519_KEY_LENGTH + ED25519_SIGNATURE_LENGTH + HASH_LENGTH + TAG_LENGTH;

/** Room for a proof at the end of a message. */
export const NO_PROOF = new Uint8Array(PROOF_LENGTH);

/** U_n of spec 3.13: the transcript up to and with F_n, but for the proof at its end. */
export function proofTranscript(transcript: Uint8Array, frame: Uint8Array): Uint8Array {
  return sha256(transcript, frame.subarray(0, frame.length - PROOF_LENGTH));
}

/** What a side of a run signs. `responder` is the responder's identity, which only the initiator knows when it signs. */
export function signedData(
  role: Role,
  transcript: Uint8Array,
  authority: string,
  responder: Uint8Array = NOTHING,
): SignedData {
  const fields = [u8(0), transcript, u8(authority.length), ascii(authority), responder];
  return SignedData.of(sha256(LABELS[role], ...fields));
}

/** What a proof says. */
export interface Proof {
  readonly identity: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * Hides a side's proof and binds its identity to this run's secret (the MAC of SIGMA). Its keys serve one message: they come from the transcript and
 * the secret that both sides share.
 */
export class ProofSeal {
  readonly #key: AeadKey;
  readonly #iv: Uint8Array;
  readonly #macKey: Secret;
  readonly #transcript: Uint8Array;

  /** `transcript` is U_n. */
  constructor(role: Role, shared: Secret, transcript: Uint8Array) {
    const extracted = shared.use((bytes) => hkdfExtract(transcript, bytes));
    const material = hkdfExpand(extracted, LABELS[role], 76);
    extracted.fill(0);
    this.#key = aeadKey(material.subarray(0, 32));
    this.#iv = Uint8Array.from(material.subarray(32, 44));
    this.#macKey = Secret.take(material.subarray(44));
    this.#transcript = transcript;
    material.fill(0);
  }

  /** Writes the proof into the last bytes of `frame`, which hold nothing yet. */
  write(frame: Uint8Array, { identity, signature }: Proof): void {
    const parts = [concat(identity, signature, this.#mac(identity))];
    frame.set(
      concat(...sealAes256Gcm(this.#key, this.#iv, this.#transcript, parts)),
      frame.length - PROOF_LENGTH,
    );
  }

  /** The proof in the last bytes of `frame`. Throws KeyError (session) unless it was made for this run by who took part in it. */
  read(frame: Uint8Array): Proof {
    const body = frame.subarray(frame.length - PROOF_LENGTH);
    const plain = openAes256Gcm(this.#key, this.#iv, this.#transcript, body);
    if (plain === undefined) throw keyFailure('changed');
    const identity = plain.subarray(0, ED25519_KEY_LENGTH);
    const signature = plain.subarray(ED25519_KEY_LENGTH, ED25519_KEY_LENGTH + ED25519_SIGNATURE_LENGTH);
    const mac = plain.subarray(ED25519_KEY_LENGTH + ED25519_SIGNATURE_LENGTH);
    if (!equalBytes(mac, this.#mac(identity)))
      throw keyFailure('signature', 'its identity is not that of the run');
    return { identity, signature };
  }

  wipe(): void {
    this.#macKey.wipe();
  }

  #mac(identity: Uint8Array): Uint8Array {
    return this.#macKey.use((key) => hmacSha256(key, identity));
  }
}

const NOTHING = new Uint8Array(0);
const LABELS = {
  initiator: ascii('keymux/1 signed initiator'),
  responder: ascii('keymux/1 signed responder'),
} as const;
