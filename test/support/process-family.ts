import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { KeymuxProcess } from './processes.ts';
import type { Scope } from './scope.ts';

/** A server that is several processes, as it is by default. */
export class ProcessFamily {
  readonly admin: KeymuxProcess;

  private constructor(admin: KeymuxProcess) {
    this.admin = admin;
  }

  static async start(
    scope: Scope,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): Promise<ProcessFamily> {
    return new ProcessFamily(
      await KeymuxProcess.start(scope, args, { KEYMUX_SINGLE_PROCESS: 'false', ...env }),
    );
  }

  get address(): string {
    return this.admin.address;
  }

  /** The process that has this name now. */
  pid(name: string): number {
    const started = this.admin.all('process-start').findLast((event) => event.process === name);
    if (started === undefined) throw new Error(`there is no process "${name}"`);
    return started.pid as number;
  }

  /** All that have been started, the admin first. */
  get pids(): number[] {
    return [this.admin.pid, ...this.admin.all('process-start').map(({ pid }) => pid as number)];
  }

  kill(name: string): void {
    process.kill(this.pid(name), 'SIGKILL');
  }

  /** Waits until another process has this name. */
  async replaced(name: string): Promise<void> {
    const before = this.admin.all('process-start').filter((event) => event.process === name).length;
    while (this.admin.all('process-start').filter((event) => event.process === name).length === before)
      await this.admin.atLeast(this.admin.all('process-start').length + 1, 'process-start');
  }

  /** Waits until none of them is there. */
  async gone(): Promise<void> {
    await this.othersGone(this.pids);
  }

  /** Waits until none of these is there. */
  async othersGone(pids: readonly number[]): Promise<void> {
    while ((await Promise.all(pids.map(isThere))).includes(true)) await delay(20);
  }
}

/** Processes of this one's parent's that nobody has asked how they ended are not there. */
async function isThere(pid: number): Promise<boolean> {
  const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return state !== '' && !/^\d+ \(.*\) Z/.test(state);
}
