import type { Stream } from './stream.ts';

const LEVELS = 8;

/**
 * Streams that have something to send, by priority. A level gets twice the turns of the one below it, so high priorities come first and
 * low ones are never starved. All operations are O(1) in the number of streams.
 */
export class SendQueue {
  readonly #head: (Stream | undefined)[] = new Array(LEVELS).fill(undefined);
  readonly #tail: (Stream | undefined)[] = new Array(LEVELS).fill(undefined);
  readonly #turns: number[] = new Array(LEVELS).fill(0);

  add(stream: Stream): void {
    if (stream.queued) return;
    stream.queued = true;
    stream.next = undefined;
    const level = stream.priority;
    const tail = this.#tail[level];
    if (tail) tail.next = stream;
    else this.#head[level] = stream;
    this.#tail[level] = stream;
  }

  /** Takes the stream whose turn it is. */
  take(): Stream | undefined {
    return this.#takeInTurn() ?? (this.#refill() ? this.#takeInTurn() : undefined);
  }

  #takeInTurn(): Stream | undefined {
    for (let level = 0; level < LEVELS; level++) {
      const stream = this.#head[level];
      if (stream === undefined || this.#turns[level] === 0) continue;
      this.#turns[level] = (this.#turns[level] ?? 1) - 1;
      this.#head[level] = stream.next;
      if (stream.next === undefined) this.#tail[level] = undefined;
      stream.queued = false;
      stream.next = undefined;
      return stream;
    }
    return undefined;
  }

  #refill(): boolean {
    for (let level = 0; level < LEVELS; level++) this.#turns[level] = 1 << (LEVELS - 1 - level);
    return this.#head.some((stream) => stream !== undefined);
  }
}
