import { type ControlItem, type DataItem, FrameDecoder, type Item, type SealedItem } from '@keymux/frames';
import { ControlReceiver } from './control-receiver.ts';
import { EnvelopeReader } from './envelope-reader.ts';
import { flowControlError } from './errors.ts';
import { ReceiveWindow } from './flow-window.ts';
import type { Sender } from './sender.ts';
import { SessionDigest } from './session-digest.ts';
import type { SessionState } from './state.ts';
import { StreamReceiver } from './stream-receiver.ts';

/** The session window before its first WINDOW_UPDATE, in bytes (SPDY/3.1). */
const INITIAL_SESSION_WINDOW = 65_536;

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
  readonly #window: ReceiveWindow;
  /** An item that cannot be interpreted before its key's run has made a step. */
  #parked: Item | undefined;

  constructor(state: SessionState, sender: Sender) {
    this.#state = state;
    this.#sender = sender;
    this.#outside = new FrameDecoder({ place: 'outside', sealed: state.keys !== undefined });
    this.#digest = new SessionDigest(state.createHash);
    this.#envelope = new EnvelopeReader(state.keys, this.#digest);
    this.#control = new ControlReceiver(state, sender);
    this.#streams = new StreamReceiver(state, sender);
    this.#window = new ReceiveWindow(
      INITIAL_SESSION_WINDOW,
      state.config.sessionWindow,
      state.config.peerFlowControl === 'full',
    );
  }

  /** Whether received bytes are waiting for a key, so that no more should be read. */
  get waiting(): boolean {
    return this.#parked !== undefined;
  }

  /** Whether the carrier may end here without cutting a frame. */
  get atFrameBoundary(): boolean {
    return this.#parked === undefined && !this.#outside.midFrame;
  }

  /** The delta that tells the peer our session window at the start. */
  raiseWindow(): number {
    return this.#window.raise();
  }

  /** A PING of ours goes out. */
  pingSent(id: number): void {
    this.#control.pingSent(id);
  }

  push(chunk: Uint8Array): void {
    this.#outside.push(chunk);
  }

  /** Handles all that can be handled now. Returns whether that was anything: a whole frame, or payload. Throws SessionError. */
  run(): boolean {
    let handled = false;
    while (this.#step()) handled = true;
    return handled;
  }

  /** Handles one item. Returns false if there is none, or it has to wait. */
  #step(): boolean {
    const item = this.#parked ?? this.#envelope.next() ?? this.#outside.next();
    this.#parked = item && this.#mustWait(item) ? item : undefined;
    if (item === undefined || this.#parked !== undefined) return false;
    if (item.kind === 'sealed') this.#openEnvelope(item);
    else if (item.kind === 'data') this.#data(item);
    else this.#controlFrame(item);
    return true;
  }

  /** Nothing that a step of a run can make a key for is interpreted while the step is computed (spec 3.2, 3.14). */
  #mustWait(item: Item): boolean {
    const { keys } = this.#state;
    if (keys === undefined || item.kind === 'data') return false;
    if (item.kind === 'sealed') return keys.busy(item.keyId, item.generation);
    return item.frame.type === 'key-nego' && keys.busy(item.frame.keyId);
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
      if (!this.#window.receive(item.length)) throw flowControlError('the peer exceeded the session window');
    }
    this.#streams.data(item, key);
    // The session window bounds what is on its way; what streams hold is bounded by their own windows, so that a
    // stream nobody reads cannot stop the others (spec 2.5).
    if (!item.last) return;
    const delta = this.#window.consume(item.length);
    if (delta > 0) this.#sender.session({ type: 'window-update', streamId: 0, delta });
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
      case 'key-nego':
        if (frame.retire) this.#envelope.retired();
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
