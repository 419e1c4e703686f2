import type { KeptKey } from '@keymux/keys';
import { Deferred } from './deferred.ts';
import { FAILURE, ProcessError } from './errors.ts';
import { isHandOver, type Order, type Report, reportSchema } from './messages.ts';
import type { Running } from './spawn.ts';
import { type Exit, Supervised } from './supervised.ts';

/** What became of a process. */
export type ProcessReport =
  | {
      readonly event: 'process-start';
      readonly process: string;
      readonly pid: number;
      readonly restricted: boolean;
    }
  | {
      readonly event: 'process-exit';
      readonly process: string;
      /** 0 if it could not be started. */
      readonly pid: number;
      readonly code: number | null;
      readonly signal: string | null;
      /** What it has said of why, or why it could not be started. */
      readonly reason: string | undefined;
      /** Milliseconds until another one is started. */
      readonly wait: number;
    }
  | {
      /** It was told to begin, to listen or to prepare other options, and has not done so yet. */
      readonly event: 'process-silent';
      readonly process: string;
      readonly pid: number;
      /** For so many milliseconds. */
      readonly silent: number;
    };

export interface MemberOptions {
  readonly name: string;
  readonly spawn: () => Running;
  readonly report: (report: ProcessReport) => void;
  /** It was started, at first or again, and can be told to begin. */
  readonly onStart: () => void;
  readonly onReport: (report: Report, running: Running) => void;
  /** It has ended although it should not. */
  readonly onCrash: (exit: Exit) => void;
  /** It does not stay up, and is not started any more. */
  readonly onLoop: (exit: Exit, times: number) => void;
}

/** Milliseconds until it is said that a process does not do what it was told. It is waited for: it may be asking somebody for a passphrase. */
const PATIENCE = 30_000;

/** One process of a team, and those that are started in its place; and how far it is. */
export class Member {
  readonly name: string;
  begun = false;
  /** Can listen, and was not told to yet. */
  waits = false;
  serves = false;
  readonly #options: MemberOptions;
  readonly #supervised: Supervised;
  /** What it has said of why it cannot go on. */
  #reason: string | undefined;
  #onAnswer: ((answer: Report & { type: 'prepared' | 'refused' }) => void) | undefined;
  #silence: NodeJS.Timeout | undefined;

  /** Starts it. */
  constructor(options: MemberOptions) {
    this.name = options.name;
    this.#options = options;
    this.#supervised = new Supervised({
      spawn: options.spawn,
      onStart: (running) => this.#started(running),
      onCrash: (running, exit, wait) => this.#crashed(running, exit, wait),
      onLoop: options.onLoop,
    });
  }

  /** Undefined between two. */
  get running(): Running | undefined {
    return this.#supervised.running;
  }

  /** Tells it, if there is one; who has gone hears nothing. */
  tell(order: Order, handle?: object): void {
    const { running } = this;
    if (running === undefined) return;
    if (order.type === 'begin' || order.type === 'prepare' || order.type === 'listen') this.#await(running);
    running.port.send(order, handle);
  }

  /** Has it prepare other options; resolves with what it has keys for. Rejects with ProcessError if it refuses, or has ended. */
  prepare(running: Running, settings: Record<string, unknown>): Promise<readonly KeptKey[]> {
    const { promise, resolve, reject } = new Deferred<readonly KeptKey[]>();
    this.#onAnswer = (answer) => {
      if (answer.type === 'prepared') resolve(answer.kept ?? []);
      else reject(new ProcessError(answer.text, FAILURE));
    };
    void running.exited.then(() =>
      reject(new ProcessError(`the process "${this.name}" has ended meanwhile`, FAILURE)),
    );
    this.tell({ type: 'prepare', settings });
    return promise;
  }

  /** Starts no other one. The one that runs is to end by itself; resolves when it has. */
  stop(): Promise<void> {
    return this.#supervised.stop();
  }

  /** Ends it for good, at once; resolves when it has. */
  kill(): Promise<void> {
    this.#supervised.kill();
    return this.#supervised.stop();
  }

  #started(running: Running): void {
    const { report, onStart } = this.#options;
    const { pid, restricted } = running;
    this.#reset();
    this.#reason = undefined;
    if (pid !== 0) report({ event: 'process-start', process: this.name, pid, restricted });
    running.port.receive((message) => {
      if (isHandOver(message)) return; // that is between the relay and the channels
      // What one has said that has ended since is nothing that the next one, or nobody, has done.
      if (running !== this.running) return;
      const parsed = reportSchema.safeParse(message);
      if (parsed.success) this.#heard(parsed.data, running);
      else running.kill(); // it says what no process of ours does
    });
    queueMicrotask(onStart);
  }

  #heard(report: Report, running: Running): void {
    if (report.type !== 'wants-link') clearTimeout(this.#silence);
    if (report.type === 'failed') this.#reason = report.text;
    if (report.type === 'prepared' || report.type === 'refused') this.#onAnswer?.(report);
    else this.#options.onReport(report, running);
  }

  #crashed({ pid }: Running, exit: Exit, wait: number): void {
    const { code, signal, problem } = exit;
    const reason = this.#reason ?? problem;
    this.#reset();
    this.#options.report({
      ...{ event: 'process-exit', process: this.name, pid, code, signal },
      ...{ reason, wait },
    });
    this.#options.onCrash(exit);
  }

  #reset(): void {
    this.begun = false;
    this.waits = false;
    this.serves = false;
  }

  #await(running: Running): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      if (running !== this.running) return;
      const { pid } = running;
      this.#options.report({ event: 'process-silent', process: this.name, pid, silent: PATIENCE });
    }, PATIENCE).unref();
  }
}
