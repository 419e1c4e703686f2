import {
  type ControlFrame,
  encodeControl,
  type Goaway,
  type KeyNego,
  RST,
  type StateReader,
  type StateWriter,
  type WindowUpdate,
} from '@keymux/frames';
import { CLEAR } from './control-binding.ts';
import { ControlWriter } from './control-writer.ts';
import { EnvelopeWriter } from './envelope-writer.ts';
import { Fifo } from './fifo.ts';
import type { ResumeHash } from './saved-hash.ts';
import { SendQueue } from './send-queue.ts';
import { SessionDigest } from './session-digest.ts';
import { removeStream, type SessionState, streamFinder } from './state.ts';
import type { OutboxData, OutboxItem, Stream } from './stream.ts';
import { type Opening, StreamWriter } from './stream-writer.ts';
import { loadUrgent, saveUrgent, type Urgent } from './urgent.ts';

/** Payload of one DATA frame, in bytes: small enough that streams take turns, large enough that its costs do not show. */
const DATA_LIMIT = 65_536;
/** Payload below which a DATA frame that the peer's window has cut is a dribble, and payload that pays for one (spec 7.3). In bytes. */
const DRIBBLE = 1024;
const DRIBBLE_PRICE = 16_384;

/** The sending half: keeps what waits and decides what goes next. */
export class Sender {
  readonly #state: SessionState;
  readonly #writer: EnvelopeWriter;
  readonly #control: ControlWriter;
  readonly #streams: StreamWriter;
  readonly #urgent = new Fifo<Urgent>();
  /** Keys that a RETIRE is queued for. */
  readonly #retiring = new Set<number>();
  /** Streams whose next item is payload, and fits their own window; with a front also that of their key. */
  readonly #payloads = new SendQueue();
  /** Streams whose next item is anything else; it needs no window. */
  readonly #frames = new SendQueue();
  #pendingPongs = 0;
  #pendingResets = 0;
  /** Frames in `#urgent` that only this side makes necessary. */
  #queuedOwn = 0;

  constructor(state: SessionState) {
    this.#state = state;
    // On the link of a front it is the front that knows what is on the carrier (spec 10.5).
    const digest = new SessionDigest(state.link ? undefined : state.createHash);
    this.#writer = new EnvelopeWriter(state.keys, digest, state.config.padding);
    this.#control = new ControlWriter(state, this.#writer);
    this.#streams = new StreamWriter(state, this.#writer);
  }

  /** Answers to PINGs that have not gone out. */
  get pendingPongs(): number {
    return this.#pendingPongs;
  }

  /** RST_STREAMs for the peer's streams that have not gone out. */
  get pendingResets(): number {
    return this.#pendingResets;
  }

  /** Frames that wait for nothing but the carrier, and that the peer has its part in. */
  get queuedFrames(): number {
    return this.#urgent.length - this.#queuedOwn;
  }

  /** Whether `next` has something to write. */
  get pending(): boolean {
    if (this.#writer.bytes > 0) return true;
    return this.#urgent.length > 0 || !this.#frames.empty || (this.#mayPay && !this.#payloads.empty);
  }

  /** The key that our session frames travel under once what is queued has gone out, CLEAR for none. */
  get controlKeyId(): number {
    let { keyId } = this.#control;
    for (const entry of this.#urgent) if (entry.kind === 'control-key') keyId = entry.keyId;
    return keyId;
  }

  session(frame: ControlFrame): void {
    this.#urgent.push({ kind: 'session', frame });
  }

  /** Sends what concerns one host key alone, in its envelopes (spec 10.4). */
  ofKey(keyId: number, frame: Goaway | WindowUpdate): void {
    this.#urgent.push({ kind: 'of-key', keyId, frame });
  }

  /** A KEY_NEGO frame that went out on the link of a front is on the carrier (spec 10.5). Throws SessionError. */
  negoOnCarrier(keyId: number, digestBefore: Uint8Array): void {
    this.#control.negoOnCarrier(keyId, digestBefore);
  }

  /** The window of a key, or of the session, has been opened: what waits for it may go. */
  windowOpened(): void {
    if (this.#state.fronted) for (const stream of this.#state.streams.values()) this.wake(stream);
  }

  /** Answers a PING of the peer. */
  pong(id: number): void {
    this.#pushUrgent({ kind: 'pong', id });
  }

  keyNego(frame: KeyNego): void {
    this.#urgent.push({ kind: 'key-nego', frame });
  }

  /**
   * Moves session frames to a connection key, before anything else goes under it (spec 4.5), but behind KEY_NEGO frames, without which the
   * peer may not have the key yet, and behind an earlier move, which may be to a key that proves less.
   */
  switchControl(keyId: number): void {
    const earlier = ({ kind }: Urgent): boolean => kind === 'key-nego' || kind === 'control-key';
    this.#urgent.insertBehindLast(earlier, { kind: 'control-key', keyId });
  }

  /** Tells the peer that our direction of a key has moved to a new generation. */
  announceGeneration(keyId: number): void {
    this.#urgent.push({ kind: 'generation', keyId });
  }

  /** Retires a key behind everything that is queued, if nothing needs it by then. */
  retire(keyId: number): void {
    if (this.#retiring.has(keyId)) return;
    this.#pushUrgent({ kind: 'retire', keyId });
  }

  /** Sends SYN_STREAM or SYN_REPLY. */
  open(stream: Stream, opening: Opening): void {
    this.#pushUrgent({ kind: 'opening', stream, opening });
  }

  windowUpdate(stream: Stream, delta: number): void {
    this.#urgent.push({ kind: 'window-update', stream, delta });
  }

  /** Ends a stream in both directions and forgets it. A peer that has not heard of it need not hear of its end. */
  reset(stream: Stream, status: number, cause?: Error): void {
    if (stream.started || !stream.ours) {
      this.#pushReset(stream.id, stream.sendsUnder, status, stream.ours);
    }
    this.#state.emit({ type: 'reset', id: stream.id, status, origin: 'local', ...(cause && { cause }) });
    removeStream(this.#state, stream);
  }

  /** Refuses a stream of the peer's that was never entered. */
  refuse(streamId: number, keyId: number, status: number): void {
    this.#pushReset(streamId, keyId, status, false);
  }

  /** Queues what comes after SYN_STREAM or SYN_REPLY. */
  enqueue(stream: Stream, item: OutboxItem): void {
    stream.outbox.push(item);
    if (item.type === 'data') {
      stream.queuedPayload += item.rest.length;
      if (!stream.ours) this.#state.waitingPayload += item.rest.length;
    }
    if (item.type === 'switch') stream.queuedSwitches++;
    this.wake(stream);
  }

  /** Gives a stream its turn if it can send now; to be called after its window or state has changed. */
  wake(stream: Stream): void {
    const item = stream.outbox.peek();
    if (item === undefined || !stream.started) return;
    if (item.type !== 'data') this.#frames.add(stream);
    else if (stream.sendWindow.left > 0 && this.#keyMayPay(stream)) this.#payloads.add(stream);
  }

  /** Makes output of what waits, up to about `most` bytes that have not been taken. Returns whether there was anything. Throws SessionError if a key cannot seal. */
  fill(most: number): boolean {
    const before = this.#writer.bytes;
    while (this.#writer.bytes < most) {
      const entry = this.#takeUrgent();
      if (entry !== undefined) this.#sendUrgent(entry);
      else if (!this.#takeTurn()) break;
    }
    this.#writer.endEnvelope();
    return this.#writer.bytes > before;
  }

  /** All output that was made, or undefined if there is none. The buffers belong to the caller. */
  take(): Uint8Array[] | undefined {
    const output = this.#writer.take();
    return output.length > 0 ? output : undefined;
  }

  /** The last words of a session that has failed: what is complete, and GOAWAY if the key for it still seals. */
  farewell(goaway: Goaway): Uint8Array[] | undefined {
    this.#writer.abandonEnvelope();
    try {
      this.#control.session(goaway);
      this.#writer.endEnvelope();
    } catch {
      this.#writer.abandonEnvelope();
    }
    return this.take();
  }

  /**
   * Writes what waits, and the state of what makes bytes of it.
   *
   * @param unsent what `next` has handed out and the carrier has not taken
   */
  save(writer: StateWriter, unsent: readonly Uint8Array[]): void {
    this.#writer.save(writer, unsent);
    this.#control.save(writer);
    this.#streams.save(writer);
    writer.list(
      [...this.#urgent].filter((entry) => this.#concernsAnybody(entry)),
      (entry) => saveUrgent(writer, entry),
    );
    this.#payloads.save(writer);
    this.#frames.save(writer);
  }

  load(reader: StateReader, resume: ResumeHash | undefined): void {
    const streamOf = streamFinder(this.#state, reader);
    this.#writer.load(reader, resume);
    this.#control.load(reader);
    this.#streams.load(reader);
    this.#urgent.clear();
    reader.list(() => this.#pushUrgent(loadUrgent(reader, streamOf)));
    this.#payloads.load(reader, streamOf);
    this.#frames.load(reader, streamOf);
  }

  /** Counts as well what is counted. */
  #pushUrgent(entry: Urgent): void {
    if (entry.kind === 'pong') this.#pendingPongs++;
    if (entry.kind === 'reset' && !entry.ours) this.#pendingResets++;
    if (entry.kind === 'retire') this.#retiring.add(entry.keyId);
    if (isOwn(entry)) this.#queuedOwn++;
    this.#urgent.push(entry);
  }

  #takeUrgent(): Urgent | undefined {
    const entry = this.#urgent.shift();
    if (entry !== undefined && isOwn(entry)) this.#queuedOwn--;
    return entry;
  }

  /** Whether it would still be sent: not if it is of a stream that is forgotten. */
  #concernsAnybody(entry: Urgent): boolean {
    return !('stream' in entry) || this.#isLive(entry.stream);
  }

  #pushReset(streamId: number, keyId: number, status: number, ours: boolean): void {
    this.#pushUrgent({ kind: 'reset', streamId, keyId, status, ours });
  }

  #sendUrgent(entry: Urgent): void {
    switch (entry.kind) {
      case 'session':
        this.#control.session(entry.frame);
        return;
      case 'pong':
        this.#pendingPongs--;
        this.#control.session({ type: 'ping', id: entry.id });
        return;
      case 'key-nego':
        this.#control.keyNego(entry.frame);
        return;
      case 'control-key':
        this.#control.switchTo(entry.keyId);
        return;
      case 'generation':
        if (this.#canSeal(entry.keyId)) this.#writer.announceGeneration(entry.keyId);
        return;
      case 'retire':
        this.#retiring.delete(entry.keyId);
        this.#control.retire(entry.keyId);
        return;
      case 'of-key':
        if (this.#canSeal(entry.keyId)) this.#writer.control(entry.keyId, encodeControl(entry.frame));
        return;
      case 'opening':
        this.#sendOpening(entry.stream, entry.opening);
        return;
      case 'window-update': {
        const { stream, delta } = entry;
        if (!this.#isLive(stream)) return;
        this.#streams.frame(stream, { type: 'window-update', streamId: stream.id, delta });
        return;
      }
      case 'reset': {
        const { streamId, keyId, status, ours } = entry;
        if (!ours) this.#pendingResets--;
        // Our RETIRE has refused it already (spec 3.3).
        if (this.#state.retiredKeys.has(keyId)) return;
        if (!this.#canSeal(keyId)) return;
        this.#writer.control(keyId, encodeControl({ type: 'rst-stream', streamId, status }));
      }
    }
  }

  #sendOpening(stream: Stream, opening: Opening): void {
    if (!this.#isLive(stream)) return;
    if (this.#streams.open(stream, opening)) this.wake(stream);
    else this.reset(stream, RST.INTERNAL_ERROR);
  }

  /** Lets the stream whose turn it is send one item. Returns false if there is none. */
  #takeTurn(): boolean {
    const stream = this.#frames.take() ?? (this.#mayPay ? this.#payloads.take() : undefined);
    if (stream === undefined) return false;
    const item = stream.outbox.peek();
    if (item?.type === 'data') this.#sendData(stream, item);
    else if (item !== undefined) this.#sendItem(stream, item);
    this.wake(stream);
    return true;
  }

  #sendItem(stream: Stream, item: Exclude<OutboxItem, OutboxData>): void {
    stream.outbox.shift();
    this.#reportDrain(stream);
    if (item.type === 'end') this.#streams.end(stream);
    else if (item.type === 'headers') this.#streams.headers(stream, item.block);
    else this.#switch(stream, item.keyId);
  }

  /** A stream that cannot be sealed as asked must not go on as it was. */
  #switch(stream: Stream, keyId: number): void {
    stream.queuedSwitches--;
    if (!this.#streams.switchTo(stream, keyId)) this.reset(stream, RST.INTERNAL_ERROR);
  }

  /** Sends as much of the payload as windows and the size of a frame allow, with FIN if nothing else comes. */
  #sendData(stream: Stream, item: OutboxData): void {
    const { rest } = item;
    const { windows } = this.#state;
    const keyId = stream.sendsUnder;
    const wanted = Math.min(rest.length, DATA_LIMIT);
    const size = Math.min(wanted, stream.sendWindow.left, windows.send(keyId).left);
    if (size <= 0) return; // SETTINGS has shrunk the window, or others have used up that of the key
    this.#payForDribble(size, wanted);
    const whole = size === rest.length;
    if (!whole) item.rest = rest.subarray(size);
    const fin = whole && this.#takeWithEnd(stream);
    stream.queuedPayload -= size;
    if (!stream.ours) this.#state.waitingPayload -= size;
    stream.sendWindow.spend(size);
    windows.spend(keyId, size);
    this.#streams.data(stream, whole ? rest : rest.subarray(0, size), fin);
  }

  /** A frame for each few bytes of window is work that the peer makes. Throws SessionError if it makes too much of it. */
  #payForDribble(size: number, wanted: number): void {
    const { accounts, now } = this.#state;
    if (size < wanted && size < DRIBBLE) accounts.spend('dribbles', now);
    else accounts.earn('dribbles', size / DRIBBLE_PRICE);
  }

  /** Takes payload out of the outbox, and the end if it is next and DATA can carry it. Returns whether it has. */
  #takeWithEnd(stream: Stream): boolean {
    const { outbox, payloadOutside } = stream;
    outbox.shift();
    const fin = !payloadOutside && outbox.peek()?.type === 'end';
    if (fin) outbox.shift();
    this.#reportDrain(stream);
    return fin;
  }

  #reportDrain(stream: Stream): void {
    if (stream.outbox.length === 0) this.#state.emit({ type: 'drain', id: stream.id });
  }

  /** Whether the one session window has room; with a front there is one for each key, and `wake` has looked at it. */
  get #mayPay(): boolean {
    const { fronted, windows } = this.#state;
    return fronted || windows.send(CLEAR).left > 0;
  }

  #keyMayPay(stream: Stream): boolean {
    const { fronted, windows } = this.#state;
    return !fronted || windows.send(stream.sendsUnder).left > 0;
  }

  /** Whether there is somebody to tell: a key behind a front can be gone. Without a front, a key that cannot seal is an error. */
  #canSeal(keyId: number): boolean {
    const { fronted, keys } = this.#state;
    return keyId === CLEAR || !fronted || keys?.sender(keyId) !== undefined;
  }

  #isLive(stream: Stream): boolean {
    return this.#state.streams.get(stream.id) === stream;
  }
}

/** Whether only this side makes it necessary: that a stream of ours is opened, or ended. */
function isOwn(entry: Urgent): boolean {
  return entry.kind === 'opening' ? entry.stream.ours : entry.kind === 'reset' && entry.ours;
}
