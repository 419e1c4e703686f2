import type { RunningHash } from './key-port.ts';

const NONE = new Uint8Array(32);
const SWITCH_LABEL = ascii('keymux/1 switch\0');
const SLAB = 4096;

/**
 * The digest of one direction of a session (spec 3.6). Small pieces are gathered, so that a busy clear session pays
 * for one hash call every few hundred frames. Without keys nothing is hashed.
 */
export class SessionDigest {
  readonly #hash: RunningHash | undefined;
  readonly #slab: Uint8Array | undefined;
  #used = 0;

  constructor(createHash: (() => RunningHash) | undefined) {
    this.#hash = createHash?.();
    this.#slab = createHash && new Uint8Array(SLAB);
  }

  update(bytes: Uint8Array): void {
    if (this.#hash === undefined || this.#slab === undefined) return;
    if (this.#used + bytes.length > SLAB) this.#flush();
    if (bytes.length > SLAB) {
      this.#hash.update(bytes);
      return;
    }
    this.#slab.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  snapshot(): Uint8Array {
    this.#flush();
    return this.#hash?.copy().digest() ?? NONE;
  }

  #flush(): void {
    if (this.#used === 0) return;
    this.#hash?.update(this.#slab?.subarray(0, this.#used) ?? NONE);
    this.#used = 0;
  }
}

/** The digest field of KEY_SWITCH for a stream (spec 4.5). */
export function switchDigest(
  createHash: () => RunningHash,
  streamId: number,
  clearFrames: RunningHash | undefined,
  answeredSyn: Uint8Array | undefined,
): Uint8Array {
  const id = new Uint8Array(4);
  new DataView(id.buffer).setUint32(0, streamId);
  const hash = createHash();
  hash.update(SWITCH_LABEL);
  hash.update(id);
  hash.update((clearFrames?.copy() ?? createHash()).digest());
  hash.update(answeredSyn ? digestOf(createHash, answeredSyn) : NONE);
  return hash.digest();
}

/** Compares digests. They are not secret, so this need not be constant in time. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function digestOf(createHash: () => RunningHash, bytes: Uint8Array): Uint8Array {
  const hash = createHash();
  hash.update(bytes);
  return hash.digest();
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}
