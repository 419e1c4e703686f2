import { isRenegotiation, RENEGOTIATION_TIMEOUT } from './keeper.ts';
import type { Run } from './run.ts';

/** The runs of one session that are not over, and when each has to be (spec 3.2). */
export class Runs implements Iterable<Run> {
  readonly #runs = new Map<number, Run>();
  readonly #timeout: number;
  #now = 0;

  /** @param timeout milliseconds that the run of a new key may take */
  constructor(timeout: number) {
    this.#timeout = timeout;
  }

  get size(): number {
    return this.#runs.size;
  }

  /** How many of them the peer has begun. */
  get ofPeer(): number {
    let count = 0;
    for (const { context } of this) if (context.role === 'responder') count++;
    return count;
  }

  [Symbol.iterator](): Iterator<Run> {
    return this.#runs.values();
  }

  get(keyId: number): Run | undefined {
    return this.#runs.get(keyId);
  }

  add(run: Run): void {
    this.#runs.set(run.context.keyId, run);
  }

  delete({ context }: Run): void {
    this.#runs.delete(context.keyId);
  }

  /** The run's time begins now. Without this it begins when the time is told next. Returns when it ends. */
  startClock(run: Run, now: number): number {
    run.deadline = now + (isRenegotiation(run.context) ? RENEGOTIATION_TIMEOUT : this.#timeout);
    return run.deadline;
  }

  /** When `overdue` wants to be asked; undefined if there is no run. */
  nextDeadline(): number | undefined {
    let next: number | undefined;
    for (const run of this) {
      const deadline = run.deadline ?? this.#now;
      if (next === undefined || deadline < next) next = deadline;
    }
    return next;
  }

  /** A run that should be over. */
  overdue(now: number): Run | undefined {
    this.#now = now;
    for (const run of this) {
      const deadline = run.deadline ?? this.startClock(run, now);
      if (now >= deadline) return run;
    }
    return undefined;
  }
}
