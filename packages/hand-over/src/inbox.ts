/** Messages of one hand-over as they come, for who waits for the next. */
export class Inbox<T> {
  readonly #messages: T[] = [];
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  put(message: T): void {
    this.#messages.push(message);
    this.#wake?.();
  }

  /** Nothing more comes. What has come before is still to be had. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  /** The next message. Rejects when there will be none. */
  async next(): Promise<T> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return message;
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
