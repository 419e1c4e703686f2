import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Channel, Relay } from '@keymux/hand-over';
import { expect } from 'vitest';
import type { Scope } from './scope.ts';

const SERVER = fileURLToPath(new URL('./moving-server.js', import.meta.url));

type Answer = Readonly<Record<string, unknown>>;

/** A process that has sessions, and can give them away or take others. */
export class Mover {
  readonly child: ChildProcess;
  readonly channel: Channel;
  readonly exited: Promise<unknown>;
  #orders = 0;

  constructor(scope: Scope, child: ChildProcess) {
    this.child = child;
    this.channel = new Channel(child);
    this.exited = once(child, 'exit');
    scope.defer(async () => {
      child.kill('SIGKILL');
      await this.exited;
    });
  }

  async order(order: string, details: Answer = {}): Promise<Answer> {
    const id = ++this.#orders;
    const answer = new Promise<Answer>((resolve, reject) => {
      const listen = (message: Answer): void => {
        if (message.answer !== id) return;
        this.child.off('message', listen);
        resolve(message);
      };
      this.child.on('message', listen);
      this.exited.then(() => reject(new Error('the process has ended')));
    });
    this.child.send({ order, id, ...details });
    return answer;
  }

  /** Gives all its sessions away; returns what became of each. */
  async give(details: Answer = {}): Promise<readonly string[]> {
    return (await this.order('give', details)).results as string[];
  }

  async sessions(): Promise<number> {
    return (await this.order('sessions')).count as number;
  }
}

/** Two such processes, each of which gives to the other by way of this one. */
export class Movers {
  readonly all: readonly [Mover, Mover];
  /** Types of the messages that were passed on, in their order. */
  readonly passed: string[] = [];
  port = 0;

  private constructor(scope: Scope, kind: string) {
    const start = (): Mover => new Mover(scope, fork(SERVER, [kind], { execArgv: [] }));
    this.all = [start(), start()];
    const relay = new Relay((_, giver) => this.all.find(({ channel }) => channel !== giver)?.channel);
    for (const { channel } of this.all) {
      relay.connect(channel);
      channel.on('message', ({ type }) => this.passed.push(type));
    }
  }

  /** The first of them listens. */
  static async start(scope: Scope, kind: string): Promise<Movers> {
    const movers = new Movers(scope, kind);
    const [first, second] = movers.all;
    const [{ address }] = await Promise.all([first.order('listen'), second.order('sessions')]);
    movers.port = (address as { port: number }).port;
    return movers;
  }

  /** Resolves when the second has accepted what the first offers, and the first has heard of it. */
  async accepted(): Promise<void> {
    await expect.poll(() => this.passed).toContain('hand-over.ready');
    await this.all[0].sessions();
  }
}
