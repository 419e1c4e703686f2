import type { StateReader, StateWriter } from '@keymux/frames';

/** Largest window, in bytes (SPDY/3.1, spec 2.5). */
const MAX_WINDOW = 0x7fff_ffff;

/** What we may still send, on a stream or the session, in bytes (spec 2.5). Can be negative after SETTINGS shrank it. */
export class SendWindow {
  #left: number;
  readonly #obeyed: boolean;

  /** @param obeyed false towards a peer that never opens its window */
  constructor(initial: number, obeyed = true) {
    this.#left = obeyed ? initial : MAX_WINDOW;
    this.#obeyed = obeyed;
  }

  get left(): number {
    return this.#left;
  }

  spend(bytes: number): void {
    if (this.#obeyed) this.#left -= bytes;
  }

  /** Returns false if the window would exceed 2^31 - 1, which is the peer's error. */
  grant(delta: number): boolean {
    if (!this.#obeyed) return true;
    if (this.#left + delta > MAX_WINDOW) return false;
    this.#left += delta;
    return true;
  }

  save(writer: StateWriter): void {
    writer.i64(this.#left);
  }

  load(reader: StateReader): void {
    this.#left = reader.i64();
  }
}

/** What of a window is told at a time at least, in bytes: half of it, or this much, so that a large one need not be twice what the path holds. */
const PIECE = 1024 * 1024;

/** How fast a stream was read of late (see WindowGrowth). In bytes and milliseconds. */
export interface Pace {
  since: number;
  /** Until then. */
  consumed: number;
  /** When the window grew the last time, in bytes a millisecond; 0 for never. */
  rate: number;
}

/** What the peer may still send to us, and when to tell it more, in bytes. */
export class ReceiveWindow {
  readonly #initialSize: number;
  readonly #enforced: boolean;
  #size: number;
  #left: number;
  /** Received and not yet consumed. */
  #held = 0;
  #consumed = 0;
  /** Only if there was a lot to read. */
  pace: Pace | undefined;
  /** What it has of what windows may grow by, in bytes: kept by WindowGrowth. */
  share = 0;

  /** `advertised` is what the peer believes now, `size` what we keep it at. A peer that knows no windows is told of none, and keeps none. */
  constructor(advertised: number, size: number, enforced = true) {
    this.#left = advertised;
    this.#initialSize = size;
    this.#size = size;
    this.#enforced = enforced;
  }

  get size(): number {
    return this.#size;
  }

  /** By how much it is larger than it was. */
  get grown(): number {
    return this.#size - this.#initialSize;
  }

  /** How much more the peer can have us hold than at first: if it became smaller, for a while more than it has `grown` by. */
  get promised(): number {
    return Math.max(this.#size, this.#left + this.#held) - this.#initialSize;
  }

  /** Keeps it at a larger size from now on. */
  grow(bytes: number): void {
    this.#size += bytes;
  }

  /** Keeps it at a smaller size, no smaller than it began, from now on: the peer is told nothing until it has sent, and we have consumed, what is too much. */
  shrink(size: number): void {
    this.#size = Math.max(size, this.#initialSize);
  }

  /** Takes note of received payload. Returns false if the peer was not allowed to send it. */
  receive(bytes: number): boolean {
    if (this.#enforced && bytes > this.#left) return false;
    this.#left -= bytes;
    this.#held += bytes;
    return true;
  }

  /** Payload that was received and not consumed. */
  get held(): number {
    return this.#held;
  }

  /** Payload that was consumed, in this process. */
  get consumed(): number {
    return this.#consumed;
  }

  /** Takes note of consumed payload. Returns whether it is time to `tell`. */
  consume(bytes: number): boolean {
    this.#held -= bytes;
    this.#consumed += bytes;
    return this.#enforced && this.untold >= Math.min(this.#size / 2, PIECE);
  }

  /** What the peer could be told that it may send besides. */
  get untold(): number {
    return this.#enforced ? this.#size - this.#left - this.#held : 0;
  }

  /** The delta to tell the peer, or 0 for none. */
  tell(): number {
    const delta = Math.max(0, this.untold);
    this.#left += delta;
    return delta;
  }

  save(writer: StateWriter): void {
    writer.i64(this.#left);
    writer.u64(this.#held);
    writer.u64(this.#size);
  }

  /** Throws FrameError `ERR_KEYMUX_HAND_OVER` if it says of itself that it is smaller than it began. */
  load(reader: StateReader): void {
    this.#left = reader.i64();
    this.#held = reader.u64();
    this.#size = reader.u64();
    if (this.#size < this.#initialSize || this.#size > MAX_WINDOW)
      throw reader.malformed('a window has no size that it can have');
  }
}
