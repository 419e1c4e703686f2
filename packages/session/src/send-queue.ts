import type { StateReader, StateWriter } from '@keymux/frames';
import type { Stream } from './stream.ts';

/** A place in a list that is linked both ways and closed to a ring. */
export interface QueueLink {
  previous: QueueLink | undefined;
  next: QueueLink | undefined;
}

/**
 * Streams that have something to send, by priority. A level gets twice the turns of the one below it, so high
 * priorities come first and low ones are never starved. All operations are O(1) in the number of streams.
 *
 * A stream is in one queue at most. `leaveQueue` needs to know none: each level is a ring through its root.
 */
export class SendQueue {
  /** Of the levels that have been used: most sessions use one. */
  readonly #roots: (QueueLink | undefined)[] = Array(LEVELS).fill(undefined);
  /** Turns that each level has left. */
  readonly #turns = new Uint8Array(LEVELS);

  /** Enters a stream behind the others of its priority; does nothing if it is in a queue. */
  add(stream: Stream): void {
    if (stream.next !== undefined) return;
    const root = this.#root(stream.priority);
    stream.previous = root.previous;
    stream.next = root;
    (root.previous as QueueLink).next = stream;
    root.previous = stream;
  }

  get empty(): boolean {
    for (const root of this.#roots) if (root !== undefined && root.next !== root) return false;
    return true;
  }

  /** Takes out the stream whose turn it is. */
  take(): Stream | undefined {
    return this.#takeInTurn() ?? (this.empty ? undefined : this.#takeInNewRound());
  }

  /** Which streams wait, by ID, each priority in its order. */
  save(writer: StateWriter): void {
    for (const root of this.#roots) writer.list(streamsIn(root), (stream) => writer.u32(stream.id));
    writer.raw(this.#turns);
  }

  /** @param streamOf the stream of an ID; throws if there is none */
  load(reader: StateReader, streamOf: (id: number) => Stream): void {
    for (const _root of this.#roots) reader.list(() => this.add(streamOf(reader.u32())));
    this.#turns.set(reader.raw(LEVELS));
  }

  #takeInTurn(): Stream | undefined {
    for (let level = 0; level < LEVELS; level++) {
      const root = this.#roots[level];
      const turns = this.#turns[level] as number;
      if (turns === 0 || root === undefined || root.next === root) continue;
      this.#turns[level] = turns - 1;
      const stream = root.next as Stream; // all but the root are streams
      leaveQueue(stream);
      return stream;
    }
    return undefined;
  }

  #root(level: number): QueueLink {
    const known = this.#roots[level];
    if (known !== undefined) return known;
    const root = emptyRing();
    this.#roots[level] = root;
    return root;
  }

  #takeInNewRound(): Stream | undefined {
    for (let level = 0; level < LEVELS; level++) this.#turns[level] = 1 << (LEVELS - 1 - level);
    return this.#takeInTurn();
  }
}

/** Takes a stream out of the queue it is in, if any. */
export function leaveQueue(stream: QueueLink): void {
  const { previous, next } = stream;
  if (previous === undefined || next === undefined) return;
  previous.next = next;
  next.previous = previous;
  stream.previous = stream.next = undefined;
}

function* streamsIn(root: QueueLink | undefined): Iterable<Stream> {
  for (let link = root?.next; link !== undefined && link !== root; link = link.next) yield link as Stream;
}

function emptyRing(): QueueLink {
  const root: QueueLink = { previous: undefined, next: undefined };
  root.previous = root.next = root;
  return root;
}

/** Priorities of SPDY: 0 to 7. */
const LEVELS = 8;
