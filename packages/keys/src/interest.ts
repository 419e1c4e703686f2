/** Whether somebody still waits for a run. Most runs never ask, so the signal is made for those that do: it costs as much as ten HMACs. */
export class Interest {
  #controller: AbortController | undefined;
  #over = false;

  /** Aborted when nobody waits any more. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#over) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  end(): void {
    this.#over = true;
    this.#controller?.abort();
  }
}
