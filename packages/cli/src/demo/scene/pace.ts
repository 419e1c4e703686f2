/** How fast the scene goes: pauses that end by themselves, or when the audience wants to go on. */
export class Pace {
  readonly #speed: number;
  readonly #waiting = new Set<() => void>();

  /** 1 is for reading along, 2 twice as fast. */
  constructor(speed: number) {
    this.#speed = speed;
  }

  /** Waits for so many milliseconds, for ever without a number, or until `goOn`. */
  async pause(milliseconds?: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = milliseconds === undefined ? undefined : setTimeout(done, milliseconds / this.#speed);
      const waiting = this.#waiting;
      function done(): void {
        clearTimeout(timer);
        waiting.delete(done);
        resolve();
      }
      waiting.add(done);
    });
  }

  goOn(): void {
    for (const end of [...this.#waiting]) end();
  }
}
