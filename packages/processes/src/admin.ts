import type { AddressInfo } from 'node:net';
import { type Channel, Relay } from '@keymux/hand-over';
import { Deferred } from './deferred.ts';
import { ProcessError } from './errors.ts';
import { Team, type TeamOptions } from './team.ts';

/**
 * Starts and supervises the processes of a server. It touches no traffic and has no keys; sessions that go from one process to another pass through it sealed,
 * with sockets that it does not read.
 */
export class Admin {
  readonly #relay = new Relay((_offer, giver) => this.#takerFor(giver));
  readonly #failed = new Deferred<ProcessError>();
  readonly #retiring = new Set<Team>();
  /** Whose workers take sessions. */
  #team: Team | undefined;
  /** Whose processes do not all serve yet. */
  #starting: Team | undefined;
  #turn = 0;
  #stopping = false;

  /** Resolves when all processes serve. Rejects with ProcessError, or what `check` has thrown; then none is left. */
  static async start(options: TeamOptions): Promise<Admin> {
    const admin = new Admin();
    await admin.#start(options);
    return admin;
  }

  /** Where the workers listen. */
  get address(): AddressInfo | string {
    return this.#current.address;
  }

  /** Resolves if a process does not stay up; all others have been ended then. */
  get failed(): Promise<ProcessError> {
    return this.#failed.promise;
  }

  /** As of Team. */
  reload(settings: TeamOptions['settings'], check: TeamOptions['check']): Promise<void> {
    return this.#current.reload(settings, check);
  }

  /**
   * Starts other processes, from what is on the disk now, and has them take all sessions over; those that were there end. Resolves when the others serve. Rejects as
   * `start` does; then those that were there go on.
   */
  async upgrade(options: TeamOptions): Promise<void> {
    if (this.#stopping) throw new ProcessError('the server is ending', 1);
    const before = this.#current;
    await this.#start(options);
    this.#retiring.add(before);
    void before.retire().then(() => this.#retiring.delete(before));
  }

  /** Lets workers take nothing more, and resolves when their sessions have ended, and all processes. */
  async drain(): Promise<void> {
    this.#stopping = true;
    const ending = [this.#current, ...this.#retiring].map((team) => team.drain());
    await Promise.all([...ending, this.#starting?.kill()]);
  }

  get #current(): Team {
    return this.#team as Team;
  }

  async #start(options: TeamOptions): Promise<void> {
    const team = new Team({
      ...options,
      spawn: (role, name) => {
        const running = options.spawn(role, name);
        if (running.channel !== undefined) this.#relay.connect(running.channel);
        return running;
      },
    });
    this.#starting = team;
    try {
      await team.started;
    } catch (error) {
      await team.kill();
      throw error;
    } finally {
      this.#starting = undefined;
    }
    this.#team = team;
    void team.failed.then((error) => {
      if (this.#team === team) this.#failed.resolve(error);
    });
  }

  /** One after the other. The acceptor can have sessions before anybody knows that its server has started. */
  #takerFor(giver: Channel): Channel | undefined {
    const team = this.#starting?.has(giver) ? this.#starting : this.#team;
    const takers = team?.takers.filter((channel) => channel !== giver && !channel.closed) ?? [];
    return takers[this.#turn++ % Math.max(1, takers.length)];
  }
}
