import { _SHA256 } from '@noble/hashes/sha2.js';

/**
 * A running SHA-256 whose state can be saved and taken up again, in another process: node:crypto's cannot. It is many times slower than that,
 * so it is for sessions that may be handed over (spec 13.4).
 */
export class MovableSha256 extends _SHA256 {
  /**
   * @param saved what `save` gave; begins anew without
   * @throws RangeError if that is no such state
   */
  constructor(saved?: Uint8Array) {
    super();
    if (saved !== undefined) this.#load(saved);
  }

  copy(): MovableSha256 {
    return this._cloneInto(new MovableSha256()) as MovableSha256;
  }

  /** The chaining value, eight words (FIPS 180-4), the bytes so far (64), and those of them that are no whole block yet. */
  save(): Uint8Array {
    const state = new Uint8Array(HEAD + this.pos);
    const view = new DataView(state.buffer);
    this.get().forEach((word, index) => {
      view.setInt32(4 * index, word);
    });
    view.setBigUint64(32, BigInt(this.length));
    state.set(this.buffer.subarray(0, this.pos), HEAD);
    return state;
  }

  #load(state: Uint8Array): void {
    const view = new DataView(state.buffer, state.byteOffset, state.byteLength);
    const length = state.length < HEAD ? -1 : Number(view.getBigUint64(32));
    const pending = length % this.blockLen;
    if (!Number.isSafeInteger(length) || length < 0 || state.length !== HEAD + pending) {
      throw new RangeError('these bytes are not the state of a SHA-256');
    }
    const [a, b, c, d, e, f, g, h] = Array.from({ length: 8 }, (_, index) =>
      view.getInt32(4 * index),
    ) as Words;
    this.set(a, b, c, d, e, f, g, h);
    this.length = length;
    this.pos = pending;
    this.buffer.set(state.subarray(HEAD));
  }
}

type Words = [number, number, number, number, number, number, number, number];

/** Bytes of a saved state before those that are no whole block. */
const HEAD = 40;
