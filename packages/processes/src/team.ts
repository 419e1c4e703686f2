import type { AddressInfo } from 'node:net';
import type { Channel } from '@keymux/hand-over';
import type { KeptKey } from '@keymux/keys';
import { Deferred } from './deferred.ts';
import { ProcessError } from './errors.ts';
import type { Listener } from './listener.ts';
import { isHandOver, type Order, type Report, reportSchema } from './messages.ts';
import { socketPair } from './socket-pair.ts';
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
      readonly pid: number;
      readonly code: number | null;
      readonly signal: string | null;
      /** What it has said of why. */
      readonly reason: string | undefined;
      /** Milliseconds until another one is started. */
      readonly wait: number;
    };

export interface TeamOptions {
  /** The options of the command. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Names of those that the keeper is not told: it has no use for them. */
  readonly notForKeeper?: readonly string[];
  readonly workers: number;
  /** Whether a process of its own accepts sessions, and gives them to workers. */
  readonly acceptor?: boolean;
  /** What workers listen with. */
  readonly listener: Pick<Listener, 'handle' | 'place'>;
  readonly spawn: (role: Role, name: string) => Running;
  /** Judges the options by what the keeper has, before anybody listens. What it throws ends the start. */
  readonly check: (kept: readonly KeptKey[]) => void;
  readonly report: (report: ProcessReport) => void;
}

export type Role = 'keeper' | 'acceptor' | 'worker';

/** A process and how far it is. */
interface Member {
  readonly name: string;
  readonly supervised: Supervised;
  begun: boolean;
  /** Can listen, and was not told to yet. */
  waits: boolean;
  serves: boolean;
  /** What it has said of why it cannot go on. */
  reason: string | undefined;
  /** Who waits for its answer to `prepare`. */
  onAnswer: ((answer: Report & { type: 'prepared' | 'refused' }) => void) | undefined;
}

/** The exit status of a program that failed for no reason that has one. */
const FAILURE = 1;

/** A keeper, which has the long-term keys, and workers, which have sessions. Each of them is started again if it ends. */
export class Team {
  readonly #options: TeamOptions;
  readonly #keeper: Member;
  readonly #acceptor: Member | undefined;
  readonly #workers: Member[];
  readonly #started = new Deferred<void>();
  readonly #failed = new Deferred<ProcessError>();
  #address: AddressInfo | string | undefined;
  #settings: TeamOptions['settings'];
  #isStarted = false;
  #stopping = false;

  /** Starts all processes. Whoever makes it waits for `started`. */
  constructor(options: TeamOptions) {
    this.#options = options;
    this.#settings = options.settings;
    this.#keeper = this.#member('keeper', 'keeper');
    this.#acceptor = options.acceptor ? this.#member('acceptor', 'acceptor') : undefined;
    this.#workers = Array.from({ length: options.workers }, (_, index) =>
      this.#member('worker', `worker ${index + 1}`),
    );
  }

  /** Resolves when all processes serve. Rejects with ProcessError, or what `check` has thrown; those that are there still have to be killed then. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /** Where the workers listen. */
  get address(): AddressInfo | string {
    return this.#address as AddressInfo | string;
  }

  /** Resolves if a process does not stay up; all others have been ended then. */
  get failed(): Promise<ProcessError> {
    return this.#failed.promise;
  }

  /**
   * Puts other options into the place of those that all have: everybody reads what they name, and only if nobody refuses they take effect. Rejects with ProcessError,
   * or what `check` throws, and then all is as it was.
   */
  async reload(settings: TeamOptions['settings'], check: TeamOptions['check']): Promise<void> {
    if (!this.#keeper.serves) throw new ProcessError('the keeper is being started; try again', FAILURE);
    const all = [this.#keeper, ...this.#withSessions];
    const running = all.flatMap((member) => {
      const { running } = member.supervised;
      return running !== undefined && member.serves ? [{ member, running }] : [];
    });
    let accepted = false;
    try {
      const answers = running.map(({ member, running }) => this.#answer(member, running));
      for (const { member, running: one } of running)
        tell(one, { type: 'prepare', settings: this.#settingsFor(member, settings) });
      await Promise.allSettled(answers); // so that none is taken for an answer to what comes next
      const [kept] = await Promise.all(answers);
      check(kept ?? []);
      this.#settings = settings;
      accepted = true;
    } finally {
      for (const { running: one } of running) tell(one, { type: 'apply', accepted });
      const told = new Set(running.map(({ running: one }) => one));
      // Who has begun meanwhile did so with the options before, and is started again.
      if (accepted)
        for (const { begun, supervised } of all)
          if (begun && supervised.running !== undefined && !told.has(supervised.running))
            supervised.running.kill();
    }
  }

  /** What a process says to `prepare`: for what it has keys. */
  #answer(member: Member, { exited }: Running): Promise<readonly KeptKey[]> {
    const { promise, resolve, reject } = new Deferred<readonly KeptKey[]>();
    member.onAnswer = (answer) => {
      if (answer.type === 'prepared') resolve(answer.kept ?? []);
      else reject(new ProcessError(answer.text, FAILURE));
    };
    void exited.then(() =>
      reject(new ProcessError(`the process "${member.name}" has ended meanwhile`, FAILURE)),
    );
    return promise;
  }

  /** Lets workers give their sessions to those of another team, and resolves when all have ended. What cannot be given is drained. */
  async retire(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#withSessions.map((member) => this.#end(member, 'retire')));
    await this.#end(this.#keeper, 'drain');
  }

  /** Whether it is the channel of one of these processes. */
  has(channel: Channel): boolean {
    return this.#withSessions.some(({ supervised }) => supervised.running?.channel === channel);
  }

  /** The channels of the workers that can take sessions. */
  get takers(): Channel[] {
    return this.#workers.flatMap(({ serves, supervised }) => {
      const channel = serves ? supervised.running?.channel : undefined;
      return channel === undefined ? [] : [channel];
    });
  }

  /** Lets workers take nothing more, and resolves when their sessions have ended, and all processes. */
  async drain(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#withSessions.map((member) => this.#end(member, 'drain')));
    await this.#end(this.#keeper, 'drain');
  }

  /** Ends all at once. */
  async kill(): Promise<void> {
    this.#stopping = true;
    this.#started.reject(new ProcessError('the server is ending', FAILURE));
    const all = [...this.#withSessions, this.#keeper];
    for (const { supervised } of all) supervised.kill();
    await Promise.all(all.map(({ supervised }) => supervised.stop()));
  }

  get #withSessions(): readonly Member[] {
    return this.#acceptor === undefined ? this.#workers : [this.#acceptor, ...this.#workers];
  }

  async #end({ supervised }: Member, type: 'drain' | 'retire'): Promise<void> {
    if (supervised.running !== undefined) tell(supervised.running, { type });
    await supervised.stop();
  }

  #member(role: Role, name: string): Member {
    const { spawn, report } = this.#options;
    const state = { begun: false, waits: false, serves: false, reason: undefined, onAnswer: undefined };
    const supervised = new Supervised({
      spawn: () => spawn(role, name),
      onStart: (running) => {
        Object.assign(state, { begun: false, waits: false, serves: false, reason: undefined });
        const { pid, restricted } = running;
        report({ event: 'process-start', process: name, pid, restricted });
        running.port.receive((message) => {
          if (isHandOver(message)) return; // that is between the relay and the channels
          const parsed = reportSchema.safeParse(message);
          if (parsed.success) this.#heard(member, running, parsed.data);
          else running.kill(); // it says what no process of ours does
        });
        queueMicrotask(() => this.#begin());
      },
      onCrash: (running, exit, wait) => {
        const { reason } = member;
        Object.assign(state, { begun: false, waits: false, serves: false });
        report({ event: 'process-exit', process: name, pid: running.pid, ...exit, reason, wait });
        if (!this.#isStarted)
          this.#fail(
            new ProcessError(`the process "${name}" ${describe(exit)} before it was ready`, FAILURE),
          );
      },
      onLoop: (exit, times) => {
        const message = `the process "${name}" ended ${times} times, each time soon after its start; the last one ${describe(exit)}. See above for why, or try --single-process`;
        this.#fail(new ProcessError(message, FAILURE));
      },
    });
    const member: Member = Object.assign(state, { name, supervised });
    return member;
  }

  /** Has the keeper begin, and the workers as soon as it serves. */
  #begin(): void {
    for (const member of [this.#keeper, ...this.#withSessions]) {
      const { running } = member.supervised;
      if (running === undefined || member.begun) continue;
      if (member !== this.#keeper && !this.#keeper.serves) continue;
      member.begun = true;
      tell(running, { type: 'begin', settings: this.#settingsFor(member, this.#settings) });
    }
  }

  #settingsFor(member: Member, settings: TeamOptions['settings']): Record<string, unknown> {
    if (member !== this.#keeper) return { ...settings };
    const { notForKeeper = [] } = this.#options;
    return Object.fromEntries(Object.entries(settings).filter(([name]) => !notForKeeper.includes(name)));
  }

  #heard(member: Member, running: Running, report: Report): void {
    switch (report.type) {
      case 'ready':
        if (member === this.#keeper) this.#keeperReady(report.kept ?? []);
        else if (this.#acceptor === undefined) this.#listen(running);
        else if (member === this.#acceptor) member.waits = true;
        else this.#serving(member);
        this.#openAcceptor();
        return;
      case 'listening':
        this.#address ??= report.address;
        this.#serving(member);
        return;
      case 'prepared':
      case 'refused':
        member.onAnswer?.(report);
        return;
      case 'wants-link':
        void this.#link(member, running, report.id);
        return;
      case 'failed':
        member.reason = report.text;
        if (this.#isStarted) running.kill();
        else this.#fail(new ProcessError(report.text, report.exitCode));
        return;
    }
  }

  #keeperReady(kept: readonly KeptKey[]): void {
    try {
      if (!this.#isStarted) this.#options.check(kept);
    } catch (error) {
      this.#started.reject(error);
      return;
    }
    this.#keeper.serves = true;
    this.#begin();
  }

  /** Has the acceptor listen once there is somebody to give sessions to: at first all workers, so that a start that fails has taken no session; later any. */
  #openAcceptor(): void {
    const { supervised, waits } = this.#acceptor ?? {};
    if (supervised?.running === undefined || !waits) return;
    const serving = this.#workers.filter(({ serves }) => serves).length;
    if (serving < (this.#isStarted ? 1 : this.#workers.length)) return;
    (this.#acceptor as Member).waits = false;
    this.#listen(supervised.running);
  }

  #listen(running: Running): void {
    const { handle, place } = this.#options.listener;
    tell(running, { type: 'listen', place }, handle);
  }

  #serving(member: Member): void {
    member.serves = true;
    if (!this.#withSessions.every(({ serves }) => serves)) return;
    this.#isStarted = true;
    this.#started.resolve();
  }

  /** Makes a connection between a worker and the keeper that nobody else can reach. */
  async #link({ name }: Member, worker: Running, id: number): Promise<void> {
    const keeper = this.#keeper.serves ? this.#keeper.supervised.running : undefined;
    if (keeper === undefined) return tell(worker, { type: 'link', id, found: false });
    try {
      const [near, far] = await socketPair();
      tell(keeper, { type: 'caller', name }, near);
      tell(worker, { type: 'link', id, found: true }, far);
    } catch {
      tell(worker, { type: 'link', id, found: false }); // it asks again
    }
  }

  #fail(error: ProcessError): void {
    if (this.#stopping) return;
    this.#started.reject(error);
    if (this.#isStarted) void this.kill().then(() => this.#failed.resolve(error));
  }
}

function tell(running: Running, order: Order, handle?: object): void {
  running.port.send(order, handle);
}

/** How a process ended, in words. */
export function describe({ code, signal }: Exit): string {
  if (signal !== null) return `was ended by ${signal}`;
  return code === null ? 'could not be started' : `ended with status ${code}`;
}
