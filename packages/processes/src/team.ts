import type { AddressInfo } from 'node:net';
import type { Channel } from '@keymux/hand-over';
import type { KeptKey } from '@keymux/keys';
import { Deferred } from './deferred.ts';
import { FAILURE, ProcessError } from './errors.ts';
import type { Listener } from './listener.ts';
import { Member, type ProcessReport } from './member.ts';
import type { Order, Report } from './messages.ts';
import { socketPair } from './socket-pair.ts';
import type { Running } from './spawn.ts';
import { describe } from './supervised.ts';

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
    const asked = all.flatMap((member) => {
      const { running, serves } = member;
      return running !== undefined && serves ? [{ member, running }] : [];
    });
    let accepted = false;
    try {
      const answers = asked.map(({ member, running }) =>
        member.prepare(running, this.#settingsFor(member, settings)),
      );
      await Promise.allSettled(answers); // so that none is taken for an answer to what comes next
      const [kept] = await Promise.all(answers);
      check(kept ?? []);
      this.#settings = settings;
      accepted = true;
    } finally {
      const told = new Set<Running>();
      for (const { member, running } of asked) {
        if (member.running !== running) continue; // another one is there, who was not asked
        member.tell({ type: 'apply', accepted });
        told.add(running);
      }
      // Who has begun meanwhile did so with the options before, and is started again.
      if (accepted)
        for (const { begun, running } of all)
          if (begun && running !== undefined && !told.has(running)) running.kill();
    }
  }

  /** Lets workers give their sessions to those of another team, and resolves when all have ended. What cannot be given is drained. */
  async retire(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#withSessions.map((member) => this.#end(member, 'retire')));
    await this.#end(this.#keeper, 'drain');
  }

  /** Whether it is the channel of one of these processes. */
  has(channel: Channel): boolean {
    return this.#withSessions.some(({ running }) => running?.channel === channel);
  }

  /** The channels of the workers that can take sessions. */
  get takers(): Channel[] {
    return this.#workers.flatMap(({ serves, running }) => {
      const channel = serves ? running?.channel : undefined;
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
    await Promise.all([...this.#withSessions, this.#keeper].map((member) => member.kill()));
  }

  get #withSessions(): readonly Member[] {
    return this.#acceptor === undefined ? this.#workers : [this.#acceptor, ...this.#workers];
  }

  async #end(member: Member, type: 'drain' | 'retire'): Promise<void> {
    member.tell({ type });
    await member.stop();
  }

  #member(role: Role, name: string): Member {
    const { spawn, report } = this.#options;
    const member: Member = new Member({
      ...{ name, report, spawn: () => spawn(role, name), onStart: () => this.#begin() },
      onReport: (said, running) => this.#heard(member, said, running),
      onCrash: (exit) => {
        if (this.#isStarted) return;
        const message = `the process "${name}" ${describe(exit)} before it was ready`;
        this.#fail(new ProcessError(message, FAILURE));
      },
      onLoop: (exit, times) => {
        const message = `the process "${name}" ended ${times} times, each time soon after its start; the last one ${describe(exit)}. See above for why, or try --single-process`;
        this.#fail(new ProcessError(message, FAILURE));
      },
    });
    return member;
  }

  /** Has the keeper begin, and the workers as soon as it serves. */
  #begin(): void {
    for (const member of [this.#keeper, ...this.#withSessions]) {
      if (member.running === undefined || member.begun) continue;
      if (member !== this.#keeper && !this.#keeper.serves) continue;
      member.begun = true;
      member.tell({ type: 'begin', settings: this.#settingsFor(member, this.#settings) });
    }
  }

  #settingsFor(member: Member, settings: TeamOptions['settings']): Record<string, unknown> {
    if (member !== this.#keeper) return { ...settings };
    const { notForKeeper = [] } = this.#options;
    return Object.fromEntries(Object.entries(settings).filter(([name]) => !notForKeeper.includes(name)));
  }

  #heard(member: Member, report: Report, running: Running): void {
    switch (report.type) {
      case 'ready':
        if (member === this.#keeper) this.#keeperReady(report.kept ?? []);
        else if (this.#acceptor === undefined) this.#listen(member);
        else if (member === this.#acceptor) member.waits = true;
        else this.#serving(member);
        this.#openAcceptor();
        return;
      case 'listening':
        this.#address ??= report.address;
        this.#serving(member);
        return;
      case 'wants-link':
        void this.#link(member, running, report.id);
        return;
      case 'failed':
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
    const acceptor = this.#acceptor;
    if (acceptor === undefined || !acceptor.waits) return;
    const serving = this.#workers.filter(({ serves }) => serves).length;
    if (serving < (this.#isStarted ? 1 : this.#workers.length)) return;
    acceptor.waits = false;
    this.#listen(acceptor);
  }

  /** What is ending is ready too late: it was told to take nothing more. */
  #listen(member: Member): void {
    const { handle, place } = this.#options.listener;
    if (!this.#stopping) member.tell({ type: 'listen', place }, handle);
  }

  #serving(member: Member): void {
    member.serves = true;
    if (!this.#withSessions.every(({ serves }) => serves)) return;
    this.#isStarted = true;
    this.#started.resolve();
  }

  /** Makes a connection between a worker and the keeper that nobody else can reach. */
  async #link({ name }: Member, { port }: Running, id: number): Promise<void> {
    const keeper = this.#keeper.serves ? this.#keeper.running : undefined;
    if (keeper === undefined) return port.send({ type: 'link', id, found: false } satisfies Order);
    try {
      const [near, far] = await socketPair();
      keeper.port.send({ type: 'caller', name } satisfies Order, near);
      port.send({ type: 'link', id, found: true } satisfies Order, far);
    } catch {
      port.send({ type: 'link', id, found: false } satisfies Order); // it asks again
    }
  }

  #fail(error: ProcessError): void {
    if (this.#stopping) return;
    this.#started.reject(error);
    if (this.#isStarted) void this.kill().then(() => this.#failed.resolve(error));
  }
}
