import { LocalSigner } from '../src/identity/local-signer.ts';
import { seeded } from './random.ts';

const signers = new Map<string, LocalSigner>();

/** An identity that is the same for the same name. Made once: it takes longer than a whole run of most algorithms. */
export function signerOf(name: string): LocalSigner {
  const made = signers.get(name);
  if (made !== undefined) return made;
  const signer = new LocalSigner(seeded(`identity of ${name}`)(32), name);
  signers.set(name, signer);
  return signer;
}
