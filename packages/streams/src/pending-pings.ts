interface Ping {
  readonly resolve: (elapsed: number) => void;
  readonly reject: (error: Error) => void;
}

/** PINGs that wait for their answers. */
export class PendingPings {
  readonly #waiting = new Map<number, Ping>();

  wait(id: number): Promise<number> {
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  answered(id: number, elapsed: number): void {
    this.#waiting.get(id)?.resolve(elapsed);
    this.#waiting.delete(id);
  }

  rejectAll(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
