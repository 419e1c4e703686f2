import type { EventQueue } from './event-queue.ts';
import type { NegoFrame } from './nego-frame.ts';
import type { Run } from './run.ts';
import type { StateSink, StateSource } from './state-port.ts';

/** KEY_NEGO frames that the session was asked to send and has not sent yet, in order: whose they are. */
export class Outbox {
  readonly #events: EventQueue;
  /** Undefined for those of no run. */
  readonly #owners: (Run | undefined)[] = [];

  constructor(events: EventQueue) {
    this.#events = events;
  }

  /** Asks the session to send a message of a run, or one that ends it or refuses to begin it, which is of none. */
  put(run: Run | undefined, frame: NegoFrame): void {
    this.#owners.push(run);
    this.#events.push({ type: 'send', frame });
  }

  /** The next one is on the wire. Returns whose it was. */
  takeSent(): Run | undefined {
    return this.#owners.shift();
  }

  /** Whether a message of a run waits, even if the run was given up. */
  get hasMessages(): boolean {
    return this.#owners.some((run) => run !== undefined);
  }

  /** Only while no message of a run waits. */
  save(writer: StateSink): void {
    writer.u16(this.#owners.length);
  }

  load(reader: StateSource): void {
    this.#owners.length = 0;
    // REJECTs, which are of no run. Each is a frame that the session has still to send.
    for (let left = reader.u16(); left > 0; left--) this.#owners.push(undefined);
  }
}
