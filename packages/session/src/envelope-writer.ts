import { encodeControl, encodeSealedHead } from '@keymux/frames';
import type { Padding } from './config.ts';
import type { SessionDigest } from './digests.ts';
import { keyFailure } from './errors.ts';
import type { KeyPort, SendKey } from './key-port.ts';
import { CLEAR } from './stream.ts';

/** Most plaintext of one envelope (spec 1.7). */
export const ENVELOPE_LIMIT = 66_560;
const TAG = 16;
/** Pieces up to this size are copied together: one more entry in a writev, or one more cipher call, costs more. */
const SMALL = 2048;
const SLAB = 16 * 1024;

/**
 * Collects what is to be written. Frames that follow each other under the same key share an envelope, small pieces
 * share a buffer, large ones are passed on as they are.
 */
export class EnvelopeWriter {
  readonly #keys: KeyPort | undefined;
  readonly #digest: SessionDigest;
  readonly #padding: Padding;
  #output: Uint8Array[] = [];
  #outputBytes = 0;
  /** The open envelope. */
  #key: SendKey | undefined;
  #plaintext: Uint8Array[] = [];
  #plaintextBytes = 0;
  /** The tail of `#slab` from `#start` to `#end` is not in a list yet. */
  #slab = new Uint8Array(0);
  #start = 0;
  #end = 0;

  constructor(keys: KeyPort | undefined, digest: SessionDigest, padding: Padding) {
    this.#keys = keys;
    this.#digest = digest;
    this.#padding = padding;
  }

  get bytes(): number {
    return this.#outputBytes + this.#plaintextBytes;
  }

  /**
   * Makes room for a frame of `size` bytes under `keyId`, ending the open envelope if it belongs to another key or
   * has no such room. Returns the bytes of room that are left for this key.
   */
  room(keyId: number, size: number): number {
    if (
      this.#key !== undefined &&
      (this.#key.keyId !== keyId || this.#plaintextBytes + size > ENVELOPE_LIMIT)
    ) {
      this.#seal();
    }
    if (keyId === CLEAR) {
      if (this.#key !== undefined) this.#seal();
      return ENVELOPE_LIMIT;
    }
    if (this.#key === undefined) this.#open(keyId);
    return ENVELOPE_LIMIT - this.#plaintextBytes;
  }

  /** Generation of the open envelope. */
  get generation(): number {
    return this.#key?.generation ?? 0;
  }

  /** Appends a piece of a frame, after `room` was made for the whole of it. */
  append(piece: Uint8Array): void {
    const list = this.#key === undefined ? this.#output : this.#plaintext;
    if (this.#key === undefined) this.#outputBytes += piece.length;
    else this.#plaintextBytes += piece.length;
    if (piece.length > SMALL) {
      this.#closePiece(list);
      list.push(piece);
      return;
    }
    if (this.#slab.length - this.#end < piece.length) {
      this.#closePiece(list);
      this.#slab = new Uint8Array(SLAB);
      this.#start = this.#end = 0;
    }
    this.#slab.set(piece, this.#end);
    this.#end += piece.length;
  }

  /** Ends the open envelope and hands out everything that was collected. */
  take(): Uint8Array[] {
    if (this.#key !== undefined) this.#seal();
    this.#closePiece(this.#output);
    const output = this.#output;
    this.#output = [];
    this.#outputBytes = 0;
    return output;
  }

  #open(keyId: number): void {
    const key = this.#keys?.sender(keyId);
    if (key === undefined) throw keyFailure(`key ${keyId} cannot seal: it is not established, or used up`);
    this.#closePiece(this.#output);
    this.#key = key;
    if (key.sealed === 0 && key.previousSealed) {
      this.append(encodeControl({ type: 'key-update', count: key.previousSealed }));
    }
  }

  #seal(): void {
    const key = this.#key;
    if (key === undefined) return;
    const gap = paddingFor(this.#padding, this.#plaintextBytes);
    if (gap > 0) this.append(encodeControl({ type: 'padding', length: gap - 8 }));
    this.#closePiece(this.#plaintext);
    const head = encodeSealedHead(key.keyId, key.generation, this.#plaintextBytes + TAG);
    const sealed = key.seal(head, this.#plaintext);
    this.#digest.update(head);
    this.#key = undefined;
    this.#plaintext = [];
    this.#plaintextBytes = 0;
    this.append(head);
    for (const part of sealed) this.append(part);
  }

  #closePiece(list: Uint8Array[]): void {
    if (this.#end === this.#start) return;
    list.push(this.#slab.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }
}

/** Size of the PADDING frame to add to `size` bytes of plaintext, its 8-byte head included; 0 for none (spec 4.1). */
export function paddingFor(policy: Padding, size: number): number {
  if (policy === 'none') return 0;
  let step = 1024;
  if (policy === 'padme') {
    const exponent = Math.floor(Math.log2(size));
    step = 2 ** (exponent - Math.floor(Math.log2(exponent)) - 1);
  }
  const roundUp = (n: number): number => Math.ceil(n / step) * step;
  let padded = roundUp(size);
  if (padded !== size && padded - size < 8) padded = roundUp(size + 8);
  return padded > ENVELOPE_LIMIT ? 0 : padded - size;
}
