import {
  type DataItem,
  decodeHeaderBlock,
  type HeaderList,
  type Headers,
  type RstStream,
  type StreamEnd,
  type SynReply,
  type SynStream,
  type WindowUpdate,
} from '@keymux/frames';
import { CLEAR } from './control-binding.ts';
import { keyFailure, protocolError, StreamError } from './errors.ts';
import type { KeyInfo } from './key-port.ts';
import type { Sender } from './sender.ts';
import { addStream, bindDirection, removeIfOver, removeStream, type SessionState } from './state.ts';
import type { Stream } from './stream.ts';
import { enlarge } from './window-growth.ts';

export type StreamFrame = SynStream | SynReply | Headers | RstStream | WindowUpdate | StreamEnd;

/**
 * What received frames do to streams: states, windows and limits (spec 2.2 to 2.5, 4.6). Where they came was checked
 * before. Errors of one stream are thrown as StreamError or FrameError, of the session as SessionError.
 */
export class StreamHandler {
  readonly #state: SessionState;
  readonly #sender: Sender;

  constructor(state: SessionState, sender: Sender) {
    this.#state = state;
    this.#sender = sender;
  }

  /**
   * A stream that the peer opens.
   *
   * @param block the plain header block
   * @param bytes the whole frame
   */
  synStream(frame: SynStream, block: Uint8Array, bytes: Uint8Array, key: KeyInfo | undefined): void {
    const state = this.#state;
    const { streamId: id, priority, associatedId, unidirectional, payloadOutside } = frame;
    this.#enterId(id);
    this.#checkSealing(frame, key);
    const headers = decodeHeaderBlock(block);
    this.#checkWelcome(headers, key);
    const openedUnder = key?.keyId ?? CLEAR;
    // A copy: `bytes` is a view that would keep a whole chunk alive as long as the stream.
    const syn = state.createHash && { bytes: new Uint8Array(bytes), generation: key?.generation ?? 0 };
    const stream = addStream(state, { id, ours: false, priority, payloadOutside, openedUnder, syn });
    this.#holdHeaders(stream, headers);
    bindDirection(state, stream, stream.in, openedUnder);
    stream.in.noteFrame(bytes, key?.generation ?? 0, state);
    if (unidirectional) stream.out.ended = true;
    state.emit({
      type: 'stream',
      id,
      headers,
      priority,
      associatedId,
      unidirectional,
      payloadOutside,
      key,
    });
    if (frame.fin) this.#endIn(stream);
    // With its payload outside, the answer could no longer travel under another key (spec 4.5); it waits for SYN_REPLY.
    else if (!payloadOutside) enlarge(state, this.#sender, stream);
  }

  /** @param block the plain header block of a frame that has one */
  control(
    stream: Stream,
    frame: Exclude<StreamFrame, SynStream>,
    block: Uint8Array,
    key: KeyInfo | undefined,
  ): void {
    switch (frame.type) {
      case 'syn-reply':
        this.#synReply(stream, frame, block, key);
        return;
      case 'headers':
        this.#headers(stream, frame, block, key);
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

  /** @param lent as in the event */
  data(stream: Stream, item: DataItem, lent: boolean): void {
    if (item.first) this.#enterData(stream, item.length, item.fin);
    const { payload } = item;
    if (payload.length > 0) {
      stream.unconsumed += payload.length;
      this.#state.unconsumed += payload.length;
      this.#state.growth?.received(stream.receiveWindow, this.#state.now);
      this.#state.emit({ type: 'data', id: stream.id, payload, lent });
    }
    if (item.fin) this.#endIn(stream);
  }

  #enterId(streamId: number): void {
    const state = this.#state;
    if ((streamId % 2 === 1) !== (state.role === 'server'))
      throw protocolError(`SYN_STREAM with our own parity: ${streamId}`);
    if (streamId <= state.lastPeerStreamId)
      throw protocolError(`SYN_STREAM ${streamId} after ${state.lastPeerStreamId}`);
    state.lastPeerStreamId = streamId;
  }

  /** The slot names the key of the envelope (spec 4.4); only a sealed stream can have its payload outside (4.6). */
  #checkSealing(frame: SynStream, key: KeyInfo | undefined): void {
    const { streamId, slot, payloadOutside, fin } = frame;
    if (key !== undefined && slot !== key.keyId)
      throw keyFailure(`SYN_STREAM ${streamId} names key ${slot} under key ${key.keyId}`);
    if (payloadOutside && (key === undefined || fin || this.#state.fronted))
      throw keyFailure('PAYLOAD_OUTSIDE in the clear, with FIN, or behind a front');
    if (key === undefined && slot !== CLEAR && this.#state.keys !== undefined)
      throw new StreamError('ERR_KEYMUX_SLOT', 'a clear SYN_STREAM names a key');
  }

  #checkWelcome(headers: HeaderList, key: KeyInfo | undefined): void {
    const { draining, retiredKeys, peerStreams, config } = this.#state;
    if (draining) throw refused('going away');
    if (key !== undefined && retiredKeys.has(key.keyId)) throw refused('the key is retired');
    if (peerStreams >= config.maxConcurrentStreams) throw refused('too many concurrent streams');
    if (!this.#roomFor(headers)) throw refused('too many headers are held');
    if (key?.early && (key.mayRepeat || !config.acceptEarly(headers)))
      throw refused('not acceptable as early data');
  }

  #synReply(stream: Stream, frame: SynReply, block: Uint8Array, key: KeyInfo | undefined): void {
    if (!stream.ours) throw protocolError(`SYN_REPLY for the peer's own stream ${stream.id}`);
    const headers = decodeHeaderBlock(block);
    if (stream.replied) throw new StreamError('ERR_KEYMUX_STREAM_IN_USE', 'a second SYN_REPLY');
    this.#requireOpen(stream);
    this.#forbidFin(stream, frame.fin);
    if (!this.#roomFor(headers)) throw new StreamError('ERR_KEYMUX_HEADERS', 'too many headers are held');
    this.#holdHeaders(stream, headers);
    stream.replied = true;
    this.#state.emit({ type: 'reply', id: stream.id, headers, key });
    if (frame.fin) this.#endIn(stream);
  }

  /** Whether the session can hold these headers too (spec 7.3): compressed they have cost the peer next to nothing. */
  #roomFor(headers: HeaderList): boolean {
    const { headerBytes, config } = this.#state;
    return headerBytes + sizeOf(headers) <= config.budgets.heldHeaders;
  }

  #holdHeaders(stream: Stream, headers: HeaderList): void {
    stream.headerBytes += sizeOf(headers);
    this.#state.headerBytes += sizeOf(headers);
  }

  #headers(stream: Stream, frame: Headers, block: Uint8Array, key: KeyInfo | undefined): void {
    // Who sends trailers with every message does no harm: there is a whole message to each.
    if (stream.freeHeaders < FREE_HEADERS) stream.freeHeaders++;
    else this.#state.accounts.spend('idle', this.#state.now);
    const headers = decodeHeaderBlock(block);
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
      throw new StreamError('ERR_KEYMUX_FLOW_CONTROL', 'the window exceeds 2^31 - 1');
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
    this.#requireReply(stream);
    this.#endIn(stream);
  }

  #enterData(stream: Stream, length: number, fin: boolean): void {
    this.#requireOpen(stream);
    this.#requireReply(stream);
    if (length === 0 && !fin) this.#state.accounts.spend('idle', this.#state.now);
    if (!stream.receiveWindow.receive(length)) {
      throw new StreamError('ERR_KEYMUX_FLOW_CONTROL', 'the peer exceeded the stream window');
    }
  }

  #endIn(stream: Stream): void {
    stream.in.ended = true;
    this.#state.emit({ type: 'end', id: stream.id });
    removeIfOver(this.#state, stream);
  }

  #requireOpen(stream: Stream): void {
    if (stream.in.ended) throw new StreamError('ERR_KEYMUX_STREAM_CLOSED', 'a frame after FIN');
  }

  #requireReply(stream: Stream): void {
    if (stream.ours && !stream.replied) throw new StreamError('ERR_KEYMUX_NO_REPLY', 'no SYN_REPLY yet');
  }

  #forbidFin(stream: Stream, fin: boolean): void {
    if (fin && stream.payloadOutside)
      throw keyFailure(`FIN on stream ${stream.id}, which ends with STREAM_END`);
  }
}

/** HEADERS frames of a stream that cost no token (spec 7.3): more headers, and trailers. */
const FREE_HEADERS = 2;

const refused = (why: string): StreamError => new StreamError('ERR_KEYMUX_REFUSED', why);

/** What headers count: about the memory that they take, even if they are empty. In bytes. */
function sizeOf(headers: HeaderList): number {
  let size = 0;
  for (const [name, value] of headers) size += name.length + value.length + 32;
  return size;
}
