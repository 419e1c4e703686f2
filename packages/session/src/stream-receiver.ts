import {
  type DataItem,
  decodeHeaderBlock,
  FrameError,
  HeaderDecompressor,
  type HeaderList,
  type Headers,
  RST,
  type RstStream,
  type StreamEnd,
  type SynReply,
  type SynStream,
  type WindowUpdate,
} from '@keymux/frames';
import { keyFailure, protocolError, StreamError } from './errors.ts';
import type { KeyInfo } from './key-port.ts';
import type { Sender } from './sender.ts';
import { addStream, bindDirection, removeIfOver, removeStream, type SessionState } from './state.ts';
import { CLEAR, type Stream, UNBOUND } from './stream.ts';

export type StreamFrame = SynStream | SynReply | Headers | RstStream | WindowUpdate | StreamEnd;

/** Handles received frames of streams: their states, bindings, windows and limits (spec 2.2 to 2.5, 4.4, 4.6). */
export class StreamReceiver {
  readonly #state: SessionState;
  readonly #sender: Sender;
  readonly #decompressor = new HeaderDecompressor();

  constructor(state: SessionState, sender: Sender) {
    this.#state = state;
    this.#sender = sender;
  }

  /** Handles a control frame of a stream. Throws SessionError; errors of the stream alone reset it. */
  control(frame: StreamFrame, bytes: Uint8Array, key: KeyInfo | undefined): void {
    // A clear header block must pass the decompressor whatever becomes of the stream, or the next one is garbage.
    const block =
      'block' in frame && key === undefined ? this.#decompressor.decompress(frame.block) : undefined;
    if (frame.type === 'syn-stream') {
      this.#guard(frame.streamId, key, () => this.#synStream(frame, block ?? frame.block, bytes, key));
      return;
    }
    const stream = this.#state.streams.get(frame.streamId);
    if (stream === undefined) {
      // The stream may have been reset while this was on its way.
      this.#state.accounts.spend('idle', this.#state.now);
      return;
    }
    this.#admit(stream, key);
    this.#record(stream, bytes, key);
    this.#guard(frame.streamId, key, () => this.#dispatch(stream, frame, block, key));
  }

  /** Handles a piece of DATA. The session window is the caller's business. */
  data(item: DataItem, key: KeyInfo | undefined): void {
    const stream = this.#state.streams.get(item.streamId);
    if (stream === undefined) {
      if (item.first) this.#strayData(item, key);
      return;
    }
    if (!stream.payloadOutside) this.#admit(stream, key);
    else if (key !== undefined || item.fin)
      throw keyFailure(`DATA of stream ${stream.id} inside an envelope, or with FIN`);
    if (item.head !== undefined) this.#recordData(stream, item, key);
    this.#hashPayload(stream, item.payload);
    this.#guard(item.streamId, key, () => this.#acceptData(stream, item));
  }

  /** Runs a handler; an error that concerns only the stream resets the stream and costs the peer a token. */
  #guard(streamId: number, key: KeyInfo | undefined, handle: () => void): void {
    try {
      handle();
    } catch (error) {
      const ofStream =
        error instanceof StreamError || (error instanceof FrameError && error.scope === 'stream');
      if (!ofStream) throw error;
      this.#state.accounts.spend('resets', this.#state.now);
      this.#refuse(streamId, error.status, key);
    }
  }

  #refuse(streamId: number, status: number, key: KeyInfo | undefined): void {
    const stream = this.#state.streams.get(streamId);
    const ghost = stream ?? this.#ghost(streamId, key);
    this.#sender.stream(ghost, { type: 'rst-stream', streamId, status });
    if (stream === undefined) return;
    this.#state.emit({ type: 'reset', id: streamId, status, origin: 'local' });
    removeStream(this.#state, stream);
  }

  /** A record just good enough to answer a stream that was never entered. */
  #ghost(streamId: number, key: KeyInfo | undefined): Stream {
    const stream = addStream(this.#state, {
      id: streamId,
      ours: false,
      priority: 0,
      payloadOutside: false,
      openedUnder: key?.keyId ?? CLEAR,
      syn: undefined,
    });
    this.#state.streams.delete(streamId);
    this.#state.peerStreams--;
    return stream;
  }

  #synStream(frame: SynStream, block: Uint8Array, bytes: Uint8Array, key: KeyInfo | undefined): void {
    const state = this.#state;
    const { streamId } = frame;
    if ((streamId % 2 === 1) !== (state.role === 'server'))
      throw protocolError(`SYN_STREAM with our own parity: ${streamId}`);
    if (streamId <= state.lastPeerStreamId)
      throw protocolError(`SYN_STREAM ${streamId} after ${state.lastPeerStreamId}`);
    state.lastPeerStreamId = streamId;
    if (state.keys !== undefined && frame.slot !== (key?.keyId ?? CLEAR)) {
      if (key !== undefined)
        throw keyFailure(`SYN_STREAM ${streamId} names key ${frame.slot} under key ${key.keyId}`);
      throw new StreamError('ERR_KEYMUX_SLOT', RST.PROTOCOL_ERROR, 'a clear SYN_STREAM names a key');
    }
    if (frame.payloadOutside && (key === undefined || frame.fin))
      throw keyFailure('PAYLOAD_OUTSIDE in the clear, or with FIN');
    const headers = decodeHeaderBlock(block);
    if (state.draining) throw new StreamError('ERR_KEYMUX_REFUSED', RST.REFUSED_STREAM, 'going away');
    if (state.peerStreams >= state.config.maxConcurrentStreams) {
      throw new StreamError('ERR_KEYMUX_REFUSED', RST.REFUSED_STREAM, 'too many concurrent streams');
    }
    if (key?.early && !state.config.acceptEarly(headers)) {
      throw new StreamError('ERR_KEYMUX_EARLY', RST.REFUSED_STREAM, 'not acceptable as early data');
    }
    const stream = addStream(state, {
      id: streamId,
      ours: false,
      priority: frame.priority,
      payloadOutside: frame.payloadOutside,
      openedUnder: key?.keyId ?? CLEAR,
      syn: state.createHash && bytes,
    });
    bindDirection(state, stream, stream.in, stream.openedUnder);
    this.#record(stream, bytes, key);
    if (frame.unidirectional) stream.out.ended = true;
    const { priority, associatedId, unidirectional, payloadOutside } = frame;
    state.emit({
      type: 'stream',
      id: streamId,
      headers,
      priority,
      associatedId,
      unidirectional,
      payloadOutside,
      key,
    });
    if (frame.fin) this.#endIn(stream);
  }

  #dispatch(
    stream: Stream,
    frame: Exclude<StreamFrame, SynStream>,
    block: Uint8Array | undefined,
    key: KeyInfo | undefined,
  ): void {
    switch (frame.type) {
      case 'syn-reply':
        this.#synReply(stream, frame, decodeHeaderBlock(block ?? frame.block), key);
        return;
      case 'headers':
        this.#headers(stream, frame, decodeHeaderBlock(block ?? frame.block), key);
        return;
      case 'rst-stream':
        this.#rstStream(stream, frame);
        return;
      case 'window-update':
        this.#windowUpdate(stream, frame);
        return;
      case 'stream-end':
        this.#streamEnd(stream, frame);
    }
  }

  #synReply(stream: Stream, frame: SynReply, headers: HeaderList, key: KeyInfo | undefined): void {
    if (!stream.ours) throw protocolError(`SYN_REPLY for the peer's own stream ${stream.id}`);
    if (stream.replied)
      throw new StreamError('ERR_KEYMUX_STREAM_IN_USE', RST.STREAM_IN_USE, 'a second SYN_REPLY');
    this.#requireOpen(stream);
    this.#forbidFin(stream, frame.fin);
    stream.replied = true;
    this.#state.emit({ type: 'reply', id: stream.id, headers, key });
    if (frame.fin) this.#endIn(stream);
  }

  #headers(stream: Stream, frame: Headers, headers: HeaderList, key: KeyInfo | undefined): void {
    this.#state.accounts.spend('idle', this.#state.now);
    this.#requireOpen(stream);
    this.#requireReply(stream);
    this.#forbidFin(stream, frame.fin);
    this.#state.emit({ type: 'headers', id: stream.id, headers, key });
    if (frame.fin) this.#endIn(stream);
  }

  #rstStream(stream: Stream, frame: RstStream): void {
    if (!stream.ours) this.#state.accounts.spend('resets', this.#state.now);
    this.#state.emit({ type: 'reset', id: stream.id, status: frame.status, origin: 'remote' });
    removeStream(this.#state, stream);
  }

  #windowUpdate(stream: Stream, frame: WindowUpdate): void {
    this.#state.accounts.spend('windowUpdates', this.#state.now);
    if (!stream.sendWindow.grant(frame.delta)) {
      throw new StreamError('ERR_KEYMUX_FLOW_CONTROL', RST.FLOW_CONTROL_ERROR, 'the window exceeds 2^31 - 1');
    }
    this.#sender.wake(stream);
  }

  #streamEnd(stream: Stream, frame: StreamEnd): void {
    if (!stream.payloadOutside || stream.in.ended)
      throw keyFailure(`STREAM_END for stream ${stream.id}, which has none`);
    if (frame.total !== stream.in.payload) {
      throw keyFailure(
        `stream ${stream.id}: ${stream.in.payload} bytes arrived of ${frame.total} that were sent`,
      );
    }
    this.#endIn(stream);
  }

  #acceptData(stream: Stream, item: DataItem): void {
    if (item.first) {
      this.#requireOpen(stream);
      this.#requireReply(stream);
      if (item.length === 0 && !item.fin) this.#state.accounts.spend('idle', this.#state.now);
      if (!stream.receiveWindow.receive(item.length)) {
        throw new StreamError(
          'ERR_KEYMUX_FLOW_CONTROL',
          RST.FLOW_CONTROL_ERROR,
          'the peer exceeded the stream window',
        );
      }
    }
    if (item.payload.length > 0) this.#state.emit({ type: 'data', id: stream.id, payload: item.payload });
    if (item.fin) this.#endIn(stream);
  }

  #endIn(stream: Stream): void {
    stream.in.ended = true;
    this.#state.emit({ type: 'end', id: stream.id });
    removeIfOver(this.#state, stream);
  }

  /** A frame of a stream must come where the peer's direction is bound to (spec 4.4); anything else is an attack. */
  #admit(stream: Stream, key: KeyInfo | undefined): void {
    const keyId = key?.keyId ?? CLEAR;
    const direction = stream.in;
    if (direction.keyId === keyId) return;
    if (direction.keyId !== UNBOUND || keyId !== stream.openedUnder) {
      throw keyFailure(
        `a frame of stream ${stream.id} under key ${keyId}; that direction is bound to ${direction.keyId}`,
      );
    }
    bindDirection(this.#state, stream, direction, keyId);
  }

  #record(stream: Stream, bytes: Uint8Array, key: KeyInfo | undefined): void {
    stream.in.frames++;
    stream.in.generation = key?.generation ?? 0;
    if (key === undefined && stream.in.clearPayload <= this.#state.switchLimit) {
      stream.in.hash(bytes, this.#state.createHash);
    }
  }

  #recordData(stream: Stream, item: DataItem, key: KeyInfo | undefined): void {
    const direction = stream.in;
    direction.frames++;
    direction.payload += item.length;
    if (key !== undefined) direction.generation = key.generation;
    if (direction.keyId !== CLEAR || item.head === undefined) return;
    direction.clearPayload += item.length;
    if (direction.clearPayload > this.#state.switchLimit) direction.clearHash = undefined;
    else direction.hash(item.head, this.#state.createHash);
  }

  #hashPayload(stream: Stream, payload: Uint8Array): void {
    const direction = stream.in;
    if (direction.keyId === CLEAR && direction.clearPayload <= this.#state.switchLimit) {
      direction.hash(payload, this.#state.createHash);
    }
  }

  /** DATA for a stream that we have forgotten is ignored; for one that never was, answered (SPDY/3.1, 2.2.2). */
  #strayData(item: DataItem, key: KeyInfo | undefined): void {
    const { role, lastPeerStreamId, accounts, now } = this.#state;
    if (item.length === 0) accounts.spend('idle', now);
    const theirs = (item.streamId % 2 === 1) === (role === 'server');
    if (theirs && item.streamId > lastPeerStreamId) this.#refuse(item.streamId, RST.INVALID_STREAM, key);
  }

  #requireOpen(stream: Stream): void {
    if (stream.in.ended)
      throw new StreamError('ERR_KEYMUX_STREAM_CLOSED', RST.STREAM_ALREADY_CLOSED, 'a frame after FIN');
  }

  #requireReply(stream: Stream): void {
    if (stream.ours && !stream.replied)
      throw new StreamError('ERR_KEYMUX_NO_REPLY', RST.PROTOCOL_ERROR, 'no SYN_REPLY yet');
  }

  #forbidFin(stream: Stream, fin: boolean): void {
    if (fin && stream.payloadOutside)
      throw keyFailure(`FIN on stream ${stream.id}, which ends with STREAM_END`);
  }
}
