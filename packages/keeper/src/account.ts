/** What a caller may ask for: `burst` requests at once, and `rate` a second after that. */
export interface RequestLimits {
  readonly burst: number;
  readonly rate: number;
}

/** What a message may do. */
export type AccountVerdict = 'may begin' | 'may go on' | 'overdrawn';

/** The requests that a caller has left, or connections that may be made (spec 12.4). Times are milliseconds of a clock that never goes back. */
export class RequestAccount {
  readonly #limits: RequestLimits;
  readonly #now: () => number;
  #left: number;
  #counted: number;

  constructor(limits: RequestLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
    this.#left = limits.burst;
    this.#counted = now();
  }

  /** Counts a message. Who has nothing left may still end what he has begun; who has overdrawn as much as he had at first does not listen. */
  count(): AccountVerdict {
    this.#refill();
    this.#left -= 1;
    if (this.#left >= 0) return 'may begin';
    return this.#left >= -this.#limits.burst ? 'may go on' : 'overdrawn';
  }

  /** Takes one, if there is one. Asking in vain costs nothing, so that nobody can run up a debt that others would have to wait for. */
  take(): boolean {
    this.#refill();
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }

  #refill(): void {
    const now = this.#now();
    const { burst, rate } = this.#limits;
    this.#left = Math.min(burst, this.#left + ((now - this.#counted) * rate) / 1000);
    this.#counted = now;
  }
}
