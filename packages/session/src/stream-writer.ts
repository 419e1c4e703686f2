import {
  type ControlFrame,
  encodeControl,
  encodeDataHead,
  HeaderCompressor,
  type StateReader,
  type StateWriter,
} from '@keymux/frames';
import { CLEAR } from './control-binding.ts';
import { UNBOUND } from './direction.ts';
import type { EnvelopeWriter } from './envelope-writer.ts';
import { cannotProve } from './errors.ts';
import { bindDirection, removeIfOver, type SessionState } from './state.ts';
import type { Stream } from './stream.ts';
import { KEY_SWITCH_BYTES } from './switch-record.ts';

/** A SYN_STREAM or SYN_REPLY to be sent. */
export interface Opening {
  readonly type: 'syn-stream' | 'syn-reply';
  /** The plain header block. */
  readonly block: Uint8Array;
  readonly fin: boolean;
  readonly keyId: number;
  readonly unidirectional: boolean;
  readonly associatedId: number;
}

/**
 * Writes the frames of streams under the key that our direction is bound to (spec 4.2, 4.4), and keeps the record that
 * the peer checks KEY_SWITCH against (4.5). Header blocks are compressed here, in the order of the wire.
 */
export class StreamWriter {
  readonly #state: SessionState;
  readonly #writer: EnvelopeWriter;
  readonly #compressor = new HeaderCompressor();

  constructor(state: SessionState, writer: EnvelopeWriter) {
    this.#state = state;
    this.#writer = writer;
  }

  /** Writes SYN_STREAM or SYN_REPLY; the latter behind KEY_SWITCH where need be. Returns false if that is impossible. */
  open(stream: Stream, opening: Opening): boolean {
    if (!this.switchTo(stream, opening.keyId)) return false;
    const block = this.#compressed(stream, opening.block);
    if (opening.type === 'syn-stream') {
      const syn = this.frame(stream, synStream(stream, opening, block));
      if (this.#state.createHash !== undefined)
        stream.syn = { bytes: syn, generation: this.#writer.generation };
    } else {
      this.frame(stream, { type: 'syn-reply', streamId: stream.id, fin: opening.fin, block });
    }
    stream.started = true;
    if (opening.fin) {
      this.#state.emit({ type: 'drain', id: stream.id });
      this.#ended(stream);
    }
    return true;
  }

  headers(stream: Stream, plainBlock: Uint8Array): void {
    const block = this.#compressed(stream, plainBlock);
    this.frame(stream, { type: 'headers', streamId: stream.id, fin: false, block });
  }

  /** Writes a control frame of the stream; returns its bytes. */
  frame(stream: Stream, frame: ControlFrame): Uint8Array {
    const bytes = encodeControl(frame);
    this.#bindSilently(stream);
    this.#writer.control(stream.out.keyId, bytes);
    stream.out.noteFrame(bytes, this.#writer.generation, this.#state);
    return bytes;
  }

  /** Writes a DATA frame that fits an envelope. */
  data(stream: Stream, payload: Uint8Array, fin: boolean): void {
    const { out } = stream;
    const size = payload.length;
    const head = encodeDataHead(stream.id, fin, size);
    if (stream.payloadOutside) {
      this.#writer.data(CLEAR, head, payload);
      out.noteDataOutside(size);
    } else {
      this.#bindSilently(stream);
      this.#writer.data(out.keyId, head, payload);
      out.noteDataHead(head, size, this.#writer.generation, this.#state);
      out.notePayload(payload, this.#state);
    }
    if (fin) this.#ended(stream);
  }

  /** Ends our direction. */
  end(stream: Stream): void {
    if (!stream.payloadOutside) {
      this.data(stream, NO_PAYLOAD, true);
      return;
    }
    this.frame(stream, { type: 'stream-end', streamId: stream.id, total: stream.out.payload });
    this.#ended(stream);
  }

  /** Binds our direction to a key, with KEY_SWITCH where the peer could not know otherwise. Returns false if it cannot be. */
  switchTo(stream: Stream, keyId: number): boolean {
    const { out } = stream;
    if (out.keyId === keyId || (out.keyId === UNBOUND && keyId === stream.openedUnder)) return true;
    if (keyId === CLEAR || this.#state.keys?.sender(keyId) === undefined) return false;
    if (!stream.canSwitch(out, this.#state)) return false;
    const generation = this.#writer.generationFor(keyId, KEY_SWITCH_BYTES);
    const record = stream.switchRecord(out, { keyId, generation }, this.#state);
    if (record === undefined) throw cannotProve(stream.sendsUnder);
    this.#writer.control(keyId, encodeControl({ type: 'key-switch', streamId: stream.id, ...record }));
    bindDirection(this.#state, stream, out, keyId);
    out.switched(this.#writer.generation);
    return true;
  }

  save(writer: StateWriter): void {
    this.#compressor.save(writer);
  }

  load(reader: StateReader): void {
    this.#compressor.load(reader);
  }

  /** The first frame of a direction binds it to the key that the stream was opened under. */
  #bindSilently(stream: Stream): void {
    if (stream.out.keyId === UNBOUND) bindDirection(this.#state, stream, stream.out, stream.openedUnder);
  }

  #compressed(stream: Stream, block: Uint8Array): Uint8Array {
    return stream.sendsUnder === CLEAR ? this.#compressor.compress(block) : block;
  }

  #ended(stream: Stream): void {
    stream.out.ended = true;
    removeIfOver(this.#state, stream);
  }
}

function synStream(stream: Stream, opening: Opening, block: Uint8Array): ControlFrame {
  return {
    type: 'syn-stream',
    streamId: stream.id,
    associatedId: opening.associatedId,
    priority: stream.priority,
    slot: opening.keyId,
    fin: opening.fin,
    unidirectional: opening.unidirectional,
    payloadOutside: stream.payloadOutside,
    block,
  };
}

const NO_PAYLOAD = new Uint8Array(0);
