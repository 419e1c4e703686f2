import { sha256 } from './crypto.ts';

/** The messages of a key's runs, of both sides, so that a copy of one can be told from a new message (spec 3.1). */
export class MessageLog {
  readonly #hashes = new Set<string>();

  add(frame: Uint8Array): void {
    this.#hashes.add(hashOf(frame));
  }

  /** Whether exactly this frame was added. */
  has(frame: Uint8Array): boolean {
    return this.#hashes.has(hashOf(frame));
  }
}

function hashOf(frame: Uint8Array): string {
  return Buffer.from(sha256(frame)).toString('latin1');
}
