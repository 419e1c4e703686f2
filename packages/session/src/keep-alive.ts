import type { StateReader, StateWriter } from '@keymux/frames';

/** Decides when to ask a silent peer for a sign of life, and when to give it up. Times are milliseconds. */
export class KeepAlive {
  readonly #interval: number;
  readonly #patience: number;
  #heardAt: number;
  #askedAt: number | undefined;

  /**
   * @param interval silence after which to ask; 0 never asks
   * @param patience how long to wait for any answer
   */
  constructor(interval: number, patience: number, now: number) {
    this.#interval = interval;
    this.#patience = patience;
    this.#heardAt = now;
  }

  /** A whole frame, or payload, has come. */
  heard(now: number): void {
    this.#heardAt = now;
    this.#askedAt = undefined;
  }

  /** How long the peer has been silent. */
  silence(now: number): number {
    return now - this.#heardAt;
  }

  /** What to do now. `ask` counts as asked. */
  check(now: number): 'ask' | 'give up' | undefined {
    if (now < this.deadline) return undefined;
    if (this.#askedAt !== undefined) return 'give up';
    this.#askedAt = now;
    return 'ask';
  }

  /** Times as their distance from `now`: clocks of two processes have nothing in common. */
  save(writer: StateWriter, now: number): void {
    writer.f64(now - this.#heardAt);
    writer.optional(this.#askedAt, (at) => writer.f64(now - at));
  }

  load(reader: StateReader, now: number): void {
    this.#heardAt = now - reader.f64();
    this.#askedAt = reader.optional(() => now - reader.f64());
  }

  /** When `check` has something to do. */
  get deadline(): number {
    if (this.#askedAt !== undefined) return this.#askedAt + this.#patience;
    return this.#interval > 0 ? this.#heardAt + this.#interval : Number.POSITIVE_INFINITY;
  }
}
