import type { SignedData } from './sshsig.ts';

/** Somebody who can prove to be an identity. The private key may lie elsewhere: signing may take time, and fail. */
export interface Signer {
  /** The public key, which is the identity: 32 bytes. */
  readonly identity: Uint8Array;
  /** What its owner calls it. */
  readonly comment: string;
  /** Signs; 64 bytes. Takes nothing but what `sshsig.ts` has built. Rejects with KeyError (usage), or the signal's reason. */
  sign(data: SignedData, signal: AbortSignal): Promise<Uint8Array>;
}
