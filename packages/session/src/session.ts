import { GOAWAY, type HeaderList, RST, type StateReader, type StateWriter } from '@keymux/frames';
import { type OpenOptions, type ReplyOptions, StreamCommands } from './commands.ts';
import { CLEAR } from './control-binding.ts';
import { Departure } from './departure.ts';
import { carrierEnded, handedOver, overload, type SessionError, toSessionError } from './errors.ts';
import type { SessionEvent } from './events.ts';
import { Fifo } from './fifo.ts';
import {
  type FreezeOptions,
  handOverError,
  readBlob,
  SECTION,
  type ThawOptions,
  writeBlob,
} from './hand-over.ts';
import { KeyProgress } from './key-progress.ts';
import { PeerTimeouts } from './peer-timeouts.ts';
import { Receiver } from './receiver.ts';
import { Retirement } from './retirement.ts';
import type { ResumeHash } from './saved-hash.ts';
import { Sender } from './sender.ts';
import { announcement, firstStreamId, initialState, type SessionOptions } from './session-options.ts';
import { letGo, loadState, type SessionState, saveState } from './state.ts';

const MAX_PING_ID = 0xffff_ffff;
/** Frames that may wait while more is received: what a session says at its beginning is fewer. */
const FEW_FRAMES = 64;
/** Payload of a peer without windows that may wait to be consumed, in bytes. */
const MOST_HELD = 4 * 1024 * 1024;

/**
 * One side of one session, without input or output: bytes go in by `receive`, come out by `output`, what happens is polled by
 * `nextEvent`, time is told by the caller. Five kinds of methods:
 *
 * - from the carrier: `receive`, `keepEvents`, `carrierEnded`, `carrierBlocked`, `carrierReady`, `handleDeadline`, `keysProgressed`
 * - to the carrier: `output`, `outputMayWait`, `wantsInput`, `over`, `nextDeadline`
 * - to the user: `nextEvent`
 * - to another process: `handOverObstacle`, `freeze`, `thaw`
 * - from the user: `open`, `reply`, `headers`, `send`, `end`, `switchKey`, `retireKey`, `reset`, `consume`, `hold`, `letGo`, `ping`, `goAway`, `destroy`
 *
 * Commands throw UsageError and change nothing if they cannot be carried out. Errors of the peer come as events. After any of
 * the first and last kind there may be output, events, and another deadline.
 */
export class Session {
  readonly #state: SessionState;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #keyProgress: KeyProgress;
  readonly #retirement: Retirement;
  readonly #commands: StreamCommands;
  readonly #timeouts: PeerTimeouts;
  readonly #departure: Departure;
  readonly #events = new Fifo<SessionEvent>();
  #nextPingId: number;
  /** The carrier has ended, and what it brought before is still waiting for a key. */
  #endPending = false;
  #error: SessionError | undefined;

  constructor(options: SessionOptions) {
    this.#state = initialState(options, {
      emit: (event) => this.#events.push(event),
      pollKeys: () => this.#keyProgress.poll(),
    });
    this.#sender = new Sender(this.#state);
    this.#receiver = new Receiver(this.#state, this.#sender);
    this.#retirement = new Retirement(this.#state, this.#sender);
    this.#keyProgress = new KeyProgress(this.#state, this.#sender, this.#retirement);
    this.#commands = new StreamCommands(this.#state, this.#sender, firstStreamId(options));
    this.#timeouts = new PeerTimeouts(this.#state, this.#sender);
    this.#departure = new Departure(this.#state, this.#sender);
    this.#nextPingId = options.role === 'client' ? 1 : 2;
    if (this.#state.link) return; // the front has said what is to be said (spec 10.5)
    this.#sender.session(announcement(this.#state));
    const delta = this.#state.windows.receive(CLEAR).tell();
    if (delta > 0) this.#sender.session({ type: 'window-update', streamId: 0, delta });
  }

  // From the carrier

  /** Takes bytes from the carrier. `chunk` is lent: its owner may change it once all events were polled, or `keepEvents` was called. */
  receive(chunk: Uint8Array, now: number): void {
    this.#advance(now, () => {
      this.#receiver.push(chunk);
      const handled = this.#receiver.run();
      this.#timeouts.received(now, handled, this.#receiver.holdsPart);
      this.#checkQueue();
    });
  }

  /** Copies what is lent in events that nobody has polled yet; then the chunk may change all the same. */
  keepEvents(): void {
    for (let left = this.#events.length; left > 0; left--) {
      const event = this.#events.shift() as SessionEvent;
      const lent = event.type === 'data' && event.lent;
      this.#events.push(lent ? { ...event, payload: new Uint8Array(event.payload), lent: false } : event);
    }
  }

  /** The carrier has more than it can take, and will say when it is ready again. */
  carrierBlocked(now: number): void {
    this.#timeouts.blocked(now);
  }

  /** The carrier has taken everything that it was given: somebody at the other end takes it. */
  carrierReady(now: number = this.#state.now): void {
    this.#timeouts.ready(now);
  }

  /** The carrier has no more input. An end inside a frame, or with open streams, is an error, never a normal end (spec 4.7). */
  carrierEnded(now: number): void {
    this.#advance(now, () => {
      this.#endPending = true;
    });
  }

  /** The key registry has made progress: a run has a message to send, a key is ready, a run has failed. */
  keysProgressed(now: number): void {
    this.#advance(now, () => undefined);
  }

  handleDeadline(now: number): void {
    this.#advance(now, () => {
      this.#state.keys?.handleDeadline(now);
      this.#departure.check(now);
      if (this.#timeouts.check(now, this.#reading)) this.ping();
    });
  }

  /** Does something that may fail the session, then what has become possible by it. */
  #advance(now: number, action: () => void): void {
    this.#state.now = now;
    if (this.#error !== undefined) return;
    try {
      action();
      this.#settle();
    } catch (error) {
      this.#fail(toSessionError(error));
    }
  }

  /** Hears what the keys have to say, and goes on with what was waiting for them. */
  #settle(): void {
    this.#keyProgress.poll();
    if (this.#receiver.waiting && this.#receiver.run())
      this.#timeouts.resumed(this.#state.now, this.#receiver.holdsPart);
    this.#retirement.check();
    if (!this.#endPending || this.#receiver.waiting) return;
    this.#endPending = false;
    const saidSo = this.#state.peerGoneAway;
    this.#state.peerGoneAway = true;
    const open = this.#state.streams.size;
    if (open === 0 && this.#receiver.atFrameBoundary) return;
    if (saidSo) this.#departure.sayNothing(); // who has said GOAWAY and left listens no more
    throw carrierEnded(open);
  }

  /** Who makes us say things and does not listen must stop at some time (spec 7.3). */
  #checkQueue(): void {
    const { queuedFrames } = this.#state.config.budgets;
    if (this.#sender.queuedFrames > queuedFrames)
      throw overload(`more than ${queuedFrames} frames wait for a peer that does not read`);
  }

  #fail(error: SessionError): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#departure.fail(error);
  }

  // To the carrier

  /** What to write next, about `most` bytes; undefined if there is nothing to write now. */
  output(most = 256 * 1024): Uint8Array[] | undefined {
    if (this.#error !== undefined) return this.#departure.farewell(this.#error.status);
    try {
      this.#keyProgress.poll();
      // Where a message of a run is out, a key may have come with it, and more to say.
      while (this.#sender.fill(most)) this.#settle();
      return this.#sender.take();
    } catch (error) {
      this.#fail(toSessionError(error));
      return this.output(most);
    }
  }

  /**
   * Whether there is output that may wait until more has been received: no last words, and no answers that a peer is blamed for if they become many, as if it did
   * not read them (spec 7.3).
   */
  get outputMayWait(): boolean {
    const { pending, pendingPongs, queuedFrames } = this.#sender;
    return pending && this.#error === undefined && pendingPongs === 0 && queuedFrames <= FEW_FRAMES;
  }

  /** Whether more input may be given now. If not, reading should stop; `keysProgressed` or `output` may change it. */
  get wantsInput(): boolean {
    return this.#reading && this.#error === undefined;
  }

  get #reading(): boolean {
    const { config, unconsumed } = this.#state;
    const full = config.peerFlowControl === 'none' && unconsumed > Math.min(config.sessionWindow, MOST_HELD);
    return !full && !this.#receiver.full;
  }

  /**
   * Whether the carrier may be closed: the session failed (what `output` still has should be written if that is
   * possible), or it went away, its last stream is over, and the carrier has taken all of it.
   */
  get over(): boolean {
    if (this.#error !== undefined) return true;
    const { draining, peerGoneAway, streams } = this.#state;
    if (streams.size > 0 || !(draining || peerGoneAway)) return false;
    return this.#departure.drained || !(this.#sender.pending || this.#timeouts.outputWaits);
  }

  get error(): SessionError | undefined {
    return this.#error;
  }

  /** When `handleDeadline` wants to be called. */
  nextDeadline(): number | undefined {
    if (this.#error !== undefined) return undefined;
    const keys = this.#state.keys?.nextDeadline() ?? Number.POSITIVE_INFINITY;
    const next = Math.min(this.#timeouts.deadline(this.#reading), this.#departure.deadline, keys);
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  // To another process

  /** Why the session cannot be handed over now, for people; undefined if it can (spec 13.1). */
  get handOverObstacle(): string | undefined {
    const { link, createHash, keys } = this.#state;
    if (this.#error !== undefined) return 'it is over';
    if (link) return 'it is behind a front';
    if (createHash !== undefined && createHash().save === undefined) return 'its digests cannot be saved';
    if (this.#receiver.waiting) return 'received bytes wait for a key';
    if (this.#events.length > 0) return 'it has news that nobody has asked for';
    return keys?.handOverObstacle;
  }

  /**
   * The state of the session, for `thaw` of another process (spec 13): whoever has it can open and seal in its place. From now on this session
   * takes nothing and gives out nothing, its keys are wiped, and its error is `ERR_KEYMUX_HANDED_OVER`. Whatever was read from the carrier
   * has to be given to `receive` first, and all events have to be polled.
   *
   * Throws UsageError `ERR_KEYMUX_HAND_OVER` if there is a `handOverObstacle`; then the session goes on as before.
   */
  freeze({ id, unsent = [], now }: FreezeOptions): Uint8Array {
    this.#advance(now, () => undefined);
    const obstacle = this.handOverObstacle;
    if (obstacle !== undefined) throw handOverError(`the session cannot be handed over: ${obstacle}`);
    const blob = writeBlob(id, this.#state, (writer) => this.#save(writer, unsent));
    this.#error = handedOver();
    this.#departure.handOver();
    return blob;
  }

  /**
   * The session that `freeze` has made the blob of: it goes on where that one stood, and its first output is what was unsent. The blob is
   * wiped, also if this throws: UsageError `ERR_KEYMUX_HAND_OVER` if it is cut, changed, of another version, or of keys that are not loaded.
   */
  static thaw(blob: Uint8Array, { loadKeys, resumeHash, config, ...options }: ThawOptions): Session {
    return readBlob(blob, loadKeys, (reader, { role, config: told }, keys) => {
      const session = new Session({ ...options, role, config: { ...config, ...told }, keys });
      session.#load(reader, resumeHash);
      return session;
    });
  }

  #save(writer: StateWriter, unsent: readonly Uint8Array[]): void {
    const { now } = this.#state;
    writer.section(SECTION.STATE, () => saveState(writer, this.#state));
    writer.section(SECTION.SENDER, () => this.#sender.save(writer, unsent));
    writer.section(SECTION.RECEIVER, () => this.#receiver.save(writer));
    writer.section(SECTION.SESSION, () => {
      this.#keyProgress.save(writer);
      this.#commands.save(writer);
      this.#timeouts.save(writer, now);
      writer.u32(this.#nextPingId);
      this.#departure.save(writer, now);
    });
  }

  #load(reader: StateReader, resume: ResumeHash | undefined): void {
    const { now } = this.#state;
    reader.section(SECTION.STATE, () => loadState(reader, this.#state, resume));
    reader.section(SECTION.SENDER, () => this.#sender.load(reader, resume));
    reader.section(SECTION.RECEIVER, () => this.#receiver.load(reader, resume));
    reader.section(SECTION.SESSION, () => {
      this.#keyProgress.load(reader);
      this.#commands.load(reader);
      this.#timeouts.load(reader, now);
      this.#nextPingId = reader.u32();
      this.#departure.load(reader, now);
    });
  }

  // To the user

  nextEvent(): SessionEvent | undefined {
    return this.#events.shift();
  }

  /** Whether the peer is a front, or this side is behind one (spec 10). */
  get fronted(): boolean {
    return this.#state.fronted;
  }

  get streamCount(): number {
    return this.#state.streams.size;
  }

  /** Whether the stream is open. */
  isOpen(id: number): boolean {
    return this.#state.streams.has(id);
  }

  /** Whether `open` would be accepted now. */
  get canOpen(): boolean {
    return this.#commands.obstacle === undefined;
  }

  // From the user

  /**
   * Opens a stream; returns its ID. Throws UsageError `ERR_KEYMUX_GOING_AWAY`, `_TOO_MANY_STREAMS`, `_IDS_USED_UP`, `_NO_KEY`,
   * `_ARGUMENT`, `_HEADER` or `_FRAME_TOO_LARGE`.
   */
  open(headers: HeaderList, options: OpenOptions = {}): number {
    return this.#commands.open(headers, options);
  }

  /** Answers a stream of the peer. What was queued before follows the answer. */
  reply(id: number, headers: HeaderList, options: ReplyOptions = {}): void {
    this.#commands.reply(id, headers, options);
  }

  /** Sends more headers, after all payload that was queued before. */
  headers(id: number, headers: HeaderList): void {
    this.#commands.headers(id, headers);
  }

  /** Queues payload. `bytes` must not change any more: they are passed on as they are, also after `drain`. */
  send(id: number, bytes: Uint8Array): void {
    this.#commands.send(id, bytes);
  }

  /** Ends our direction of the stream, after everything queued. */
  end(id: number): void {
    this.#commands.end(id);
  }

  /** Seals everything that comes after on our direction of the stream with another key (spec 4.5). */
  switchKey(id: number, keyId: number): void {
    this.#commands.switchKey(id, keyId);
  }

  /**
   * Opens no more streams under the key, and retires it (spec 3.3) as soon as no stream needs it; `key-retired` comes when the peer has
   * done the same. Throws UsageError `ERR_KEYMUX_KEY_NEEDED` while our session frames travel under it.
   */
  retireKey(keyId: number): void {
    this.#commands.retireKey(keyId);
    this.#retirement.check();
  }

  /** Ends the stream in both directions at once. A stream that is over already is left alone. */
  reset(id: number, status: number = RST.CANCEL): void {
    this.#commands.reset(id, status);
  }

  /** Says that `bytes` of payload from `data` events are done with, so that the peer may send more. Also of a stream that is over. */
  consume(id: number, bytes: number, now: number = this.#state.now): void {
    this.#state.now = now;
    const { growth } = this.#state;
    if (this.#commands.consume(id, bytes) && growth?.wantsMeasure(now)) this.ping(now);
  }

  /**
   * Says that somebody handles a stream of the peer. If it ends before our answer is complete, it goes on counting against
   * `maxConcurrentStreams` until `letGo` (spec 2.4). Does nothing if the stream is over.
   */
  hold(id: number): void {
    const stream = this.#state.streams.get(id);
    if (stream !== undefined && !stream.ours) stream.held = true;
  }

  /** Says that nobody handles the stream any more. */
  letGo(id: number): void {
    letGo(this.#state, id);
  }

  /** Asks the peer for a sign of life; the `pong` event carries the returned ID. */
  ping(now: number = this.#state.now): number {
    const id = this.#nextPingId;
    this.#state.now = now;
    this.#nextPingId = id + 2 > MAX_PING_ID ? id % 2 || 2 : id + 2;
    this.#receiver.pingSent(id);
    this.#sender.session({ type: 'ping', id });
    return id;
  }

  /** Bytes by which windows have grown of streams that are over, and whose payload still waits to be consumed. */
  get lingeringGrowth(): number {
    return this.#state.growth?.lingering ?? 0;
  }

  /** Takes no more streams, lets the open ones end for `within` milliseconds, at most Infinity. Called again, it can only shorten that. */
  goAway(
    status: number = GOAWAY.OK,
    now: number = this.#state.now,
    within: number = this.#state.config.drainTimeout,
  ): void {
    this.#departure.goAway(status, now, within);
  }

  /** Ends the session now, telling the peer the error's status. */
  destroy(error: SessionError): void {
    this.#fail(error);
  }
}
