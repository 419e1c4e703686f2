/** One timer for a deadline that moves often. It is armed anew only for an earlier deadline; a later one is noticed when it fires. */
export class DeadlineTimer {
  readonly #now: () => number;
  readonly #onDeadline: () => void;
  #timer: NodeJS.Timeout | undefined;
  #at = Number.POSITIVE_INFINITY;

  constructor(now: () => number, onDeadline: () => void) {
    this.#now = now;
    this.#onDeadline = onDeadline;
  }

  set(deadline: number | undefined): void {
    if (deadline === undefined || deadline >= this.#at) return;
    clearTimeout(this.#timer);
    this.#at = deadline;
    this.#timer = setTimeout(
      () => {
        this.#at = Number.POSITIVE_INFINITY;
        this.#onDeadline();
      },
      Math.max(0, deadline - this.#now()),
    ).unref();
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}
