import { GOAWAY, type HeaderList, RST, SETTING } from '@keymux/frames';
import { Accounts } from './budgets.ts';
import { type SessionConfig, sessionConfig } from './config.ts';
import { keyFailure, SessionError, toSessionError, UsageError } from './errors.ts';
import type { SessionEvent } from './events.ts';
import type { KeyPort, RunningHash } from './key-port.ts';
import { Receiver } from './receiver.ts';
import { Sender } from './sender.ts';
import { addStream, type Role, removeStream, type SessionState } from './state.ts';
import { CLEAR, type Stream } from './stream.ts';
import { StreamReceiver } from './stream-receiver.ts';

const MAX_STREAM_ID = 0x7fffffff;
const DEFAULT_STREAM_WINDOW = 65_536;

export interface SessionOptions {
  readonly role: Role;
  readonly config?: Partial<SessionConfig>;
  /** Without keys the session is plain SPDY/3.1. */
  readonly keys?: KeyPort | undefined;
  /** SHA-256; needed with keys. */
  readonly createHash?: (() => RunningHash) | undefined;
  /** Now, in milliseconds of any monotonic clock. */
  readonly now: number;
}

export interface OpenOptions {
  readonly fin?: boolean;
  /** 0 (highest) to 7; 3 by default. */
  readonly priority?: number;
  readonly associatedId?: number;
  readonly unidirectional?: boolean;
  /** The key to seal the stream with; 0, the default, sends it in the clear. */
  readonly keyId?: number;
  /** DATA travels outside envelopes because what runs inside protects itself (spec 4.6). */
  readonly payloadOutside?: boolean;
}

/**
 * One side of one session, without input or output: bytes go in by `receive`, come out by `output`, what happens is polled by
 * `nextEvent`, time is told by the caller. Four kinds of methods:
 *
 * - from the carrier: `receive`, `carrierEnded`, `handleDeadline`, `keysProgressed`
 * - to the carrier: `output`, `wantsInput`, `over`, `nextDeadline`
 * - to the user: `nextEvent`
 * - from the user: `open`, `reply`, `headers`, `send`, `end`, `switchKey`, `reset`, `consume`, `ping`, `goAway`, `destroy`
 *
 * Commands throw UsageError and change nothing if they cannot be carried out. Errors of the peer come as events.
 */
export class Session {
  readonly #state: SessionState;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #events: SessionEvent[] = [];
  #eventsAt = 0;
  #nextStreamId: number;
  #nextPingId: number;
  #askedAt: number | undefined;
  #drainBy: number | undefined;
  #error: SessionError | undefined;
  #farewellSent = false;

  constructor(options: SessionOptions) {
    const config = sessionConfig(options.config);
    if (options.keys !== undefined && options.createHash === undefined) {
      throw new UsageError('ERR_KEYMUX_CONFIG', 'a session with keys needs createHash');
    }
    this.#state = {
      role: options.role,
      config,
      keys: options.keys,
      createHash: options.keys && options.createHash,
      accounts: new Accounts(config.budgets),
      streams: new Map(),
      emit: (event) => void this.#events.push(event),
      peerStreamWindow: DEFAULT_STREAM_WINDOW,
      switchLimit: config.switchLimit,
      peerStreams: 0,
      ourStreams: 0,
      peerMaxStreams: Number.POSITIVE_INFINITY,
      lastPeerStreamId: 0,
      peerGoneAway: false,
      draining: false,
      now: options.now,
    };
    this.#sender = new Sender(this.#state);
    this.#receiver = new Receiver(this.#state, this.#sender, new StreamReceiver(this.#state, this.#sender));
    const client = options.role === 'client';
    this.#nextStreamId = client ? 1 : 2;
    this.#nextPingId = client ? 1 : 2;
    this.#announce();
  }

  /** The first frames of a session: SETTINGS and the session window (spec 2.1). */
  #announce(): void {
    const { config, keys, role } = this.#state;
    const entries: { id: number; value: number; flags: number }[] = [
      { id: SETTING.MAX_CONCURRENT_STREAMS, value: config.maxConcurrentStreams, flags: 0 },
      { id: SETTING.INITIAL_WINDOW_SIZE, value: config.streamWindow, flags: 0 },
    ];
    if (keys !== undefined && config.algorithms !== 0) {
      const depth = role === 'client' ? config.depth : 0;
      entries.push({ id: SETTING.KEYMUX, value: depth * 2 ** 24 + config.algorithms, flags: 0 });
      entries.push({ id: SETTING.KEYMUX_SWITCH_LIMIT, value: config.switchLimit, flags: 0 });
    }
    this.#sender.session({ type: 'settings', clear: false, entries });
    const delta = this.#receiver.raiseWindow();
    if (delta > 0) this.#sender.session({ type: 'window-update', streamId: 0, delta });
  }

  // From the carrier

  /** Takes bytes from the carrier. The session owns `chunk` from now on and hands out views of it. */
  receive(chunk: Uint8Array, now: number): void {
    this.#advance(now, () => {
      this.#receiver.push(chunk);
      this.#receiver.run();
    });
  }

  /** The carrier has no more input. An end inside a frame, or with open streams, is an error, never a normal end (spec 4.7). */
  carrierEnded(now: number): void {
    this.#advance(now, () => {
      if (this.#state.streams.size === 0 && this.#receiver.atFrameBoundary) return;
      throw new SessionError(
        'ERR_KEYMUX_CARRIER_ENDED',
        GOAWAY.PROTOCOL_ERROR,
        'remote',
        `the connection ended with ${this.#state.streams.size} open streams`,
      );
    });
  }

  /** The key registry has made progress: a run has a message to send, a key is ready, a run has failed. */
  keysProgressed(now: number): void {
    this.#advance(now, () => this.#receiver.run());
  }

  handleDeadline(now: number): void {
    this.#advance(now, () => {
      const { keys, config, streams } = this.#state;
      keys?.handleDeadline(now);
      if (this.#drainBy !== undefined && now >= this.#drainBy) {
        for (const stream of [...streams.values()]) this.#drop(stream, RST.CANCEL);
        this.#drainBy = undefined;
      }
      const silence = now - this.#receiver.heardAt;
      if (this.#askedAt !== undefined && this.#receiver.heardAt > this.#askedAt) this.#askedAt = undefined;
      if (this.#askedAt !== undefined && now - this.#askedAt >= config.keepAliveTimeout) {
        const seconds = Math.round(silence / 1000);
        throw new SessionError(
          'ERR_KEYMUX_TIMEOUT',
          GOAWAY.OK,
          'remote',
          `the peer has been silent for ${seconds} s`,
        );
      }
      if (config.keepAlive > 0 && silence >= config.keepAlive && this.#askedAt === undefined) {
        this.#askedAt = now;
        this.ping();
      }
    });
  }

  /** Runs something that may fail the session, then hands on what the keys have to say. */
  #advance(now: number, action: () => void): void {
    this.#state.now = now;
    if (this.#error !== undefined) return;
    try {
      action();
      this.#pollKeys();
    } catch (error) {
      this.#fail(toSessionError(error));
    }
  }

  #pollKeys(): void {
    const { keys, emit } = this.#state;
    if (keys === undefined) return;
    for (let event = keys.poll(); event !== undefined; event = keys.poll()) {
      switch (event.type) {
        case 'send':
          this.#sender.keyNego({ type: 'key-nego', ...event.frame });
          break;
        case 'established':
          if (event.send && event.key.authority === '' && !event.key.early)
            this.#sender.switchControl(event.key.keyId);
          emit({ type: 'key', key: event.key, send: event.send, receive: event.receive });
          this.#receiver.run();
          break;
        case 'rejected':
          emit({
            type: 'key-rejected',
            keyId: event.keyId,
            reason: event.reason,
            algorithms: event.algorithms,
          });
          break;
        case 'failed':
          throw keyFailure(event.error.message, event.error);
        case 'retired':
          break;
      }
    }
  }

  #fail(error: SessionError): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    const { streams, lastPeerStreamId } = this.#state;
    this.#sender.session({ type: 'goaway', lastGoodId: lastPeerStreamId, status: error.status });
    for (const stream of [...streams.values()]) {
      this.#state.emit({ type: 'reset', id: stream.id, status: RST.INTERNAL_ERROR, origin: 'local' });
      removeStream(this.#state, stream);
    }
    this.#state.emit({ type: 'error', error });
  }

  // To the carrier

  /** What to write next, about `most` bytes; undefined if there is nothing to write now. */
  output(most = 256 * 1024): Uint8Array[] | undefined {
    if (this.#error !== undefined) return this.#farewell();
    try {
      const output = this.#sender.next(most);
      this.#pollKeys();
      return output;
    } catch (error) {
      this.#fail(toSessionError(error));
      return this.#farewell();
    }
  }

  #farewell(): Uint8Array[] | undefined {
    if (this.#farewellSent) return undefined;
    this.#farewellSent = true;
    try {
      return this.#sender.farewell();
    } catch {
      return undefined; // the key that GOAWAY would travel under is the one that failed
    } finally {
      this.#state.keys?.close();
    }
  }

  /** Whether more input may be given now. If not, reading should stop until `keysProgressed`. */
  get wantsInput(): boolean {
    return !this.#receiver.waiting && this.#error === undefined;
  }

  /** Whether nothing more will come out: the session failed, or went away and its last stream is over. */
  get over(): boolean {
    if (this.#error !== undefined) return true;
    return (this.#state.draining || this.#state.peerGoneAway) && this.#state.streams.size === 0;
  }

  get error(): SessionError | undefined {
    return this.#error;
  }

  /** When `handleDeadline` wants to be called. */
  nextDeadline(): number | undefined {
    if (this.#error !== undefined) return undefined;
    const { keys, config } = this.#state;
    const deadlines = [keys?.nextDeadline(), this.#drainBy];
    if (this.#askedAt !== undefined) deadlines.push(this.#askedAt + config.keepAliveTimeout);
    else if (config.keepAlive > 0) deadlines.push(this.#receiver.heardAt + config.keepAlive);
    const known = deadlines.filter((deadline) => deadline !== undefined);
    return known.length > 0 ? Math.min(...known) : undefined;
  }

  // To the user

  nextEvent(): SessionEvent | undefined {
    const event = this.#events[this.#eventsAt];
    if (event === undefined) return undefined;
    this.#eventsAt++;
    if (this.#eventsAt === this.#events.length) {
      this.#events.length = 0;
      this.#eventsAt = 0;
    }
    return event;
  }

  // From the user

  get streamCount(): number {
    return this.#state.streams.size;
  }

  /** Whether `open` would be accepted now. */
  get canOpen(): boolean {
    const { peerGoneAway, draining, ourStreams, peerMaxStreams } = this.#state;
    return (
      !this.#error &&
      !peerGoneAway &&
      !draining &&
      ourStreams < peerMaxStreams &&
      this.#nextStreamId <= MAX_STREAM_ID
    );
  }

  /** Opens a stream; returns its ID. Throws UsageError `ERR_KEYMUX_GOING_AWAY`, `_TOO_MANY_STREAMS`, `_IDS_USED_UP` or `_NO_KEY`. */
  open(headers: HeaderList, options: OpenOptions = {}): number {
    const state = this.#state;
    if (this.#error || state.peerGoneAway || state.draining) {
      throw new UsageError('ERR_KEYMUX_GOING_AWAY', 'the session takes no new streams; open another session');
    }
    if (state.ourStreams >= state.peerMaxStreams) {
      throw new UsageError(
        'ERR_KEYMUX_TOO_MANY_STREAMS',
        `the peer allows ${state.peerMaxStreams} streams at a time`,
      );
    }
    if (this.#nextStreamId > MAX_STREAM_ID) {
      throw new UsageError('ERR_KEYMUX_IDS_USED_UP', 'all stream IDs are used up; open another session');
    }
    const { keyId = CLEAR, payloadOutside = false, fin = false, unidirectional = false } = options;
    this.#requireSender(keyId);
    if (payloadOutside && (keyId === CLEAR || fin)) {
      throw new UsageError('ERR_KEYMUX_NO_KEY', 'payloadOutside needs a key for the stream, and a payload');
    }
    const id = this.#nextStreamId;
    this.#nextStreamId += 2;
    const priority = options.priority ?? 3;
    const stream = addStream(state, {
      id,
      ours: true,
      priority,
      payloadOutside,
      openedUnder: keyId,
      syn: undefined,
    });
    if (unidirectional) stream.in.ended = true;
    const associatedId = options.associatedId ?? 0;
    this.#sender.open(stream, { type: 'syn-stream', headers, fin, keyId, unidirectional, associatedId });
    return id;
  }

  /** Answers a stream of the peer. `keyId` seals the answer with another key than the stream was opened with. */
  reply(id: number, headers: HeaderList, options: { fin?: boolean; keyId?: number | undefined } = {}): void {
    const stream = this.#outgoing(id);
    if (stream.ours || stream.replied) {
      throw new UsageError(
        'ERR_KEYMUX_REPLIED',
        `stream ${id} ${stream.ours ? 'is our own' : 'was answered already'}`,
      );
    }
    const keyId = options.keyId ?? stream.openedUnder;
    if (keyId === CLEAR && stream.openedUnder !== CLEAR) {
      throw new UsageError('ERR_KEYMUX_NO_KEY', `stream ${id} came sealed; its answer cannot be clear`);
    }
    // The key of the request needs no check: if its run is not quite over, its last message goes out before this.
    if (keyId !== stream.openedUnder) this.#requireSender(keyId);
    stream.replied = true;
    const fin = options.fin ?? false;
    this.#sender.open(stream, {
      type: 'syn-reply',
      headers,
      fin,
      keyId,
      unidirectional: false,
      associatedId: 0,
    });
  }

  /** Sends more headers, after all payload that was queued before. */
  headers(id: number, headers: HeaderList): void {
    this.#sender.enqueue(this.#outgoing(id), { type: 'headers', headers });
  }

  /** Queues payload. The session owns `bytes` until the stream's `drain` event. */
  send(id: number, bytes: Uint8Array): void {
    if (bytes.length > 0) this.#sender.enqueue(this.#outgoing(id), { type: 'data', bytes });
  }

  /** Ends our direction of the stream, after everything queued. */
  end(id: number): void {
    this.#sender.enqueue(this.#outgoing(id), { type: 'end' });
  }

  /** Seals everything that comes after on our direction of the stream with another key (spec 4.5). */
  switchKey(id: number, keyId: number): void {
    const stream = this.#outgoing(id);
    this.#requireSender(keyId);
    if (keyId === CLEAR || stream.payloadOutside || stream.out.clearPayload > this.#state.switchLimit) {
      throw new UsageError(
        'ERR_KEYMUX_SWITCH',
        `stream ${id} cannot be switched to key ${keyId} any more; open a new one`,
      );
    }
    this.#sender.enqueue(stream, { type: 'switch', keyId });
  }

  /** Ends the stream in both directions at once. A stream that is over already is left alone. */
  reset(id: number, status: number = RST.CANCEL): void {
    const stream = this.#state.streams.get(id);
    if (stream !== undefined) this.#drop(stream, status);
  }

  /** Says that payload from `data` events is done with, so that the peer may send more. */
  consume(id: number, bytes: number): void {
    const stream = this.#state.streams.get(id);
    if (stream === undefined || stream.in.ended) return;
    const delta = stream.receiveWindow.consume(bytes);
    if (delta > 0) this.#sender.stream(stream, { type: 'window-update', streamId: id, delta });
  }

  /** Asks the peer for a sign of life; the `pong` event carries the returned ID. */
  ping(): number {
    const id = this.#nextPingId;
    this.#nextPingId = id + 2 > 0xffffffff ? id % 2 || 2 : id + 2;
    this.#receiver.pings.set(id, this.#state.now);
    this.#sender.session({ type: 'ping', id });
    return id;
  }

  /** Takes no more streams, lets the open ones end until `drainTimeout`. */
  goAway(status: number = GOAWAY.OK): void {
    if (this.#state.draining || this.#error) return;
    this.#state.draining = true;
    this.#drainBy = this.#state.now + this.#state.config.drainTimeout;
    this.#sender.session({ type: 'goaway', lastGoodId: this.#state.lastPeerStreamId, status });
  }

  /** Ends the session now, telling the peer `status`. */
  destroy(error: SessionError): void {
    this.#fail(error);
  }

  #drop(stream: Stream, status: number): void {
    this.#sender.stream(stream, { type: 'rst-stream', streamId: stream.id, status });
    this.#state.emit({ type: 'reset', id: stream.id, status, origin: 'local' });
    removeStream(this.#state, stream);
  }

  #outgoing(id: number): Stream {
    const stream = this.#state.streams.get(id);
    if (stream === undefined || stream.out.ended || stream.outbox.at(-1)?.type === 'end') {
      throw new UsageError('ERR_KEYMUX_STREAM_CLOSED', `stream ${id} is over, or our side of it has ended`);
    }
    return stream;
  }

  #requireSender(keyId: number): void {
    if (keyId === CLEAR || this.#state.keys?.sender(keyId) !== undefined) return;
    throw new UsageError('ERR_KEYMUX_NO_KEY', `key ${keyId} is not established for sending`);
  }
}
