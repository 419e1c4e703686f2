/** Milliseconds between two collections: each takes some of the event loop. */
const PAUSE = 1_000;

/**
 * Has what was let go of collected soon. Keys lie outside the JavaScript heap and are wiped when they are collected, which a process that has memory
 * to spare would otherwise put off for hours. Needs a process that was started with `--expose-gc`; without it nothing happens.
 */
export class Collector {
  readonly #collect = (globalThis as { gc?: () => void }).gc;
  #due = false;

  soon(): void {
    if (this.#due || this.#collect === undefined) return;
    this.#due = true;
    setTimeout(() => {
      this.#due = false;
      this.#collect?.();
    }, PAUSE).unref();
  }
}
