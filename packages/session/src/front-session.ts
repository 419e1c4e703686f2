import {
  type ControlFrame,
  type ControlItem,
  encodeControl,
  FrameDecoder,
  GOAWAY,
  type Item,
  type KeyNego,
  MAX_STREAM_ID,
  SETTING,
  type SealedItem,
} from '@keymux/frames';
import { carrierEnded, keyFailure, type SessionError, toSessionError } from './errors.ts';
import { Fifo } from './fifo.ts';
import { FrameClock } from './frame-clock.ts';
import { FrontClear } from './front-clear.ts';
import { type FrontConfig, type FrontSessionOptions, frontConfig } from './front-config.ts';
import { FrontLink } from './front-link.ts';
import { authorityOf } from './front-offer.ts';
import { OutputClock } from './output-clock.ts';
import { SessionDigest } from './session-digest.ts';

/** What a front has to tell. */
export type FrontEvent =
  /** A client asks for a key of a host. `served` says whether there is a process for it. */
  | { readonly type: 'run'; readonly keyId: number; readonly authority: string; readonly served: boolean }
  /** A host's link is over, and the client's session is not. */
  | {
      readonly type: 'host-gone';
      readonly authority: string;
      readonly status: number;
      readonly reason: string;
    };

/**
 * The front's end of a client's session, without input or output (spec chapter 10): it keeps what is in the clear, and passes the runs and
 * envelopes of each key to the process that holds the host's key, by key ID alone. It can open nothing.
 */
export class FrontSession {
  readonly #options: FrontSessionOptions;
  readonly #config: FrontConfig;
  readonly #clear: FrontClear;
  readonly #decoder = new FrameDecoder({ place: 'outside', sealed: true });
  readonly #clientDigest: SessionDigest;
  readonly #ownDigest: SessionDigest;
  /** Where the frames of each key go; undefined once its host is gone. */
  readonly #keys = new Map<number, FrontLink | undefined>();
  /** Links that are not over. */
  readonly #links = new Set<FrontLink>();
  /** Keys whose host has not answered yet, and until when it may. */
  readonly #unanswered = new Map<number, number>();
  readonly #frameClock: FrameClock;
  readonly #outputClock: OutputClock;
  readonly #events = new Fifo<FrontEvent>();
  #output: Uint8Array[] = [];
  #now: number;
  #lastKeyId = 0;
  #drainBy: number | undefined;
  /** Nothing more is said, or heard. */
  #ended = false;
  /** What the carrier has not taken by now is not waited for. */
  #cut = false;
  #error: SessionError | undefined;

  constructor(options: FrontSessionOptions) {
    this.#options = options;
    this.#config = frontConfig(options.config);
    this.#now = options.now;
    this.#frameClock = new FrameClock(this.#config.frameTimeout, options.now, { awaited: true });
    this.#outputClock = new OutputClock(this.#config.outputTimeout);
    this.#clear = new FrontClear(this.#config, options.now, (frame) => this.#send(frame));
    this.#clientDigest = new SessionDigest(options.createHash);
    this.#ownDigest = new SessionDigest(options.createHash);
    const { maxConcurrentStreams, streamWindow } = this.#config;
    const entries = [
      { id: SETTING.MAX_CONCURRENT_STREAMS, value: maxConcurrentStreams, flags: 0 },
      { id: SETTING.INITIAL_WINDOW_SIZE, value: streamWindow, flags: 0 },
      { id: SETTING.KEYMUX, value: options.algorithms, flags: 0 },
      { id: SETTING.KEYMUX_FRONT, value: 1, flags: 0 },
    ];
    this.#send({ type: 'settings', clear: false, entries });
  }

  /** Takes bytes from the client's carrier. They are passed on as views: `chunk` must not change any more. */
  receive(chunk: Uint8Array, now: number): void {
    this.#advance(now, () => {
      let handled = false;
      this.#decoder.push(chunk);
      for (let item = this.#decoder.next(); item !== undefined; item = this.#decoder.next()) {
        this.#clear.heard(now);
        this.#handle(item);
        handled = true;
      }
      this.#frameClock.received(now, { handled, part: this.#decoder.buffered > 0 });
    });
  }

  /** The client's carrier has more than it can take, and will say when it is ready again. */
  carrierBlocked(now: number): void {
    this.#outputClock.blocked(now);
  }

  /** The client's carrier has taken everything that it was given: somebody at the other end takes it. */
  carrierReady(now: number): void {
    if (this.#outputClock.running) this.#clear.heard(now);
    this.#outputClock.ready();
  }

  /** The carrier has no more input. What hosts have to say of that is for their sessions, which end with it. */
  carrierEnded(now: number): void {
    this.#advance(now, () => {
      if (this.#decoder.midFrame) throw carrierEnded(0);
      this.#finish();
    });
  }

  handleDeadline(now: number): void {
    if (this.#ended && now >= this.#outputClock.deadline) this.#cut = true;
    this.#advance(now, () => {
      for (const [keyId, deadline] of this.#unanswered) {
        if (now >= deadline) this.#keys.get(keyId)?.fail(GOAWAY.INTERNAL_ERROR, 'it does not answer');
      }
      if (this.#drainBy !== undefined && now >= this.#drainBy) {
        this.#cut = true;
        this.#finish();
      }
      this.#outputClock.check(now);
      this.#frameClock.check(now);
      if (!this.#outputClock.running) this.#clear.checkSilence(now);
    });
  }

  /** Takes bytes from a host. */
  linkReceive(link: FrontLink, chunk: Uint8Array, now: number): void {
    this.#now = now;
    if (!this.#ended) link.receive(chunk);
  }

  /** A link's connection is over, or was never made. */
  linkEnded(link: FrontLink, now: number, error?: Error): void {
    this.#now = now;
    if (!this.#ended) link.disconnected(error);
  }

  /** Takes no more streams; ends what is left after the drain timeout. */
  goAway(now: number): void {
    this.#advance(now, () => {
      if (this.#drainBy !== undefined) return;
      this.#drainBy = now + this.#config.drainTimeout;
      // Which streams there are only the hosts know; none that is on its way is taken back.
      this.#send({ type: 'goaway', lastGoodId: MAX_STREAM_ID, status: GOAWAY.OK });
      if (this.#links.size === 0) this.#finish();
    });
  }

  /** What to write to the client next; undefined if there is nothing. */
  output(): Uint8Array[] | undefined {
    if (this.#output.length === 0) return undefined;
    const output = this.#output;
    this.#output = [];
    this.#clear.answersTaken();
    return output;
  }

  nextEvent(): FrontEvent | undefined {
    return this.#events.shift();
  }

  /** When `handleDeadline` wants to be called. */
  nextDeadline(): number | undefined {
    if (this.over) return undefined;
    const output = this.#outputClock.deadline;
    const silence = this.#outputClock.running ? Number.POSITIVE_INFINITY : this.#clear.deadline;
    const drain = this.#drainBy ?? Number.POSITIVE_INFINITY;
    const others = Math.min(silence, this.#frameClock.deadline, drain, ...this.#unanswered.values());
    const next = this.#ended ? output : Math.min(output, others);
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  /**
   * Whether the carrier may be closed: the session failed (what `output` still has should be written if that is possible), or it has ended and the
   * carrier has taken all of it.
   */
  get over(): boolean {
    if (!this.#ended) return false;
    return this.#error !== undefined || this.#cut || !(this.#output.length > 0 || this.#outputClock.running);
  }

  get error(): SessionError | undefined {
    return this.#error;
  }

  /** Does something that may fail the client's session. */
  #advance(now: number, action: () => void): void {
    this.#now = now;
    if (this.#ended) return;
    try {
      action();
    } catch (error) {
      this.#error = toSessionError(error);
      this.#send({ type: 'goaway', lastGoodId: this.#clear.lastStreamId, status: this.#error.status });
      this.#finish();
    }
  }

  #finish(): void {
    this.#ended = true;
    for (const link of this.#links) link.end();
    this.#links.clear();
    this.#unanswered.clear();
  }

  // From the client

  #handle(item: Item): void {
    if (item.kind === 'sealed') this.#sealed(item);
    else if (item.kind === 'control') this.#control(item);
    else {
      if (item.head !== undefined) this.#clientDigest.update(item.head);
      this.#clear.data(item, this.#now);
    }
  }

  #control({ frame, bytes }: ControlItem): void {
    if (frame.type === 'key-nego') {
      this.#keyNego(frame, bytes);
      return;
    }
    this.#clientDigest.update(bytes);
    if (frame.type === 'settings' || frame.type === 'goaway')
      for (const link of this.#links) link.pass([bytes]);
    this.#clear.control(frame, this.#now);
    if (this.#clear.clientLeaving && this.#links.size === 0) this.#finish();
  }

  #keyNego(frame: KeyNego, bytes: Uint8Array): void {
    this.#clear.accounts.spend('negotiations', this.#now);
    const digest = this.#clientDigest.snapshot();
    this.#clientDigest.update(bytes);
    const { keyId } = frame;
    if (!this.#keys.has(keyId)) this.#begin(frame);
    this.#keys.get(keyId)?.pass([encodeControl({ type: 'front-nego', digest, frame: bytes })]);
  }

  /** The first message of a run: whose key it is for, it says in the clear. After that only the key ID counts. */
  #begin({ keyId, reject, retire, data }: KeyNego): void {
    if (keyId % 2 === 0 || keyId <= this.#lastKeyId || reject || retire)
      throw keyFailure(`a run with key ID ${keyId} cannot be begun`);
    this.#lastKeyId = keyId;
    const authority = authorityOf(data);
    const link = authority === undefined ? undefined : this.#linkTo(authority);
    this.#keys.set(keyId, link);
    this.#events.push({ type: 'run', keyId, authority: authority ?? '', served: link !== undefined });
    if (link === undefined) {
      this.#send({ type: 'key-gone', keyId, status: GOAWAY.KEY_FAILURE });
      return;
    }
    link.keys.add(keyId);
    this.#unanswered.set(keyId, this.#now + this.#config.hostTimeout);
  }

  #linkTo(authority: string): FrontLink | undefined {
    for (const link of this.#links) if (link.authority === authority && link.takesRuns) return link;
    const { keyWindow, streamWindow, maxConcurrentStreams } = this.#config;
    const link = new FrontLink(authority, 2 * keyWindow, {
      nego: (_link, keyId, bytes) => this.#passNego(link, keyId, bytes),
      sealed: (_link, item) => this.#passSealed(item),
      ended: (_link, status, reason) => this.#linkOver(link, status, reason),
    });
    const port = this.#options.connect(authority, link);
    if (port === undefined) return undefined;
    link.attach(port);
    this.#links.add(link);
    const { client } = this.#options;
    const hello = { type: 'front-hello', ...client, maxConcurrentStreams, streamWindow, keyWindow } as const;
    link.pass([encodeControl(hello), encodeControl(this.#clear.settings)]);
    return link;
  }

  #sealed(item: SealedItem): void {
    const { keyId, head, body } = item;
    if (!this.#keys.has(keyId)) throw keyFailure(`an envelope under key ${keyId}, of which there was no run`);
    this.#clientDigest.update(head);
    this.#keys.get(keyId)?.pass([head, body]);
  }

  // To the client

  #passNego(link: FrontLink, keyId: number, bytes: Uint8Array): void {
    this.#unanswered.delete(keyId);
    const digest = this.#ownDigest.snapshot();
    this.#ownDigest.update(bytes);
    this.#output.push(bytes);
    link.pass([encodeControl({ type: 'front-sent', keyId, digest })]);
  }

  #passSealed({ keyId, head, body }: SealedItem): void {
    this.#unanswered.delete(keyId);
    this.#ownDigest.update(head);
    this.#output.push(head, body);
  }

  #linkOver(link: FrontLink, status: number, reason: string): void {
    this.#links.delete(link);
    for (const keyId of link.keys) {
      this.#unanswered.delete(keyId);
      this.#keys.set(keyId, undefined);
      this.#send({ type: 'key-gone', keyId, status });
    }
    // A host has nothing more to do for a client that is leaving.
    if (!this.#clear.clientLeaving) {
      this.#events.push({ type: 'host-gone', authority: link.authority, status, reason });
    } else if (this.#links.size === 0) this.#finish();
  }

  #send(frame: ControlFrame): number {
    const bytes = encodeControl(frame);
    this.#ownDigest.update(bytes);
    this.#output.push(bytes);
    return bytes.length;
  }
}
