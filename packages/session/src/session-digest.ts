import type { StateReader, StateWriter } from '@keymux/frames';
import type { RunningHash } from './key-port.ts';
import { loadHash, type ResumeHash, saveHash } from './saved-hash.ts';

/**
 * The digest of one direction of a session (spec 3.6). Small pieces are gathered, so that a busy clear session pays
 * for one hash call every fifty frames, and a short one makes no running hash at all. Without keys nothing is hashed.
 */
export class SessionDigest {
  readonly #createHash: (() => RunningHash) | undefined;
  /** Of what was gathered and let go; there is none before that. */
  #hash: RunningHash | undefined;
  readonly #slab: Uint8Array;
  #used = 0;

  constructor(createHash: (() => RunningHash) | undefined) {
    this.#createHash = createHash;
    this.#slab = createHash ? new Uint8Array(SLAB) : NOTHING;
  }

  update(bytes: Uint8Array): void {
    if (this.#createHash === undefined) return;
    if (this.#used + bytes.length > SLAB) this.#hash = this.#gathered(this.#createHash);
    if (bytes.length > SLAB) {
      this.#hash?.update(bytes);
      return;
    }
    this.#slab.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  /** The digest so far; the running one goes on. */
  snapshot(): Uint8Array {
    if (this.#createHash === undefined) return NONE;
    const hash = this.#hash?.copy() ?? this.#createHash();
    hash.update(this.#slab.subarray(0, this.#used));
    return hash.digest();
  }

  save(writer: StateWriter): void {
    writer.optional(this.#createHash, (createHash) => {
      this.#hash = this.#gathered(createHash);
      saveHash(writer, this.#hash);
    });
  }

  load(reader: StateReader, resume: ResumeHash | undefined): void {
    this.#hash = reader.optional(() => loadHash(reader, resume));
    this.#used = 0;
  }

  /** The running hash, with all that was gathered. */
  #gathered(createHash: () => RunningHash): RunningHash {
    const hash = this.#hash ?? createHash();
    hash.update(this.#slab.subarray(0, this.#used));
    this.#used = 0;
    return hash;
  }
}

/** Bytes gathered before they are hashed. */
const SLAB = 512;
const NOTHING = new Uint8Array(0);
const NONE = new Uint8Array(32);
