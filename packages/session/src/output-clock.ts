import { outputStuck } from './errors.ts';

/** Bounds how long the carrier may take to accept what it was given (spec 7.2): else a peer could keep it all here by not reading. Times are milliseconds. */
export class OutputClock {
  readonly #limit: number;
  #since: number | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The carrier takes nothing more before it has got rid of what it has. */
  blocked(now: number): void {
    this.#since ??= now;
  }

  /** It has. */
  ready(): void {
    this.#since = undefined;
  }

  /** Whether the carrier still has something to get rid of. */
  get running(): boolean {
    return this.#since !== undefined;
  }

  /** Throws SessionError `ERR_KEYMUX_TIMEOUT` if the time is up. */
  check(now: number): void {
    if (now >= this.deadline) throw outputStuck(this.#limit);
  }

  get deadline(): number {
    return this.#since === undefined ? Number.POSITIVE_INFINITY : this.#since + this.#limit;
  }
}
