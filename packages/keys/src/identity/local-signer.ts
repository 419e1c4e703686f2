import { Ed25519Key } from '../crypto.ts';
import type { Signer } from './signer.ts';
import { SignedData } from './sshsig.ts';

/** A signer whose private key is in this process. */
export class LocalSigner implements Signer {
  readonly comment: string;
  readonly #key: Ed25519Key;

  /** `seed` has 32 bytes and stays the caller's to wipe; without one, it is a fresh key. */
  constructor(seed: Uint8Array | undefined, comment: string) {
    this.#key = seed === undefined ? Ed25519Key.generate() : Ed25519Key.ofSeed(seed);
    this.comment = comment;
  }

  get identity(): Uint8Array {
    return this.#key.publicKey;
  }

  async sign(data: SignedData): Promise<Uint8Array> {
    return this.#key.sign(SignedData.bytesOf(data));
  }
}
