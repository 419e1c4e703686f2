import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { keyFailure } from '../errors.ts';
import { FairQueue } from '../fair-queue.ts';

interface Job {
  /** What it holds in arrays must be in memory of its own: all of an array's memory is handed over, and none of it is left here. */
  readonly message: Readonly<Record<string, unknown>>;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** One processor is left to everything else. More than two threads gain little: who may ask for so much is bounded elsewhere. */
const MAX_THREADS = Math.max(1, Math.min(2, availableParallelism() - 1));
/** Jobs that may wait; a few seconds of work. */
const MAX_WAITING = 1024;

/**
 * Threads that compute what would hold up this one. Each has one job at a time; those that wait are taken from each client in turn. Threads are started when
 * they are needed, stay, and do not keep the process alive by themselves.
 */
export class ThreadPool {
  readonly #script: URL;
  readonly #idle: Worker[] = [];
  readonly #working = new Map<Worker, Job>();
  readonly #waiting = new FairQueue<Job>();

  constructor(script: URL) {
    this.#script = script;
  }

  /** Has a thread ready. */
  prepare(): void {
    if (this.#idle.length + this.#working.size === 0) this.#start();
  }

  /** What a thread answers. Rejects with KeyError (session, reason `keeper`) if too many jobs wait, or the thread fails. */
  async run<T>(message: Job['message'], client: string): Promise<T> {
    if (this.#waiting.length >= MAX_WAITING) throw keyFailure('keeper', 'too many computations wait');
    this.#makeRoom();
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push(client, { message, resolve: resolve as Job['resolve'], reject });
      this.#dispatch();
    });
  }

  #makeRoom(): void {
    if (this.#idle.length === 0 && this.#working.size < MAX_THREADS) this.#start();
  }

  #dispatch(): void {
    const thread = this.#idle.at(-1);
    const job = thread && this.#waiting.shift();
    if (thread === undefined || job === undefined) return;
    this.#idle.pop();
    this.#working.set(thread, job);
    thread.ref();
    thread.postMessage(job.message, memoryOf(job.message));
  }

  #start(): void {
    const thread = new Worker(this.#script, { execArgv: [], env: {} });
    thread.on('message', (result: unknown) => {
      this.#working.get(thread)?.resolve(result);
      this.#working.delete(thread);
      thread.unref();
      this.#idle.push(thread);
      this.#dispatch();
    });
    thread.on('error', (error) => this.#failed(thread, error));
    thread.on('exit', () => this.#failed(thread, new Error('the thread has ended')));
    thread.unref(); // after the first listener of messages, which would undo it
    this.#idle.push(thread);
  }

  /** Another thread takes its place with the next job. */
  #failed(thread: Worker, error: Error): void {
    const index = this.#idle.indexOf(thread);
    if (index >= 0) this.#idle.splice(index, 1);
    this.#working.get(thread)?.reject(keyFailure('keeper', error.message, error));
    this.#working.delete(thread);
    if (this.#waiting.length > 0) this.#makeRoom();
    this.#dispatch();
  }
}

function memoryOf(message: Job['message']): ArrayBuffer[] {
  return Object.values(message).flatMap((value) =>
    value instanceof Uint8Array ? [value.buffer as ArrayBuffer] : [],
  );
}
