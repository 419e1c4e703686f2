import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Where third-party test vectors are, if they are anywhere. */
export const VECTOR_FOLDER =
  process.env.KEYMUX_VECTORS ?? fileURLToPath(new URL('../../../../shared/vectors', import.meta.url));

/**
 * Third-party test vectors, which are not part of this repository: from the folder that KEYMUX_VECTORS names, or from
 * `../shared/vectors` beside the repository. Undefined where they are absent; the tests that need them are then skipped.
 *
 * All of those that fit are run. Not run are those of ChaCha20-Poly1305, which no algorithm uses: sealing and Noise are with AES-256-GCM.
 */
export function sharedVectors<T>(name: string): T | undefined {
  const path = `${VECTOR_FOLDER}/${name}`;
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as T) : undefined;
}

export function unhex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
