import {
  encodeControl,
  encodeSealedHead,
  HEAD_LENGTH,
  type StateReader,
  type StateWriter,
  TAG_LENGTH,
} from '@keymux/frames';
import type { Padding } from './config.ts';
import { CLEAR } from './control-binding.ts';
import { cannotSeal } from './errors.ts';
import type { KeyPort, SendKey } from './key-port.ts';
import { paddingFor, plaintextLimit } from './padding.ts';
import type { ResumeHash } from './saved-hash.ts';
import type { SessionDigest } from './session-digest.ts';
import { Slab, SMALL } from './slab.ts';

/**
 * Collects the frames that are to be written. Those that follow each other under the same key share an envelope,
 * small pieces share a buffer, large ones are passed on as they are. Keeps the session digest of what we send.
 */
export class EnvelopeWriter {
  readonly #keys: KeyPort | undefined;
  readonly #digest: SessionDigest;
  readonly #padding: Padding;
  readonly #limit: number;
  #output: Uint8Array[] = [];
  #outputBytes = 0;
  /** The key of the open envelope. */
  #key: SendKey | undefined;
  #plaintext: Uint8Array[] = [];
  #plaintextBytes = 0;
  /** Small pieces that belong to the list at hand and are not in it yet. */
  readonly #slab = new Slab();

  constructor(keys: KeyPort | undefined, digest: SessionDigest, padding: Padding) {
    this.#keys = keys;
    this.#digest = digest;
    this.#padding = padding;
    this.#limit = plaintextLimit(padding);
  }

  /** Bytes collected. */
  get bytes(): number {
    return this.#outputBytes + this.#plaintextBytes;
  }

  /** Generation of the envelope that the last frame went into; 0 outside. */
  get generation(): number {
    return this.#key?.generation ?? 0;
  }

  /** Adds a control frame. Throws SessionError if the key cannot seal. */
  control(keyId: number, frame: Uint8Array): void {
    this.#makeRoom(keyId, frame.length);
    this.#append(frame);
    if (keyId === CLEAR) this.#digest.update(frame);
  }

  /** Adds a DATA frame of at most an envelope. */
  data(keyId: number, head: Uint8Array, payload: Uint8Array | undefined): void {
    const size = head.length + (payload?.length ?? 0);
    this.#makeRoom(keyId, size);
    this.#reserve(size);
    this.#append(head);
    if (keyId === CLEAR) this.#digest.update(head);
    if (payload !== undefined) this.#append(payload);
  }

  /** The session digest before the frame of `size` bytes, or the envelope, that goes under `keyId` next (spec 3.5, 4.5). */
  digestBefore(keyId: number, size: number): Uint8Array {
    this.#makeRoom(keyId, size);
    return this.#digest.snapshot();
  }

  /** Sees that the peer hears of the key's present generation: seals an envelope under it, unless there was one. */
  announceGeneration(keyId: number): void {
    if (this.#keys?.sender(keyId)?.sealed !== 0 || this.#key?.keyId === keyId) return;
    this.#makeRoom(keyId, 0);
    this.endEnvelope();
  }

  /** Generation of the envelope that the frame of `size` bytes goes into which follows under `keyId`. */
  generationFor(keyId: number, size: number): number {
    this.#makeRoom(keyId, size);
    return this.generation;
  }

  /** Seals what is collected under a key. */
  endEnvelope(): void {
    const key = this.#key;
    if (key === undefined) return;
    // An envelope has a frame, if need be an empty PADDING.
    const least = this.#plaintextBytes === 0 ? HEAD_LENGTH : 0;
    const gap = least + paddingFor(this.#padding, this.#plaintextBytes + least);
    if (gap > 0) this.#append(encodeControl({ type: 'padding', length: gap - 8 }));
    this.#closePiece(this.#plaintext);
    const head = encodeSealedHead(key.keyId, key.generation, this.#plaintextBytes + TAG_LENGTH);
    const sealed = this.#seal(key, head, this.#plaintext);
    const size = head.length + this.#plaintextBytes + TAG_LENGTH;
    this.abandonEnvelope();
    this.#digest.update(head);
    this.#reserve(size);
    this.#append(head);
    for (const part of sealed) this.#append(part);
  }

  /** Forgets what is collected under a key. Only for a session that is over: the peer will miss it. */
  abandonEnvelope(): void {
    if (this.#key === undefined) return;
    this.#key = undefined;
    this.#plaintext = [];
    this.#plaintextBytes = 0;
    this.#slab.cut();
  }

  /** Hands out everything that was collected and is in no open envelope. */
  take(): Uint8Array[] {
    this.#closePiece(this.#output);
    const output = this.#output;
    this.#output = [];
    this.#outputBytes = 0;
    this.#slab.release();
    return output;
  }

  /**
   * Writes the digest, and what was handed out and not taken by the carrier, or not even handed out: envelopes that are sealed are sent as
   * they are, and never sealed again (rule R3).
   */
  save(writer: StateWriter, unsent: readonly Uint8Array[]): void {
    this.#digest.save(writer);
    writer.list([...unsent, ...this.#output], (piece) => writer.bytes(piece));
  }

  load(reader: StateReader, resume: ResumeHash | undefined): void {
    this.#digest.load(reader, resume);
    this.#output = [];
    this.#outputBytes = 0;
    reader.list(() => this.#append(reader.bytes()));
    this.#closePiece(this.#output);
  }

  /** Ends the open envelope if it belongs to another key or has no room for `size` bytes; opens one if need be. */
  #makeRoom(keyId: number, size: number): void {
    if (this.#key === undefined) {
      if (keyId !== CLEAR) this.#open(keyId);
    } else if (this.#key.keyId !== keyId || this.#plaintextBytes + size > this.#limit) {
      this.endEnvelope();
      if (keyId !== CLEAR) this.#open(keyId);
    }
  }

  #open(keyId: number): void {
    const key = this.#keys?.sender(keyId);
    if (key === undefined) throw cannotSeal(keyId);
    this.#closePiece(this.#output);
    this.#key = key;
    if (key.sealed === 0 && key.previousSealed) {
      this.#append(encodeControl({ type: 'key-update', count: key.previousSealed }));
    }
  }

  #seal(key: SendKey, head: Uint8Array, plaintext: readonly Uint8Array[]): Uint8Array[] {
    try {
      return key.seal(head, plaintext);
    } catch (error) {
      throw cannotSeal(key.keyId, error);
    }
  }

  /** Sees that pieces of `size` bytes together are copied to one place, if they are small: a writev of two entries costs more than a write of one. */
  #reserve(size: number): void {
    if (size > SMALL || this.#slab.fits(size)) return;
    this.#closePiece(this.#list);
    this.#slab.begin(size);
  }

  get #list(): Uint8Array[] {
    return this.#key === undefined ? this.#output : this.#plaintext;
  }

  #append(piece: Uint8Array): void {
    if (this.#key === undefined) this.#outputBytes += piece.length;
    else this.#plaintextBytes += piece.length;
    if (piece.length > SMALL) {
      this.#closePiece(this.#list);
      this.#list.push(piece);
      return;
    }
    this.#reserve(piece.length);
    this.#slab.add(piece);
  }

  #closePiece(list: Uint8Array[]): void {
    const piece = this.#slab.cut();
    if (piece !== undefined) list.push(piece);
  }
}
