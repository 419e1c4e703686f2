import type { ReceiveWindow } from './flow-window.ts';
import type { Sender } from './sender.ts';
import type { SessionState } from './state.ts';
import type { Stream } from './stream.ts';

/** What the windows of a session may grow by, out of what it shares with others (spec 7.3). In bytes. */
export interface WindowShare {
  /** Returns how much of it may be had: `bytes`, or less if there is no more. */
  take(bytes: number): number;
  /** Takes what a peer has been promised already, however much there is. */
  adopt(bytes: number): void;
  give(bytes: number): void;
}

/** How many times what the path holds a window is at least: it is given back in pieces of up to a half, and paths are uneven. */
const AMPLE = 3;
/** How many times what the path holds a window becomes when it grows: while it is what holds the peer back, that is three to six times what it was. */
const GENEROUS = 2 * AMPLE;
/**
 * Busy processes take this long to answer, in milliseconds, however short the path is. What a window holds then is no path but a queue, in which all that
 * shares the session waits.
 */
const SHORT_TRIP = 5;
/** What windows of short paths grow to at most, in bytes: 200 MB a second at 5 ms. */
const SHORT_PATH_WINDOW = 1024 * 1024;
/** The same for a stream that is alone: nobody waits behind it, and processes that have more at once to do are woken less often. */
const LONE_WINDOW = 4 * SHORT_PATH_WINDOW;
/** For so long after payload of another stream came, a stream is not alone. In milliseconds. */
const COMPANY = 1000;
/** Windows help if more comes, by this factor, than when the window grew the last time; else something else is what holds the peer back. */
const HELPED = 1.25;
/** What of a round trip a stream is watched at least: answers to PING are not always the fastest. */
const MOST_OF_TRIP = 0.75;
/** Round trips beyond this are queues, or a peer that takes its time to answer. In milliseconds. */
const LONGEST_TRIP = 1000;
/** How much of its age a measured round trip forgets when a longer one is measured. */
const FORGETS = 1.1;
/** Time between two measurements while a lot comes, in milliseconds: soon again at first, then twice as long each time. */
const MEASURES_AGAIN = 100;
const MEASURES_EVERY = 10_000;

/**
 * Lets the windows of streams grow to what the path can hold (spec 2.5): when more than a third of a window is read within a round trip, and growing has
 * helped so far. Who reads slowly keeps what he has. Times are milliseconds, sizes bytes.
 */
export class WindowGrowth {
  readonly #share: WindowShare;
  readonly #most: number;
  #roundTrip: number | undefined;
  #measuredAt = Number.NEGATIVE_INFINITY;
  #measuresAgain = MEASURES_AGAIN;
  /** What the window of a stream that is over had grown by, which the next one begins with. */
  #proven = 0;
  #taken = 0;
  /** Whose payload came last, and when that was another than before. */
  #latest: ReceiveWindow | undefined;
  #changedAt = Number.NEGATIVE_INFINITY;
  /** Windows of streams that are over, with payload that nobody has consumed. */
  readonly #lingering = new Map<number, ReceiveWindow>();

  /** @param most by how much all windows of the session may grow together */
  constructor(share: WindowShare, most: number) {
    this.#share = share;
    this.#most = most;
  }

  /** What windows of streams that are over have grown by, whose payload still waits to be consumed. In bytes. */
  get lingering(): number {
    let sum = 0;
    for (const { share } of this.#lingering.values()) sum += share;
    return sum;
  }

  /** Whether a PING should be sent, whose answer tells how long the round trip is. If so, that is counted as done. */
  wantsMeasure(now: number): boolean {
    if (this.#measuredAt > Number.NEGATIVE_INFINITY) {
      if (now < this.#measuredAt + this.#measuresAgain) return false;
      this.#measuresAgain = Math.min(2 * this.#measuresAgain, MEASURES_EVERY);
    }
    this.#measuredAt = now;
    return true;
  }

  /** A PING was answered. The shortest time is the path; the rest is queues, or work. */
  measured(elapsed: number): void {
    const before = this.#roundTrip ?? Number.POSITIVE_INFINITY;
    this.#roundTrip = Math.min(elapsed, before * FORGETS, LONGEST_TRIP);
  }

  /** Payload has come. */
  received(window: ReceiveWindow, now: number): void {
    if (window === this.#latest) return;
    if (this.#latest !== undefined) this.#changedAt = now;
    this.#latest = window;
  }

  /**
   * The peer is about to be told what was consumed of a window: lets it grow if it is what holds the peer back, or makes it smaller if all it held
   * is a queue.
   */
  drained(window: ReceiveWindow, now: number): void {
    this.#settle(window);
    window.pace ??= { since: now, consumed: window.consumed, rate: 0 };
    const { pace } = window;
    const trip = this.#roundTrip;
    if (trip === undefined) return;
    const short = now - this.#changedAt < COMPANY ? SHORT_PATH_WINDOW : LONE_WINDOW;
    if (trip <= SHORT_TRIP && window.size > short) {
      window.shrink(short);
      pace.rate = 0;
    }
    const elapsed = now - pace.since;
    if (elapsed <= 0 || elapsed < MOST_OF_TRIP * trip) return;
    const rate = (window.consumed - pace.consumed) / elapsed;
    const held = rate * trip;
    if (window.size < AMPLE * held && rate > HELPED * pace.rate) {
      const most = short + GENEROUS * rate * Math.max(0, trip - SHORT_TRIP);
      const wanted = Math.ceil(Math.min(GENEROUS * held, most));
      if (this.#grow(window, wanted - window.size)) pace.rate = rate;
    }
    pace.since = now;
    pace.consumed = window.consumed;
  }

  /** A new stream begins with what the one before it had grown to. Returns whether that is more than others have. */
  begun(window: ReceiveWindow): boolean {
    if (window.share > 0) return false;
    const bytes = this.#proven;
    this.#proven = 0;
    return this.#grow(window, bytes);
  }

  /** A stream is over. What has not been consumed of it still takes its place. */
  ended(id: number, window: ReceiveWindow): void {
    if (this.#latest === window) this.#latest = undefined;
    if (window.share === 0) return;
    if (window.held > 0) this.#lingering.set(id, window);
    else this.#release(window);
  }

  /** Payload of a stream that is over was consumed. */
  consumed(id: number, bytes: number): void {
    const window = this.#lingering.get(id);
    if (window === undefined) return;
    window.consume(bytes);
    if (window.held > 0) return;
    this.#lingering.delete(id);
    this.#release(window);
  }

  /** A window has been promised by whoever had the session before. */
  adopt(window: ReceiveWindow): void {
    window.share = window.promised;
    this.#taken += window.share;
    this.#share.adopt(window.share);
  }

  /** Returns whether it has grown at all. */
  #grow(window: ReceiveWindow, bytes: number): boolean {
    const room = Math.min(bytes, this.#most - this.#taken);
    const taken = room > 0 ? this.#share.take(room) : 0;
    this.#taken += taken;
    window.share += taken;
    window.grow(taken);
    return taken > 0;
  }

  /** What a window was made smaller by is free for others once the peer has used it up. */
  #settle(window: ReceiveWindow): void {
    if (window.share > window.promised) this.#give(window, window.share - window.promised);
  }

  #release(window: ReceiveWindow): void {
    this.#proven = Math.max(this.#proven, window.grown);
    this.#give(window, window.share);
  }

  #give(window: ReceiveWindow, bytes: number): void {
    window.share -= bytes;
    this.#taken -= bytes;
    this.#share.give(bytes);
  }
}

/** Lets a new stream begin with a larger window, if the path has been found to need one. */
export function enlarge({ growth }: SessionState, sender: Sender, stream: Stream): void {
  if (stream.in.ended || !growth?.begun(stream.receiveWindow)) return;
  sender.windowUpdate(stream, stream.receiveWindow.tell());
}
