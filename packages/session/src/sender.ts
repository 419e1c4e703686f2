import {
  type ControlFrame,
  encodeControl,
  encodeDataHead,
  encodeHeaderBlock,
  HeaderCompressor,
  type HeaderList,
  type KeyNego,
} from '@keymux/frames';
import { SessionDigest, switchDigest } from './digests.ts';
import { EnvelopeWriter } from './envelope-writer.ts';
import { keyFailure } from './errors.ts';
import { SendWindow } from './flow-window.ts';
import { SendQueue } from './send-queue.ts';
import { bindDirection, removeIfOver, type SessionState } from './state.ts';
import { CLEAR, type OutboxItem, type Stream, UNBOUND } from './stream.ts';

/** Payload of one DATA frame: small enough that streams take turns, large enough that its costs do not show. */
const DATA_LIMIT = 65_536;
const HEAD = 8;
const INITIAL_SESSION_WINDOW = 65_536;

type Opening = {
  readonly type: 'syn-stream' | 'syn-reply';
  readonly headers: HeaderList;
  readonly fin: boolean;
  readonly keyId: number;
  readonly unidirectional: boolean;
  readonly associatedId: number;
};

/** What is sent before any payload, in order. */
type Urgent =
  | { readonly kind: 'session'; readonly frame: ControlFrame }
  | { readonly kind: 'key-nego'; readonly frame: KeyNego }
  | { readonly kind: 'control-key'; readonly keyId: number }
  | { readonly kind: 'opening'; readonly stream: Stream; readonly opening: Opening }
  | { readonly kind: 'stream'; readonly stream: Stream; readonly frame: ControlFrame };

/**
 * The sending half: decides what goes next, under which key, and keeps the record that the peer checks KEY_SWITCH
 * against. Frames are encoded, and header blocks compressed, only when they go, so the order of encoding is the order on the wire.
 */
export class Sender {
  readonly window = new SendWindow(INITIAL_SESSION_WINDOW);
  readonly #state: SessionState;
  readonly #digest: SessionDigest;
  readonly #writer: EnvelopeWriter;
  readonly #compressor = new HeaderCompressor();
  readonly #queue = new SendQueue();
  #urgent: Urgent[] = [];
  #urgentAt = 0;
  /** Connection key that session frames travel under. */
  #controlKeyId = CLEAR;
  #controlGeneration = 0;
  #controlFrames = 0;
  #pendingPongs = 0;
  /** Streams that could send if the session window were open. */
  readonly #starved = new Set<Stream>();

  constructor(state: SessionState) {
    this.#state = state;
    this.#digest = new SessionDigest(state.createHash);
    this.#writer = new EnvelopeWriter(state.keys, this.#digest, state.config.padding);
  }

  get pendingPongs(): number {
    return this.#pendingPongs;
  }

  session(frame: ControlFrame): void {
    if (frame.type === 'ping') this.#pendingPongs++;
    this.#urgent.push({ kind: 'session', frame });
  }

  keyNego(frame: KeyNego): void {
    this.#urgent.push({ kind: 'key-nego', frame });
  }

  /** Moves session frames to a connection key. */
  switchControl(keyId: number): void {
    this.#urgent.push({ kind: 'control-key', keyId });
  }

  open(stream: Stream, opening: Opening): void {
    this.#urgent.push({ kind: 'opening', stream, opening });
  }

  /** RST_STREAM or WINDOW_UPDATE for a stream; they do not wait for its payload. */
  stream(stream: Stream, frame: ControlFrame): void {
    this.#urgent.push({ kind: 'stream', stream, frame });
  }

  /** Queues what comes after SYN_STREAM or SYN_REPLY. */
  enqueue(stream: Stream, item: OutboxItem): void {
    stream.outbox.push(item);
    this.wake(stream);
  }

  /** Gives a stream its turn again, after its window or state has changed. */
  wake(stream: Stream): void {
    const item = stream.outbox[0];
    if (item === undefined || !stream.started) return;
    if (item.type === 'data' && stream.sendWindow.left <= 0) return;
    this.#queue.add(stream);
  }

  /** The peer has opened the session window further. */
  windowOpened(): void {
    for (const stream of this.#starved) this.wake(stream);
    this.#starved.clear();
  }

  /**
   * What to write next, about `most` bytes, or undefined if there is nothing. The buffers belong to the caller.
   * Throws SessionError if a key cannot seal.
   */
  next(most: number): Uint8Array[] | undefined {
    this.#sendUrgent(most);
    while (this.#writer.bytes < most) {
      const stream = this.#queue.take();
      if (stream === undefined) break;
      if (this.#sendItem(stream)) this.wake(stream);
      else this.#starved.add(stream);
      this.#sendUrgent(most);
    }
    const output = this.#writer.take();
    return output.length > 0 ? output : undefined;
  }

  /** What is left to say when the session has failed: only session frames. */
  farewell(): Uint8Array[] | undefined {
    this.#urgent = this.#urgent.filter((entry) => entry.kind === 'session' && entry.frame.type === 'goaway');
    this.#urgentAt = 0;
    return this.next(1024);
  }

  #sendUrgent(most: number): void {
    while (this.#urgentAt < this.#urgent.length && this.#writer.bytes < most) {
      const entry = this.#urgent[this.#urgentAt++];
      if (entry !== undefined) this.#sendEntry(entry);
    }
    if (this.#urgentAt === this.#urgent.length) {
      this.#urgent.length = 0;
      this.#urgentAt = 0;
    } else if (this.#urgentAt > 1024) {
      this.#urgent.splice(0, this.#urgentAt);
      this.#urgentAt = 0;
    }
  }

  #sendEntry(entry: Urgent): void {
    switch (entry.kind) {
      case 'session':
        if (entry.frame.type === 'ping') this.#pendingPongs--;
        this.#controlFrames++;
        this.#put(this.#controlKeyId, encodeControl(entry.frame));
        this.#controlGeneration = this.#writer.generation;
        return;
      case 'key-nego':
        this.#sendKeyNego(entry.frame);
        return;
      case 'control-key':
        this.#sendControlSwitch(entry.keyId);
        return;
      case 'opening':
        this.#sendOpening(entry.stream, entry.opening);
        return;
      case 'stream':
        if (entry.frame.type === 'rst-stream') this.#sendReset(entry.stream, entry.frame);
        else if (this.#state.streams.get(entry.stream.id) === entry.stream)
          this.#sendStreamFrame(entry.stream, entry.frame);
    }
  }

  #sendKeyNego(frame: KeyNego): void {
    const bytes = encodeControl(frame);
    const keyId = frame.retire ? frame.keyId : this.#controlKeyId;
    this.#controlFrames++;
    this.#writer.room(keyId, bytes.length);
    const digestBefore = this.#digest.snapshot();
    this.#put(keyId, bytes);
    if (!frame.retire) this.#controlGeneration = this.#writer.generation;
    this.#state.keys?.sent(frame.keyId, bytes, digestBefore);
  }

  #sendControlSwitch(keyId: number): void {
    if (keyId === this.#controlKeyId) return;
    this.#writer.room(keyId, 56);
    const frame = encodeControl({
      type: 'key-switch',
      streamId: 0,
      previousKeyId: this.#controlKeyId,
      previousGeneration: this.#controlGeneration,
      count: this.#controlFrames,
      digest: this.#digest.snapshot(),
    });
    this.#put(keyId, frame);
    this.#controlKeyId = keyId;
    this.#controlGeneration = this.#writer.generation;
  }

  #sendOpening(stream: Stream, opening: Opening): void {
    if (this.#state.streams.get(stream.id) !== stream) return;
    if (stream.out.keyId !== opening.keyId) this.#bind(stream, opening.keyId);
    const block = this.#encodeHeaders(opening.headers, opening.keyId);
    const frame: ControlFrame =
      opening.type === 'syn-stream'
        ? {
            type: 'syn-stream',
            streamId: stream.id,
            associatedId: opening.associatedId,
            priority: stream.priority,
            slot: opening.keyId,
            fin: opening.fin,
            unidirectional: opening.unidirectional,
            payloadOutside: stream.payloadOutside,
            block,
          }
        : { type: 'syn-reply', streamId: stream.id, fin: opening.fin, block };
    const bytes = this.#sendStreamFrame(stream, frame);
    if (opening.type === 'syn-stream' && this.#state.createHash) stream.syn = bytes;
    stream.started = true;
    if (opening.fin) this.#endOut(stream);
    else this.wake(stream);
  }

  #sendStreamFrame(stream: Stream, frame: ControlFrame): Uint8Array {
    const bytes = encodeControl(frame);
    const { out } = stream;
    if (out.keyId === UNBOUND) bindDirection(this.#state, stream, out, stream.openedUnder);
    this.#put(out.keyId, bytes);
    this.#note(stream, bytes);
    return bytes;
  }

  /** A stream that is reset is forgotten already, or was never entered: nothing is bound or recorded. */
  #sendReset(stream: Stream, frame: ControlFrame): void {
    this.#put(stream.out.keyId === UNBOUND ? stream.openedUnder : stream.out.keyId, encodeControl(frame));
  }

  /** Sends the first item of a stream's outbox. Returns false if it must wait for the session window. */
  #sendItem(stream: Stream): boolean {
    const item = stream.outbox[0];
    if (item === undefined) return true;
    if (item.type === 'data') return this.#sendData(stream, item.bytes);
    stream.outbox.shift();
    if (item.type === 'switch') {
      this.#bind(stream, item.keyId);
    } else if (item.type === 'headers') {
      const block = this.#encodeHeaders(item.headers, stream.out.keyId);
      this.#sendStreamFrame(stream, { type: 'headers', streamId: stream.id, fin: false, block });
    } else if (stream.payloadOutside) {
      this.#sendStreamFrame(stream, { type: 'stream-end', streamId: stream.id, total: stream.out.payload });
      this.#endOut(stream);
    } else {
      this.#writeData(stream, undefined, true);
    }
    return true;
  }

  #sendData(stream: Stream, bytes: Uint8Array): boolean {
    const room = this.#writer.room(this.#dataKey(stream), HEAD + Math.min(bytes.length, DATA_LIMIT)) - HEAD;
    const size = Math.min(bytes.length, DATA_LIMIT, room, stream.sendWindow.left, this.window.left);
    if (size <= 0) return this.window.left > 0;
    const rest = size < bytes.length;
    if (rest) stream.outbox[0] = { type: 'data', bytes: bytes.subarray(size) };
    else stream.outbox.shift();
    const fin = !rest && stream.outbox[0]?.type === 'end' && !stream.payloadOutside;
    if (fin) stream.outbox.shift();
    stream.sendWindow.spend(size);
    this.window.spend(size);
    this.#writeData(stream, rest ? bytes.subarray(0, size) : bytes, fin);
    if (!rest && !fin && stream.outbox[0]?.type !== 'data')
      this.#state.emit({ type: 'drain', id: stream.id });
    return true;
  }

  #writeData(stream: Stream, payload: Uint8Array | undefined, fin: boolean): void {
    const size = payload?.length ?? 0;
    const head = encodeDataHead(stream.id, fin, size);
    const { out } = stream;
    if (out.keyId === UNBOUND) bindDirection(this.#state, stream, out, stream.openedUnder);
    const keyId = this.#dataKey(stream);
    this.#writer.room(keyId, HEAD + size);
    this.#writer.append(head);
    if (payload !== undefined) this.#writer.append(payload);
    if (keyId === CLEAR) this.#digest.update(head);
    else out.generation = this.#writer.generation;
    out.payload += size;
    if (out.keyId === CLEAR) {
      out.clearPayload += size;
      if (out.clearPayload > this.#state.switchLimit) out.clearHash = undefined;
      else this.#hash(stream, head, payload);
    }
    out.frames++;
    if (fin) this.#endOut(stream);
  }

  #hash(stream: Stream, head: Uint8Array, payload: Uint8Array | undefined): void {
    stream.out.hash(head, this.#state.createHash);
    if (payload !== undefined) stream.out.hash(payload, this.#state.createHash);
  }

  #note(stream: Stream, bytes: Uint8Array): void {
    const { out } = stream;
    out.frames++;
    out.generation = this.#writer.generation;
    if (out.keyId === CLEAR && out.clearPayload <= this.#state.switchLimit)
      out.hash(bytes, this.#state.createHash);
  }

  #dataKey(stream: Stream): number {
    return stream.payloadOutside ? CLEAR : stream.out.keyId;
  }

  #endOut(stream: Stream): void {
    stream.out.ended = true;
    this.#state.emit({ type: 'drain', id: stream.id });
    removeIfOver(this.#state, stream);
  }

  /** Binds our direction of a stream, with KEY_SWITCH where the peer could not know otherwise (spec 4.4). */
  #bind(stream: Stream, keyId: number): void {
    const { out } = stream;
    if (out.keyId === keyId) return;
    const silent = out.keyId === UNBOUND && (stream.ours || keyId === stream.openedUnder);
    if (!silent) this.#sendKeySwitch(stream, keyId);
    bindDirection(this.#state, stream, out, keyId);
    out.clearHash = undefined;
  }

  #sendKeySwitch(stream: Stream, keyId: number): void {
    const { createHash, switchLimit } = this.#state;
    const { out } = stream;
    if (createHash === undefined || keyId === CLEAR || out.clearPayload > switchLimit) {
      throw keyFailure(`stream ${stream.id} cannot be switched to key ${keyId}`);
    }
    const answered = stream.ours ? undefined : stream.syn;
    this.#put(
      keyId,
      encodeControl({
        type: 'key-switch',
        streamId: stream.id,
        previousKeyId: Math.max(out.keyId, CLEAR),
        previousGeneration: out.generation,
        count: out.frames,
        digest: switchDigest(createHash, stream.id, out.clearHash, answered),
      }),
    );
  }

  #encodeHeaders(headers: HeaderList, keyId: number): Uint8Array {
    const block = encodeHeaderBlock(headers);
    return keyId === CLEAR ? this.#compressor.compress(block) : block;
  }

  #put(keyId: number, bytes: Uint8Array): void {
    this.#writer.room(keyId, bytes.length);
    this.#writer.append(bytes);
    if (keyId === CLEAR) this.#digest.update(bytes);
  }
}
