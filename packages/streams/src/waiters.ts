import { withSignal } from './with-signal.ts';

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Those who wait until something holds. */
export class Waiters {
  readonly #waiting = new Set<Waiting>();

  wait(signal: AbortSignal | undefined): Promise<void> {
    return withSignal(signal, (resolve, reject) => {
      const waiting = { resolve: () => resolve(undefined), reject };
      this.#waiting.add(waiting);
      return () => this.#waiting.delete(waiting);
    });
  }

  /** Lets them go on if it holds, which is asked only if somebody waits. */
  check(holds: () => boolean): void {
    if (this.#waiting.size === 0 || !holds()) return;
    for (const { resolve } of this.#waiting) resolve();
    this.#waiting.clear();
  }

  endAll(error: Error): void {
    for (const { reject } of this.#waiting) reject(error);
    this.#waiting.clear();
  }
}
