import {
  type ControlFrame,
  type ControlItem,
  type DataItem,
  FrameDecoder,
  type Item,
  type KeyNego,
  type KeySwitch,
  SETTING,
  type SealedItem,
  type Settings,
} from '@keymux/frames';
import { equalBytes, SessionDigest, switchDigest } from './digests.ts';
import { flowControlError, keyFailure, protocolError } from './errors.ts';
import { ReceiveWindow } from './flow-window.ts';
import type { KeyInfo, ReceiveKey } from './key-port.ts';
import type { Sender } from './sender.ts';
import { bindDirection, type SessionState } from './state.ts';
import { CLEAR } from './stream.ts';
import type { StreamReceiver } from './stream-receiver.ts';

const INITIAL_SESSION_WINDOW = 65_536;

/** The envelope whose frames are being handled. */
interface OpenEnvelope {
  readonly key: ReceiveKey;
  readonly head: Uint8Array;
  /** KEY_UPDATE is allowed only as the first frame. */
  first: boolean;
  /** Envelopes of the generation before, if this is the first of its generation. */
  expectedUpdate: number | undefined;
  /** PADDING ends an envelope. */
  padded: boolean;
}

/**
 * The receiving half: takes bytes apart, opens envelopes, checks that each frame came where it may come (spec 4.2),
 * and handles session frames. Frames of streams go on to `StreamReceiver`.
 */
export class Receiver {
  readonly #state: SessionState;
  readonly #sender: Sender;
  readonly #streams: StreamReceiver;
  readonly #outside: FrameDecoder;
  readonly #inside = new FrameDecoder({ place: 'inside', sealed: true });
  readonly #digest: SessionDigest;
  readonly #window: ReceiveWindow;
  #envelope: OpenEnvelope | undefined;
  /** An item that cannot be interpreted before its key's run has made a step. */
  #parked: Item | undefined;
  /** The key that the peer's session frames travel under. */
  #controlKeyId = CLEAR;
  #controlGeneration = 0;
  #controlFrames = 0;
  /** PINGs of ours on their way: ID to when it was sent. */
  readonly pings = new Map<number, number>();
  /** When the last byte came. */
  heardAt: number;

  constructor(state: SessionState, sender: Sender, streams: StreamReceiver) {
    this.#state = state;
    this.#sender = sender;
    this.#streams = streams;
    this.#outside = new FrameDecoder({ place: 'outside', sealed: state.keys !== undefined });
    this.#digest = new SessionDigest(state.createHash);
    this.#window = new ReceiveWindow(INITIAL_SESSION_WINDOW, state.config.sessionWindow);
    this.heardAt = state.now;
  }

  /** Whether received bytes are waiting for a key, so that no more should be read. */
  get waiting(): boolean {
    return this.#parked !== undefined;
  }

  /** Whether the carrier may end here without cutting a frame. */
  get atFrameBoundary(): boolean {
    return this.#parked === undefined && this.#outside.buffered === 0 && !this.#outside.midFrame;
  }

  /** The delta that tells the peer our session window at the start. */
  raiseWindow(): number {
    return this.#window.raise();
  }

  push(chunk: Uint8Array): void {
    this.heardAt = this.#state.now;
    this.#outside.push(chunk);
  }

  /** Handles all that can be handled now. Throws SessionError. */
  run(): void {
    for (;;) {
      const item = this.#parked ?? this.#next();
      if (item === undefined) return;
      if (this.#mustWait(item)) {
        this.#parked = item;
        return;
      }
      this.#parked = undefined;
      if (item.kind === 'sealed') this.#openEnvelope(item);
      else if (item.kind === 'data') this.#data(item);
      else this.#control(item);
    }
  }

  #next(): Item | undefined {
    if (this.#envelope !== undefined) {
      const item = this.#inside.next();
      if (item !== undefined) return item;
      this.#closeEnvelope(this.#envelope);
    }
    return this.#outside.next();
  }

  #mustWait(item: Item): boolean {
    const { keys } = this.#state;
    if (keys === undefined) return false;
    if (item.kind === 'sealed') return keys.busy(item.keyId);
    return item.kind === 'control' && item.frame.type === 'key-nego' && keys.busy(item.frame.keyId);
  }

  #openEnvelope(item: SealedItem): void {
    const { keys } = this.#state;
    const key = keys?.receiver(item.keyId, item.generation);
    if (keys === undefined || key === undefined) {
      throw keyFailure(
        `an envelope under key ${item.keyId}, generation ${item.generation}, which is not established`,
      );
    }
    let plaintext: Uint8Array[];
    try {
      plaintext = key.open(item.head, item.body);
    } catch (error) {
      throw keyFailure(`an envelope under key ${item.keyId} does not open`, error);
    }
    for (const part of plaintext) this.#inside.push(part);
    const previous =
      key.opened === 1 && key.generation > 0 ? keys.receiver(item.keyId, item.generation - 1) : undefined;
    this.#envelope = { key, head: item.head, first: true, expectedUpdate: previous?.opened, padded: false };
  }

  #closeEnvelope(envelope: OpenEnvelope): void {
    if (envelope.first) throw keyFailure('an envelope without a frame');
    if (this.#inside.midFrame) throw keyFailure('an envelope that ends inside a frame');
    this.#digest.update(envelope.head);
    this.#envelope = undefined;
  }

  /** The key that the frame at hand came under; undefined if it came in the clear. */
  get #key(): KeyInfo | undefined {
    return this.#envelope?.key.info;
  }

  #data(item: DataItem): void {
    if (this.#envelope !== undefined) this.#enterFrame(this.#envelope, 'data');
    if (item.head !== undefined) {
      if (this.#envelope === undefined) this.#digest.update(item.head);
      if (!this.#window.receive(item.length)) throw flowControlError('the peer exceeded the session window');
    }
    this.#streams.data(item, this.#key);
    // The session window bounds what is on its way; what streams hold is bounded by their own windows, so that a
    // stream nobody reads cannot stop the others (spec 2.5).
    if (item.last) {
      const delta = this.#window.consume(item.length);
      if (delta > 0) this.#sender.session({ type: 'window-update', streamId: 0, delta });
    }
  }

  #control(item: ControlItem): void {
    const { frame, bytes } = item;
    if (this.#envelope !== undefined) {
      this.#enterFrame(this.#envelope, frame.type, frame.type === 'key-update' ? frame.count : undefined);
    }
    const digestBefore =
      frame.type === 'key-nego' || (frame.type === 'key-switch' && frame.streamId === 0)
        ? this.#digest.snapshot()
        : undefined;
    if (this.#envelope === undefined) this.#digest.update(bytes);
    switch (frame.type) {
      case 'syn-stream':
      case 'syn-reply':
      case 'headers':
      case 'rst-stream':
      case 'stream-end':
        this.#streams.control(frame, bytes, this.#key);
        return;
      case 'window-update':
        if (frame.streamId !== 0) this.#streams.control(frame, bytes, this.#key);
        else this.#sessionFrame(frame);
        return;
      case 'settings':
      case 'ping':
      case 'goaway':
        this.#sessionFrame(frame);
        return;
      case 'key-nego':
        this.#keyNego(frame, bytes, digestBefore as Uint8Array);
        return;
      case 'key-switch':
        if (frame.streamId === 0) this.#switchControl(frame, digestBefore as Uint8Array);
        else this.#switchStream(frame);
        return;
      case 'key-update':
      case 'padding':
        return; // handled by #enterFrame
      case 'unknown':
        this.#state.accounts.spend('idle', this.#state.now);
    }
  }

  /** Checks of the envelope as such: KEY_UPDATE first and as counted, PADDING last. */
  #enterFrame(envelope: OpenEnvelope, type: ControlFrame['type'] | 'data', update?: number): void {
    if (envelope.padded) throw keyFailure('a frame after PADDING');
    if (envelope.first) this.#enterGeneration(envelope, update);
    else if (update !== undefined) throw keyFailure('KEY_UPDATE is not the first frame');
    envelope.first = false;
    envelope.padded = type === 'padding';
  }

  /** The first envelope of a generation says how many the generation before it had (spec 4.3). */
  #enterGeneration(envelope: OpenEnvelope, update: number | undefined): void {
    const { key, expectedUpdate } = envelope;
    if (expectedUpdate === undefined) {
      if (update !== undefined) throw keyFailure('KEY_UPDATE without an earlier generation');
      return;
    }
    if ((update ?? 0) !== expectedUpdate) throw keyFailure('KEY_UPDATE: envelopes were lost on the way');
    this.#state.keys?.confirmGeneration(key.keyId, key.generation);
  }

  #sessionFrame(frame: ControlFrame): void {
    this.#requireControlKey();
    switch (frame.type) {
      case 'window-update':
        this.#state.accounts.spend('windowUpdates', this.#state.now);
        if (!this.#sender.window.grant(frame.delta))
          throw flowControlError('the session window exceeds 2^31 - 1');
        this.#sender.windowOpened();
        return;
      case 'settings':
        this.#settings(frame);
        return;
      case 'ping':
        this.#ping(frame.id);
        return;
      case 'goaway':
        this.#state.peerGoneAway = true;
        this.#state.emit({ type: 'goaway', lastGoodId: frame.lastGoodId, status: frame.status });
    }
  }

  /** Session frames come under the key that the peer has moved them to, and nowhere else (spec 4.2). */
  #requireControlKey(): void {
    const keyId = this.#envelope?.key.keyId ?? CLEAR;
    if (keyId !== this.#controlKeyId) {
      throw keyFailure(
        `a session frame under key ${keyId}; this peer's session frames travel under ${this.#controlKeyId}`,
      );
    }
    this.#controlFrames++;
    this.#controlGeneration = this.#envelope?.key.generation ?? 0;
  }

  #settings(frame: Settings): void {
    const state = this.#state;
    state.accounts.spend('settings', state.now);
    const seen = new Set<number>();
    for (const { id, value } of frame.entries) {
      if (seen.has(id)) continue;
      seen.add(id);
      if (id === SETTING.MAX_CONCURRENT_STREAMS) state.peerMaxStreams = value;
      else if (id === SETTING.INITIAL_WINDOW_SIZE) this.#resizeWindows(value);
      else if (id === SETTING.KEYMUX) {
        const depth = value >>> 24;
        if (state.role === 'server') state.keys?.setDepth(depth);
        state.emit({ type: 'announced', algorithms: value & 0xffffff, depth });
      } else if (id === SETTING.KEYMUX_SWITCH_LIMIT) {
        state.switchLimit = Math.min(state.config.switchLimit, value);
      }
    }
    for (const stream of state.streams.values()) this.#sender.wake(stream);
  }

  #resizeWindows(value: number): void {
    if (value > 0x7fffffff) throw flowControlError('INITIAL_WINDOW_SIZE exceeds 2^31 - 1');
    const delta = value - this.#state.peerStreamWindow;
    this.#state.peerStreamWindow = value;
    for (const stream of this.#state.streams.values()) {
      if (!stream.sendWindow.grant(delta))
        throw flowControlError('INITIAL_WINDOW_SIZE overflows the window of a stream');
    }
  }

  #ping(id: number): void {
    const state = this.#state;
    if ((id % 2 === 1) === (state.role === 'client')) {
      const sentAt = this.pings.get(id);
      if (sentAt === undefined) state.accounts.spend('idle', state.now);
      else {
        this.pings.delete(id);
        state.emit({ type: 'pong', id, elapsed: state.now - sentAt });
      }
      return;
    }
    state.accounts.spend('pings', state.now);
    if (this.#sender.pendingPongs >= state.config.budgets.queuedAnswers) {
      throw protocolError('the peer sends PINGs and does not read the answers');
    }
    this.#sender.session({ type: 'ping', id });
  }

  #keyNego(frame: KeyNego, bytes: Uint8Array, digestBefore: Uint8Array): void {
    const { keys, accounts, now } = this.#state;
    if (keys === undefined) return;
    if (!frame.retire) this.#requireControlKey();
    else if (this.#envelope?.key.keyId !== frame.keyId)
      throw keyFailure('RETIRE outside an envelope of its key');
    accounts.spend('negotiations', now);
    keys.receive(frame, bytes, digestBefore, now);
  }

  #switchControl(frame: KeySwitch, digest: Uint8Array): void {
    const key = this.#envelope?.key;
    if (key === undefined || key.info.authority !== '' || key.info.early) {
      throw keyFailure('session frames switched to a key that is not a connection key');
    }
    if (
      frame.previousKeyId !== this.#controlKeyId ||
      frame.previousGeneration !== this.#controlGeneration ||
      frame.count !== this.#controlFrames ||
      !equalBytes(frame.digest, digest)
    ) {
      throw keyFailure('KEY_SWITCH: session frames were lost, added or changed on the way');
    }
    this.#controlKeyId = key.keyId;
    this.#controlGeneration = key.generation;
  }

  #switchStream(frame: KeySwitch): void {
    const { createHash, switchLimit } = this.#state;
    const key = this.#envelope?.key;
    const stream = this.#state.streams.get(frame.streamId);
    if (stream === undefined) return this.#state.accounts.spend('idle', this.#state.now);
    if (key === undefined || createHash === undefined) throw keyFailure('KEY_SWITCH outside an envelope');
    const direction = stream.in;
    const answered = stream.ours ? stream.syn : undefined;
    const bound = Math.max(direction.keyId, CLEAR);
    if (
      bound === key.keyId ||
      frame.previousKeyId !== bound ||
      frame.previousGeneration !== direction.generation ||
      frame.count !== direction.frames ||
      direction.clearPayload > switchLimit ||
      !equalBytes(frame.digest, switchDigest(createHash, stream.id, direction.clearHash, answered))
    ) {
      throw keyFailure(`KEY_SWITCH: frames of stream ${stream.id} were lost, added or changed on the way`);
    }
    bindDirection(this.#state, stream, direction, key.keyId);
    direction.clearHash = undefined;
    this.#state.emit({ type: 'switched', id: stream.id, key: key.info });
  }
}
