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

/** What the peer may still send to us, and when to tell it more, in bytes. */
export class ReceiveWindow {
  readonly #size: number;
  readonly #enforced: boolean;
  #left: number;
  /** Received and not yet consumed. */
  #held = 0;
  /** Consumed and not yet told. */
  #untold = 0;

  /** `advertised` is what the peer believes now, `size` what we keep it at. A peer that knows no windows is told of none, and keeps none. */
  constructor(advertised: number, size: number, enforced = true) {
    this.#left = advertised;
    this.#size = size;
    this.#enforced = enforced;
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

  /**
   * Takes note of consumed payload; returns the delta to tell the peer, or 0 while it is not worth a frame: half a
   * window at a time keeps the sender running and costs two frames a window.
   */
  consume(bytes: number): number {
    this.#held -= bytes;
    this.#untold += bytes;
    if (!this.#enforced || this.#untold * 2 < this.#size) return 0;
    const delta = this.#untold;
    this.#untold = 0;
    this.#left += delta;
    return delta;
  }

  save(writer: StateWriter): void {
    writer.i64(this.#left);
    writer.u64(this.#held);
    writer.u64(this.#untold);
  }

  load(reader: StateReader): void {
    this.#left = reader.i64();
    this.#held = reader.u64();
    this.#untold = reader.u64();
  }

  /** The delta that raises what was advertised to the size we want. */
  raise(): number {
    const delta = this.#enforced ? Math.max(0, this.#size - this.#left) : 0;
    this.#left += delta;
    return delta;
  }
}
