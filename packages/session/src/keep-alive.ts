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

  /** When `check` has something to do. */
  get deadline(): number {
    if (this.#askedAt !== undefined) return this.#askedAt + this.#patience;
    return this.#interval > 0 ? this.#heardAt + this.#interval : Number.POSITIVE_INFINITY;
  }
}
