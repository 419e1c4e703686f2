import { LocalSigner } from '../src/identity/local-signer.ts';
import { seeded } from './random.ts';

/** An identity that is the same for the same name. */
export function signerOf(name: string): LocalSigner {
  return new LocalSigner(seeded(`identity of ${name}`)(32), name);
}
