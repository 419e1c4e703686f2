import { HASH_LENGTH, sha256 } from './crypto.ts';
import type { StateSink, StateSource } from './state-port.ts';

/** The messages of a key's renegotiations, of both sides, so that a copy of one can be told from a new message (spec 3.1). */
export class MessageLog {
  readonly #hashes = new Set<string>();

  add(frame: Uint8Array): void {
    this.#hashes.add(hashOf(frame));
  }

  /** Whether exactly this frame was added. */
  has(frame: Uint8Array): boolean {
    return this.#hashes.has(hashOf(frame));
  }

  save(writer: StateSink): void {
    writer.list(this.#hashes, (hash) => writer.raw(Buffer.from(hash, 'latin1')));
  }

  load(reader: StateSource): void {
    reader.list(() => this.#hashes.add(latin1(reader.raw(HASH_LENGTH))));
  }
}

function hashOf(frame: Uint8Array): string {
  return latin1(sha256(frame));
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
