import type { StateReader, StateWriter } from '@keymux/frames';
import type { RunningHash } from './key-port.ts';
import { loadHash, type ResumeHash, saveHash } from './saved-hash.ts';

/**
 * The digest of one direction of a session (spec 3.6). Small pieces are gathered, so that a busy clear session pays
 * for one hash call every hundred frames. Without keys nothing is hashed.
 */
export class SessionDigest {
  #hash: RunningHash | undefined;
  readonly #slab: Uint8Array;
  #used = 0;

  constructor(createHash: (() => RunningHash) | undefined) {
    this.#hash = createHash?.();
    this.#slab = new Uint8Array(createHash ? SLAB : 0);
  }

  update(bytes: Uint8Array): void {
    if (this.#hash === undefined) return;
    if (this.#used + bytes.length > SLAB) this.#flush(this.#hash);
    if (bytes.length > SLAB) {
      this.#hash.update(bytes);
      return;
    }
    this.#slab.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  /** The digest so far; the running one goes on. */
  snapshot(): Uint8Array {
    if (this.#hash === undefined) return NONE;
    this.#flush(this.#hash);
    return this.#hash.copy().digest();
  }

  save(writer: StateWriter): void {
    writer.optional(this.#hash, (hash) => {
      this.#flush(hash);
      saveHash(writer, hash);
    });
  }

  load(reader: StateReader, resume: ResumeHash | undefined): void {
    this.#hash = reader.optional(() => loadHash(reader, resume));
    this.#used = 0;
  }

  #flush(hash: RunningHash): void {
    if (this.#used > 0) hash.update(this.#slab.subarray(0, this.#used));
    this.#used = 0;
  }
}

/** Bytes gathered before they are hashed. */
const SLAB = 1024;
const NONE = new Uint8Array(32);
