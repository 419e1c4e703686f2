import type { StateReader, StateWriter } from '@keymux/frames';
import { frameTooSlow } from './errors.ts';

/** Bounds how long the peer may take over one frame, however it spreads it over bytes (spec 7.2). Times are milliseconds. */
export class FrameClock {
  readonly #limit: number;
  /** When the frame that is not whole yet began. */
  #since: number | undefined;

  /** @param awaited the first frame is waited for from the beginning, `now` */
  constructor(limit: number, now: number, { awaited }: { readonly awaited: boolean }) {
    this.#limit = limit;
    this.#since = awaited ? now : undefined;
  }

  /**
   * Input has come, or what had come can be handled at last. `handled`: a whole frame, or payload, was among it, so that what is left began
   * now. `part`: the beginning of a frame is left.
   */
  received(now: number, { handled, part }: { readonly handled: boolean; readonly part: boolean }): void {
    if (part) this.#since = handled ? now : (this.#since ?? now);
    else if (handled) this.#since = undefined;
  }

  /** Throws SessionError `ERR_KEYMUX_TIMEOUT` if the time is up. */
  check(now: number): void {
    if (now >= this.deadline) throw frameTooSlow(this.#limit);
  }

  /** The time as its distance from `now`: clocks of two processes have nothing in common. */
  save(writer: StateWriter, now: number): void {
    writer.optional(this.#since, (since) => writer.f64(now - since));
  }

  load(reader: StateReader, now: number): void {
    this.#since = reader.optional(() => now - reader.f64());
  }

  get deadline(): number {
    return this.#since === undefined ? Number.POSITIVE_INFINITY : this.#since + this.#limit;
  }
}
