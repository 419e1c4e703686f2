import {
  type ControlItem,
  type DataItem,
  decodeKeyNego,
  FrameDecoder,
  type Item,
  type SealedItem,
  type StateReader,
  type StateWriter,
} from '@keymux/frames';
import { CLEAR } from './control-binding.ts';
import { ControlReceiver } from './control-receiver.ts';
import { EnvelopeReader } from './envelope-reader.ts';
import { flowControlError, protocolError } from './errors.ts';
import { Fifo } from './fifo.ts';
import type { ResumeHash } from './saved-hash.ts';
import type { Sender } from './sender.ts';
import { SessionDigest } from './session-digest.ts';
import type { SessionState } from './state.ts';
import { StreamReceiver } from './stream-receiver.ts';

/** Early data is at most the window of a key before its first WINDOW_UPDATE, and small envelopes are mostly head and tag. In bytes. */
const MOST_BEHIND = 4 * 1024 * 1024;

/**
 * The receiving half: takes bytes apart, opens envelopes, and gives each frame to the one who handles it. Stops at what a
 * busy key must be waited for, and goes on from there.
 */
export class Receiver {
  readonly #state: SessionState;
  readonly #sender: Sender;
  readonly #outside: FrameDecoder;
  readonly #digest: SessionDigest;
  readonly #envelope: EnvelopeReader;
  readonly #control: ControlReceiver;
  readonly #streams: StreamReceiver;
  /** An item that cannot be interpreted before its key's run has made a step. */
  #parked: Item | undefined;
  /** On the link of a front: what was read past it in search of FRONT_SENT, and how many bytes that is. */
  readonly #behind = new Fifo<Item>();
  #behindBytes = 0;

  constructor(state: SessionState, sender: Sender) {
    this.#state = state;
    this.#sender = sender;
    const place = state.link ? 'link' : 'outside';
    this.#outside = new FrameDecoder({ place, sealed: state.keys !== undefined, lent: true });
    // What is on the carrier behind a front, only the front knows; it tells what is needed (spec 10.5).
    this.#digest = new SessionDigest(state.link ? undefined : state.createHash);
    this.#envelope = new EnvelopeReader(state.keys, this.#digest, () =>
      state.accounts.spend('idle', state.now),
    );
    this.#control = new ControlReceiver(state, sender);
    this.#streams = new StreamReceiver(state, sender);
  }

  /** Whether received bytes are waiting for a key, so that no more should be read. */
  get waiting(): boolean {
    return this.#parked !== undefined;
  }

  /** Whether so much is waiting that nothing more should be read, not even in search of FRONT_SENT. */
  get full(): boolean {
    return this.waiting && (!this.#state.link || this.#behindBytes > MOST_BEHIND);
  }

  /** Whether the carrier may end here without cutting a frame. */
  get atFrameBoundary(): boolean {
    return this.#parked === undefined && !this.#outside.midFrame;
  }

  /** Whether there are bytes of a frame that cannot be handled before it is whole. Payload is not held for its frame. */
  get holdsPart(): boolean {
    return this.#outside.buffered > 0;
  }

  /** A PING of ours goes out. */
  pingSent(id: number): void {
    this.#control.pingSent(id);
  }

  /** Borrows a chunk for the `run` that must follow. */
  push(chunk: Uint8Array): void {
    this.#outside.push(chunk);
  }

  /**
   * Handles all that can be handled now. Returns whether that was anything: a whole frame, or payload. Of what was pushed it keeps nothing but
   * copies; the payload in the events is lent like the chunk. Throws SessionError.
   */
  run(): boolean {
    let handled = false;
    while (this.#step()) handled = true;
    this.#outside.keep();
    return handled;
  }

  /** Writes what was pushed and cannot be handled yet. Not while it is `waiting`, and not on the link of a front. */
  save(writer: StateWriter): void {
    this.#outside.save(writer);
    this.#digest.save(writer);
    this.#control.save(writer);
    this.#streams.save(writer);
  }

  load(reader: StateReader, resume: ResumeHash | undefined): void {
    this.#outside.load(reader);
    this.#digest.load(reader, resume);
    this.#control.load(reader);
    this.#streams.load(reader);
  }

  /** Handles one item. Returns false if there is none, or it has to wait. */
  #step(): boolean {
    const parked = this.#parked;
    const item = parked ?? this.#envelope.next() ?? this.#behind.shift() ?? this.#outside.next();
    if (item !== undefined && this.#mustWait(item)) this.#parked = parked ?? kept(item);
    else this.#parked = undefined;
    if (this.#parked !== undefined) return this.#state.link && this.#lookAhead();
    if (item === undefined) return false;
    if (item.kind === 'sealed') this.#openEnvelope(item);
    else if (item.kind === 'data') this.#data(item);
    else this.#controlFrame(item);
    return true;
  }

  /**
   * What a front says of our own frame may end the waiting, and may come after early data that waits for it (spec 10.5). Returns whether it
   * was there.
   */
  #lookAhead(): boolean {
    if (this.#behind.length === 0) this.#behindBytes = 0;
    while (!this.full) {
      const item = this.#outside.next();
      if (item === undefined) return false;
      if (item.kind === 'control' && item.frame.type === 'front-sent') {
        this.#sender.negoOnCarrier(item.frame.keyId, item.frame.digest);
        return true;
      }
      this.#behind.push(kept(item));
      this.#behindBytes += lengthOf(item);
    }
    return false;
  }

  /** Nothing that a step of a run can make a key for is interpreted while the step is computed (spec 3.2, 3.14). */
  #mustWait(item: Item): boolean {
    const { keys } = this.#state;
    if (keys === undefined || item.kind === 'data') return false;
    if (item.kind === 'sealed') return keys.busy(item.keyId, item.generation);
    const { frame } = item;
    if (frame.type === 'front-nego') return keys.busy(decodeKeyNego(frame.frame).keyId);
    return frame.type === 'key-nego' && keys.busy(frame.keyId);
  }

  #openEnvelope(item: SealedItem): void {
    this.#envelope.open(item);
    // The first envelope can be the proof that makes a key usable; its frames must find it so.
    this.#state.pollKeys();
  }

  #data(item: DataItem): void {
    const { key } = this.#envelope;
    if (item.head !== undefined) {
      if (key === undefined) this.#digest.update(item.head);
      else this.#envelope.enterFrame(false, undefined);
      const window = this.#state.windows.receive(key?.keyId ?? CLEAR);
      if (!window.receive(item.length)) throw flowControlError('the peer exceeded the session window');
    }
    this.#streams.data(item, key);
    // The session window bounds what is on its way; what streams hold is bounded by their own windows, so that a
    // stream nobody reads cannot stop the others (spec 2.5).
    if (!item.last) return;
    const { windows, fronted } = this.#state;
    const keyId = fronted ? (key?.keyId ?? CLEAR) : CLEAR;
    const window = windows.receive(keyId);
    if (!window.consume(item.length)) return;
    const delta = window.tell();
    if (keyId === CLEAR) this.#sender.session({ type: 'window-update', streamId: 0, delta });
    else this.#sender.ofKey(keyId, { type: 'window-update', streamId: 0, delta });
  }

  #controlFrame({ frame, bytes }: ControlItem): void {
    const { key } = this.#envelope;
    // Only these two are checked against the digest; a snapshot for each frame would cost too much.
    const ofDigest = frame.type === 'key-nego' || (frame.type === 'key-switch' && frame.streamId === 0);
    const digestBefore = ofDigest ? this.#digest.snapshot() : undefined;
    if (key === undefined) this.#digest.update(bytes);
    else {
      this.#envelope.enterFrame(
        frame.type === 'padding',
        frame.type === 'key-update' ? frame.count : undefined,
      );
    }
    switch (frame.type) {
      case 'front-nego':
        this.#control.keyNego(decodeKeyNego(frame.frame), frame.frame, frame.digest, undefined);
        return;
      case 'front-sent':
        this.#sender.negoOnCarrier(frame.keyId, frame.digest);
        return;
      case 'front-hello':
        throw protocolError('FRONT_HELLO comes once, and first');
      case 'key-gone':
        this.#control.keyGone(frame);
        return;
      case 'key-nego':
        if (this.#state.link && key === undefined) throw protocolError('a KEY_NEGO frame without a digest');
        this.#envelope.complete();
        this.#control.keyNego(frame, bytes, digestBefore as Uint8Array, key);
        return;
      case 'key-switch':
        if (digestBefore !== undefined) this.#control.switchTo(frame, digestBefore, key);
        else this.#streams.switchTo(frame, key);
        return;
      case 'settings':
      case 'ping':
      case 'goaway':
        this.#control.session(frame, key);
        return;
      case 'window-update':
        if (frame.streamId === 0) this.#control.session(frame, key);
        else this.#streams.control(frame, bytes, key);
        return;
      case 'key-update':
      case 'padding':
        return; // they belong to the envelope and are dealt with
      case 'unknown':
        this.#state.accounts.spend('idle', this.#state.now);
        return;
      default:
        this.#streams.control(frame, bytes, key);
    }
  }
}

/** What an item counts for while it waits. */
function lengthOf(item: Item): number {
  if (item.kind === 'data') return item.length;
  return item.kind === 'control' ? item.bytes.length : item.body.length;
}

/** An item that outlives the chunk it came in. */
function kept(item: Item): Item {
  if (item.kind === 'control') return item;
  if (item.kind === 'sealed') return { ...item, body: new Uint8Array(item.body) };
  return { ...item, payload: new Uint8Array(item.payload) };
}
