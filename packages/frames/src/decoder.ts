import { ChunkQueue } from './chunk-queue.ts';
import { Blocks, Joined } from './collect.ts';
import { HEAD_LENGTH, LIMITS, type Limits, SEALED_HEAD_LENGTH, TAG_LENGTH, TYPE } from './constants.ts';
import { badEnvelope, FrameError } from './errors.ts';
import type { ControlFrame, Place } from './frame.ts';
import { type ControlHead, type DataHead, judgeHead, type Rules } from './frame-head.ts';
import { parseControl } from './parse.ts';
import type { StateReader } from './state-reader.ts';
import type { StateWriter } from './state-writer.ts';

/** A whole control frame. */
export interface ControlItem {
  readonly kind: 'control';
  /** Byte fields in it are views into `bytes`. */
  readonly frame: ControlFrame;
  /** The frame as received, head included, contiguous. */
  readonly bytes: Uint8Array;
}

/** A fragment of a DATA frame. A frame without payload is one empty fragment. */
export interface DataItem {
  readonly kind: 'data';
  readonly streamId: number;
  /** The FIN flag of the frame, true only on its last fragment. */
  readonly fin: boolean;
  /** Payload bytes of the whole frame, as its head says. */
  readonly length: number;
  readonly first: boolean;
  readonly last: boolean;
  /** A view into a received chunk. */
  readonly payload: Uint8Array;
  /** The 8 bytes of the frame head, on the first fragment. */
  readonly head: Uint8Array | undefined;
}

/** A whole SEALED frame, still sealed. */
export interface SealedItem {
  readonly kind: 'sealed';
  readonly keyId: number;
  readonly generation: number;
  /** The first 10 bytes as received: frame head, key ID, generation. They are authenticated (4.1). */
  readonly head: Uint8Array;
  /** Ciphertext, then tag. */
  readonly body: Uint8Array;
}

export type Item = ControlItem | DataItem | SealedItem;

export interface DecoderOptions {
  readonly place: Place;
  /** Whether this receiver announced keymux (2.6). Inside an envelope it must have. */
  readonly sealed?: boolean;
  /** Stricter limits than those of spec 1.7. */
  readonly limits?: Partial<Limits>;
  /**
   * Chunks are only lent: they may change once `keep` was called, and with them DATA payload that was handed out. A SEALED body is lent until
   * the next call of anything here. Everything else is copied.
   */
  readonly lent?: boolean;
}

/**
 * Cuts received bytes into frames (spec chapter 1). `push` what arrives, then call `next` until it has no more.
 *
 *     idle -- head judged --> data(remaining) -- fragments as they come --------> idle
 *                         --> control         -- all bytes there, parsed -------> idle
 *                         --> sealed          -- all bytes there ---------------> idle
 *          -- FrameError of scope `session`, in any state --> failed: every `next` throws it again
 *
 * A decoder of place `inside` may serve one envelope after the other. Push the whole plaintext of an envelope
 * before the first `next`, else a frame behind PADDING is not seen to be in the same envelope; then, with `next`
 * exhausted, `midFrame` says whether a frame was cut off by the end of the envelope.
 */
export class FrameDecoder {
  readonly #rules: Rules;
  readonly #lent: boolean;
  readonly #queue = new ChunkQueue();
  #pending: Pending | undefined;
  #failure: FrameError | undefined;
  /** What the body was collected in that was handed out last. */
  #handedOut: Joined | undefined;

  constructor(options: DecoderOptions) {
    const { place, sealed = false, limits, lent = false } = options;
    this.#lent = lent;
    this.#rules = { place, keymux: sealed || place !== 'outside', limits: { ...LIMITS, ...limits } };
  }

  /** Takes over `chunk`, or borrows it: views into it are handed out. Unless it is `lent`, it must not change any more. */
  push(chunk: Uint8Array): void {
    if (!this.#failure) this.#queue.push(chunk);
  }

  /** Copies what waits of chunks that are only lent. */
  keep(): void {
    this.#queue.keep();
  }

  /** The next item; undefined until more bytes are pushed. */
  next(): Item | undefined {
    if (this.#failure) throw this.#failure;
    this.#handedOut?.release();
    this.#handedOut = undefined;
    try {
      return this.#next();
    } catch (error) {
      if (error instanceof FrameError) this.#fail(error);
      throw error;
    }
  }

  /** Bytes pushed and not yet handed out. */
  get buffered(): number {
    const pending = this.#pending;
    if (!pending || pending.kind === 'data') return this.#queue.length;
    const head = pending.kind === 'sealed' && pending.bytes ? SEALED_HEAD_LENGTH : 0;
    return this.#queue.length + head + (pending.collected?.filled ?? 0);
  }

  /** True if the bytes so far end inside a frame: at the end of a carrier or of an envelope, that is an error. */
  get midFrame(): boolean {
    return this.#pending !== undefined || this.#queue.length > 0;
  }

  /** Writes what was pushed and not handed out. Not after an error. */
  save(writer: StateWriter): void {
    const pending = this.#pending;
    const data = pending?.kind === 'data' ? pending : undefined;
    writer.optional(data, ({ bytes, remaining }) => {
      writer.raw(bytes);
      writer.u32(remaining);
    });
    // Of other frames nothing has been handed out: they begin again with their first byte.
    writer.list(this.#waiting(), (piece) => writer.bytes(piece));
  }

  /** Goes on where the decoder stood that was saved. To be called on a new one of the same place. */
  load(reader: StateReader): void {
    this.#pending = reader.optional(() => this.#loadData(reader));
    reader.list(() => this.#queue.push(reader.bytes()));
  }

  #loadData(reader: StateReader): PendingData {
    const bytes = reader.raw(HEAD_LENGTH);
    const head = judgeHead(bytes, this.#rules);
    if (head.kind !== 'data') throw reader.malformed('payload of a control frame');
    const remaining = reader.u32(head.length);
    if (remaining === 0) throw reader.malformed('a frame that is over is going on');
    return { kind: 'data', head, bytes, remaining };
  }

  /** The bytes before the next item, or of it, in order. */
  *#waiting(): Iterable<Uint8Array> {
    const pending = this.#pending;
    if (pending?.kind === 'sealed' && pending.bytes) yield pending.bytes;
    if (pending && pending.kind !== 'data' && pending.collected) yield pending.collected.bytes;
    yield* this.#queue.pieces();
  }

  #next(): Item | undefined {
    this.#pending ??= this.#begin();
    switch (this.#pending?.kind) {
      case undefined:
        return undefined;
      case 'data':
        return this.#nextFragment(this.#pending);
      case 'control':
        return this.#nextControl(this.#pending);
      case 'sealed':
        return this.#nextSealed(this.#pending);
    }
  }

  #begin(): Pending | undefined {
    if (this.#queue.length < HEAD_LENGTH) return undefined;
    const bytes = this.#contiguous(HEAD_LENGTH) ?? this.#queue.copy(HEAD_LENGTH);
    const head = judgeHead(bytes, this.#rules);
    if (head.kind === 'data') {
      this.#queue.skip(HEAD_LENGTH);
      return { kind: 'data', head, bytes, remaining: head.length };
    }
    const isSealed = head.known && head.code === TYPE.SEALED;
    return { kind: isSealed ? 'sealed' : 'control', head, collected: undefined };
  }

  #nextFragment(pending: PendingData): DataItem | undefined {
    const { streamId, fin, length } = pending.head;
    const first = pending.remaining === length;
    const payload = this.#queue.takeSome(pending.remaining);
    if (payload.length === 0 && length > 0) return undefined;
    pending.remaining -= payload.length;
    const last = pending.remaining === 0;
    if (last) this.#pending = undefined;
    const head = first ? pending.bytes : undefined;
    return { kind: 'data', streamId, fin: fin && last, length, first, last, payload, head };
  }

  #nextControl(pending: PendingControl): ControlItem | undefined {
    const bytes = this.#wholeFrame(pending);
    if (!bytes) return undefined;
    this.#pending = undefined;
    const frame = parseControl(pending.head, bytes, this.#rules.place);
    if (frame.type === 'padding' && this.#queue.length > 0) {
      throw badEnvelope('PADDING is not the last frame of its envelope');
    }
    return { kind: 'control', frame, bytes };
  }

  /** The control frame in one piece. */
  #wholeFrame(pending: PendingControl): Uint8Array | undefined {
    const total = HEAD_LENGTH + pending.head.length;
    const bytes = pending.collected ? undefined : this.#contiguous(total);
    if (bytes) {
      this.#queue.skip(total);
      return bytes;
    }
    pending.collected ??= new Joined(total);
    return this.#collect(pending.collected) ? pending.collected.bytes : undefined;
  }

  /** The next bytes for as long as anybody wants them, not consumed: a view if that will not change, a copy if it may; undefined if they are not all in one chunk. */
  #contiguous(length: number): Uint8Array | undefined {
    const view = this.#queue.view(length);
    return this.#lent && view ? new Uint8Array(view) : view; // `slice` of a Buffer is no copy
  }

  #nextSealed(pending: PendingSealed): SealedItem | undefined {
    if (!pending.bytes) {
      if (this.#queue.length < SEALED_HEAD_LENGTH) return undefined;
      pending.bytes = this.#queue.copy(SEALED_HEAD_LENGTH);
      this.#queue.skip(SEALED_HEAD_LENGTH);
    }
    const body = this.#wholeBody(pending);
    if (!body) return undefined;
    this.#pending = undefined;
    const head = pending.bytes;
    const keyId = head[HEAD_LENGTH] as number;
    const generation = head[HEAD_LENGTH + 1] as number;
    return { kind: 'sealed', keyId, generation, head, body };
  }

  /** The body in one piece: a view if one chunk holds it, else a copy. */
  #wholeBody(pending: PendingSealed): Uint8Array | undefined {
    const length = pending.head.length - 2;
    const view = pending.collected ? undefined : this.#queue.view(length);
    if (view) {
      this.#queue.skip(length);
      return view;
    }
    pending.collected ??= new Joined(length, this.#lent ? BLOCKS : undefined);
    if (!this.#collect(pending.collected)) return undefined;
    this.#handedOut = pending.collected;
    return pending.collected.bytes;
  }

  /** Moves waiting bytes into `collected`; true once nothing is missing. */
  #collect(collected: Joined): boolean {
    while (collected.missing > 0 && this.#queue.length > 0) {
      collected.add(this.#queue.takeSome(collected.missing));
    }
    return collected.missing === 0;
  }

  /** After an error, where the next frame begins is not known or does not matter any more. */
  #fail(error: FrameError): void {
    this.#failure = error;
    this.#pending = undefined;
    this.#queue.clear();
  }
}

/** For bodies of the largest envelopes, of all decoders. */
const BLOCKS = new Blocks(LIMITS.sealedPlaintext + TAG_LENGTH);

/** A frame whose head has been judged and whose rest is still to be handed out. */
type Pending = PendingData | PendingControl | PendingSealed;

interface PendingData {
  readonly kind: 'data';
  readonly head: DataHead;
  readonly bytes: Uint8Array;
  remaining: number;
}

interface PendingControl {
  readonly kind: 'control';
  readonly head: ControlHead;
  collected: Joined | undefined;
}

interface PendingSealed {
  readonly kind: 'sealed';
  readonly head: ControlHead;
  bytes?: Uint8Array;
  collected: Joined | undefined;
}
