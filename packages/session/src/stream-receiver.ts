import {
  type DataItem,
  FLAG_FIN,
  FrameError,
  HeaderDecompressor,
  type KeySwitch,
  type StateReader,
  type StateWriter,
  type SynStream,
} from '@keymux/frames';
import { CLEAR, placeOf } from './control-binding.ts';
import { UNBOUND } from './direction.ts';
import { keyFailure, overload, StreamError } from './errors.ts';
import type { KeyInfo } from './key-port.ts';
import { keepsLevel } from './levels.ts';
import type { Sender } from './sender.ts';
import { bindDirection, type SessionState } from './state.ts';
import type { Stream } from './stream.ts';
import { type StreamFrame, StreamHandler } from './stream-handler.ts';
import { sameRecord } from './switch-record.ts';

/**
 * Receives the frames of streams: sees that each comes under the key its direction is bound to (spec 4.4), keeps the record for
 * KEY_SWITCH (4.5), decompresses header blocks, and resets streams whose frames are wrong. What frames do is for StreamHandler.
 */
export class StreamReceiver {
  readonly #state: SessionState;
  readonly #sender: Sender;
  readonly #handler: StreamHandler;
  readonly #decompressor = new HeaderDecompressor();

  constructor(state: SessionState, sender: Sender) {
    this.#state = state;
    this.#sender = sender;
    this.#handler = new StreamHandler(state, sender);
  }

  /** Handles a control frame. Throws SessionError; errors of the stream alone reset it. */
  control(frame: StreamFrame, bytes: Uint8Array, key: KeyInfo | undefined): void {
    // A clear header block must pass the decompressor whatever becomes of the stream, or the next one is garbage.
    const block = 'block' in frame ? this.#plain(frame.block, key) : NO_BLOCK;
    const stream = frame.type === 'syn-stream' ? undefined : this.#admitted(frame, bytes, key);
    if (frame.type === 'syn-stream') this.#limitRefusals();
    try {
      if (frame.type === 'syn-stream') this.#handler.synStream(frame, block, bytes, key);
      else if (stream !== undefined) this.#handler.control(stream, frame, block, key);
    } catch (error) {
      this.#resetFor(error, frame.streamId, key);
    }
  }

  /** Handles a piece of DATA. The session window is the caller's business. */
  data(item: DataItem, key: KeyInfo | undefined): void {
    const stream = this.#known(item.streamId);
    if (stream === undefined) {
      if (item.first) this.#strayData(item, key);
      return;
    }
    if (item.head !== undefined) this.#enterData(stream, item.head, item.length, key);
    stream.in.notePayload(item.payload, this.#state);
    try {
      this.#handler.data(stream, item, key === undefined);
    } catch (error) {
      this.#resetFor(error, item.streamId, key);
    }
  }

  /** Handles KEY_SWITCH of a stream (spec 4.5). It is ignored if the stream was reset while it was on its way. */
  switchTo(frame: KeySwitch, key: KeyInfo | undefined): void {
    const stream = this.#known(frame.streamId);
    // There and back again is work without end.
    if (stream === undefined || stream.in.switches > 0) this.#state.accounts.spend('idle', this.#state.now);
    if (stream === undefined) return;
    if (key === undefined || !this.#maySwitch(stream, frame, key)) {
      throw keyFailure(
        `KEY_SWITCH: frames of stream ${stream.id} were lost, added or changed on the way, or its sender does not hold the key before`,
      );
    } else if (!keepsLevel(this.#state.keys, stream.receivesUnder, key)) {
      throw keyFailure(`KEY_SWITCH: stream ${stream.id} would go on under a key that proves less`);
    } else if (key.early && !stream.ours) {
      this.#resetFor(EARLY_SWITCH(), stream.id, key);
    } else {
      bindDirection(this.#state, stream, stream.in, key.keyId);
      stream.in.switched(key.generation);
      this.#state.emit({ type: 'switched', id: stream.id, key });
    }
  }

  save(writer: StateWriter): void {
    this.#decompressor.save(writer);
  }

  load(reader: StateReader): void {
    this.#decompressor.load(reader);
  }

  #maySwitch(stream: Stream, frame: KeySwitch, key: KeyInfo): boolean {
    const direction = stream.in;
    if (direction.keyId === key.keyId || !stream.canSwitch(direction, this.#state)) return false;
    const record = stream.switchRecord(direction, key, this.#state);
    return record !== undefined && sameRecord(frame, record);
  }

  /** The stream, if both sides can know of it: one of ours whose SYN_STREAM has not gone yet is unknown (spec 2.2). */
  #known(streamId: number): Stream | undefined {
    const stream = this.#state.streams.get(streamId);
    return stream?.ours && !stream.started ? undefined : stream;
  }

  #plain(block: Uint8Array, key: KeyInfo | undefined): Uint8Array {
    return key === undefined ? this.#decompressor.decompress(block) : block;
  }

  /** Streams that are refused are forgotten at once, but the answers are not: a peer that does not read must stop (rule R5). */
  #limitRefusals(): void {
    const { maxConcurrentStreams, budgets } = this.#state.config;
    if (this.#sender.pendingResets > maxConcurrentStreams + budgets.resets.burst) {
      throw overload('the peer opens streams and does not read that they are over');
    }
  }

  /** The stream that a control frame is for, with the frame on record; undefined if it was reset while this was on its way. */
  #admitted(
    { type, streamId }: Exclude<StreamFrame, SynStream>,
    bytes: Uint8Array,
    key: KeyInfo | undefined,
  ): Stream | undefined {
    const stream = this.#known(streamId);
    if (stream === undefined) {
      // Many peers give back the window of the last payload too, when the stream is over.
      this.#state.accounts.spend(type === 'window-update' ? 'windowUpdates' : 'idle', this.#state.now);
      return undefined;
    }
    this.#admit(stream, key);
    stream.in.noteFrame(bytes, key?.generation ?? 0, this.#state);
    return stream;
  }

  #enterData(stream: Stream, head: Uint8Array, length: number, key: KeyInfo | undefined): void {
    if (!stream.payloadOutside) {
      this.#admit(stream, key);
      stream.in.noteDataHead(head, length, key?.generation ?? 0, this.#state);
      return;
    }
    const fin = ((head[4] as number) & FLAG_FIN) !== 0;
    if (key !== undefined || fin || stream.in.ended) {
      throw keyFailure(`DATA of stream ${stream.id} inside an envelope, with FIN, or after STREAM_END`);
    }
    stream.in.noteDataOutside(length);
  }

  /** A frame must come where the peer's direction is bound to (spec 4.4); anything else is an attack. */
  #admit(stream: Stream, key: KeyInfo | undefined): void {
    const keyId = key?.keyId ?? CLEAR;
    const direction = stream.in;
    if (direction.keyId === keyId) return;
    if (direction.keyId !== UNBOUND || keyId !== stream.openedUnder) {
      const bound = direction.keyId === UNBOUND ? stream.openedUnder : direction.keyId;
      throw keyFailure(
        `a frame of stream ${stream.id} ${placeOf(keyId)}; that direction travels ${placeOf(bound)}`,
      );
    }
    bindDirection(this.#state, stream, direction, keyId);
  }

  /** DATA for a stream that we have forgotten is ignored; for one that never was, answered (SPDY/3.1, 2.2.2). */
  #strayData(item: DataItem, key: KeyInfo | undefined): void {
    const { role, lastPeerStreamId, accounts, now } = this.#state;
    const theirs = (item.streamId % 2 === 1) === (role === 'server');
    if (theirs && item.streamId > lastPeerStreamId) this.#resetFor(NO_STREAM(), item.streamId, key);
    else if (item.length === 0) accounts.spend('idle', now);
  }

  /** Resets a stream for an error that concerns only it, at the peer's cost; throws any other. */
  #resetFor(error: unknown, streamId: number, key: KeyInfo | undefined): void {
    if (!isOfStream(error)) throw error;
    this.#state.accounts.spend('resets', this.#state.now);
    const stream = this.#state.streams.get(streamId);
    if (stream !== undefined) this.#sender.reset(stream, error.status);
    else this.#sender.refuse(streamId, key?.keyId ?? CLEAR, error.status);
  }
}

function isOfStream(error: unknown): error is StreamError | FrameError {
  return error instanceof StreamError || (error instanceof FrameError && error.scope === 'stream');
}

const NO_BLOCK = new Uint8Array(0);

/** The rule on methods has not seen the request as early data, which may be a replay (spec 3.7). */
const EARLY_SWITCH = (): StreamError =>
  new StreamError('ERR_KEYMUX_EARLY', 'a request was switched to an early key');

const NO_STREAM = (): StreamError =>
  new StreamError('ERR_KEYMUX_NO_STREAM', 'DATA for a stream that was never opened');
