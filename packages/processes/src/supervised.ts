import { randomInt } from 'node:crypto';
import type { Running } from './spawn.ts';

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
  /** Why it could not be started, if it could not. */
  readonly problem?: string;
}

/** How a process ended, in words. */
export function describe({ code, signal, problem }: Exit): string {
  if (signal !== null) return `was ended by ${signal}`;
  if (code !== null) return `ended with status ${code}`;
  return `could not be started${problem === undefined ? '' : ` (${problem})`}`;
}

export interface SupervisedOptions {
  /** What it throws is why a process could not be started, which counts as its end. */
  readonly spawn: () => Running;
  /** A process was started, at first or again. */
  readonly onStart: (running: Running) => void;
  /** It has ended although it should not; another one is started after `wait` milliseconds. */
  readonly onCrash: (running: Running, exit: Exit, wait: number) => void;
  /** It does not stay up, and is not started any more. */
  readonly onLoop: (exit: Exit, times: number) => void;
}

/** Milliseconds before a process is started again: after the first crash, and at most. */
const BACKOFF = { least: 100, most: 5_000 };
/** A process that was up for so many milliseconds has not crashed at its start. */
const STAYS_UP = 10_000;
/** So many crashes in a row, none of which stayed up, are a loop: about 15 seconds. */
const LOOP = 8;

/** Keeps one process running: starts another one when it ends, later each time, and gives up if none stays up. */
export class Supervised {
  readonly #options: SupervisedOptions;
  #running: Running | undefined;
  #timer: NodeJS.Timeout | undefined;
  #crashes = 0;
  #stopped = false;

  constructor(options: SupervisedOptions) {
    this.#options = options;
    this.#start();
  }

  /** Undefined between two. */
  get running(): Running | undefined {
    return this.#running;
  }

  /** Starts no other one. The one that runs is to end by itself; resolves when it has. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running?.exited;
  }

  kill(): void {
    void this.stop();
    this.#running?.kill();
  }

  #start(): void {
    const running = this.#spawn();
    const since = performance.now();
    this.#running = running;
    void running.exited.then((exit) => {
      this.#running = undefined;
      if (!this.#stopped) this.#crashed(running, exit, performance.now() - since);
    });
    this.#options.onStart(running);
  }

  /** The system can be out of memory, or of processes, for a while. */
  #spawn(): Running {
    try {
      return this.#options.spawn();
    } catch (error) {
      return stillborn((error as Error).message);
    }
  }

  #crashed(running: Running, exit: Exit, lived: number): void {
    this.#crashes = lived >= STAYS_UP ? 1 : this.#crashes + 1;
    if (this.#crashes >= LOOP) {
      this.#stopped = true;
      this.#options.onLoop(exit, this.#crashes);
      return;
    }
    const full = Math.min(BACKOFF.most, BACKOFF.least * 2 ** (this.#crashes - 1));
    const wait = full + randomInt(Math.ceil(full / 2)); // so that not all start at once
    this.#timer = setTimeout(() => this.#start(), wait);
    this.#options.onCrash(running, exit, wait);
  }
}

/** In the place of a process that could not be started. */
function stillborn(problem: string): Running {
  const nothing = (): void => undefined;
  return {
    pid: 0,
    port: { send: nothing, receive: nothing, closed: Promise.resolve() },
    restricted: false,
    exited: Promise.resolve({ code: null, signal: null, problem }),
    kill: nothing,
  };
}
