import type { MuxStream } from './mux-stream.ts';

/** Tells of the peer's new streams: at once, or later those that are held back meanwhile. */
export class UntoldStreams {
  readonly #tell: (stream: MuxStream) => void;
  /** Undefined while none is held back. */
  #held: Set<MuxStream> | undefined;

  constructor(tell: (stream: MuxStream) => void) {
    this.#tell = tell;
  }

  /** Holds back what comes from now on, and `streams`. */
  hold(streams: readonly MuxStream[] = []): void {
    this.#held ??= new Set();
    for (const stream of streams) this.#held.add(stream);
  }

  /** Tells of what was held back, and of what comes from now on at once. */
  release(): void {
    const streams = this.#held ?? [];
    this.#held = undefined;
    for (const stream of streams) this.#tell(stream);
  }

  /** A stream has come. Returns whether it is held back. */
  add(stream: MuxStream): boolean {
    if (this.#held === undefined) {
      this.#tell(stream);
      return false;
    }
    this.#held.add(stream);
    return true;
  }

  /** Those that are held back. */
  [Symbol.iterator](): Iterator<MuxStream> {
    return (this.#held ?? new Set<MuxStream>()).values();
  }
}
