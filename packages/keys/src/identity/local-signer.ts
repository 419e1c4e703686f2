import { ED25519_KEY_LENGTH, Ed25519Key, randomBytes } from '../crypto.ts';
import type { Signer } from './signer.ts';
import { SignedData } from './sshsig.ts';

/** A signer whose private key is in this process. */
export class LocalSigner implements Signer {
  readonly comment: string;
  readonly #key: Ed25519Key;

  /** `seed` has 32 bytes and stays the caller's to wipe. */
  constructor(seed: Uint8Array, comment: string) {
    this.#key = Ed25519Key.ofSeed(seed);
    this.comment = comment;
  }

  /** A key that nobody knows anything of. */
  static random(comment: string): LocalSigner {
    const seed = randomBytes(ED25519_KEY_LENGTH);
    const signer = new LocalSigner(seed, comment);
    seed.fill(0);
    return signer;
  }

  get identity(): Uint8Array {
    return this.#key.publicKey;
  }

  async sign(data: SignedData): Promise<Uint8Array> {
    return this.#key.sign(SignedData.bytesOf(data));
  }
}
