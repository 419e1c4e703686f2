/** Segments that wait for an earlier one, in bytes; more mean that it was not captured. */
const MAX_WAITING = 4 * 1024 * 1024;
const HALF = 2 ** 31;

/** Puts the payload of one direction of a TCP connection back into order. Sequence numbers wrap around. */
export class TcpStream {
  #next: number | undefined;
  readonly #waiting = new Map<number, Buffer>();
  #waitingBytes = 0;

  /** Whether the beginning was captured. */
  get began(): boolean {
    return this.#next !== undefined;
  }

  begin(sequence: number): void {
    this.#next ??= sequence >>> 0;
  }

  /** Takes a segment; returns what can be read now. Throws Error if a part was not captured. */
  push(sequence: number, payload: Buffer): Buffer[] {
    if (this.#next === undefined || payload.length === 0) return [];
    const known = this.#waiting.get(sequence);
    if (known === undefined || known.length < payload.length) {
      this.#waiting.set(sequence, payload);
      this.#waitingBytes += payload.length - (known?.length ?? 0);
    }
    const ready: Buffer[] = [];
    for (let found = this.#take(); found !== undefined; found = this.#take()) ready.push(found);
    if (this.#waitingBytes > MAX_WAITING) throw new Error('a part of the connection was not captured');
    return ready;
  }

  /** The next bytes in order, from whichever waiting segment has them. */
  #take(): Buffer | undefined {
    const next = this.#next as number;
    for (const [sequence, payload] of this.#waiting) {
      const known = (next - sequence) >>> 0; // bytes of it that were read already
      if (known >= HALF) continue;
      this.#waiting.delete(sequence);
      this.#waitingBytes -= payload.length;
      if (known >= payload.length) continue; // sent again
      this.#next = (next + payload.length - known) >>> 0;
      return payload.subarray(known);
    }
    return undefined;
  }
}
