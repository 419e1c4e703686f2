import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { endWithUs } from '../processes.ts';
import type { Order, Report } from './client-process.ts';

/** As it was built, also where this file is read as it was written. */
const PROGRAM = fileURLToPath(new URL('../../../dist/demo/scene/client-process.js', import.meta.url));

/** The client of the scene. */
export class SceneClient {
  readonly #child: ChildProcess;
  readonly #sessionKeys: Buffer[] = [];
  #stderr = '';

  /** Starts a client of `host`, which shares the key file with it. */
  constructor(host: string, keyFile: string) {
    this.#child = fork(PROGRAM, [host, keyFile], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    endWithUs(this.#child);
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** The keys of its sessions so far. */
  get sessionKeys(): readonly Buffer[] {
    return this.#sessionKeys;
  }

  /** Has it do something. Rejects with what went wrong. */
  async do(order: Order): Promise<Report> {
    const over = new AbortController();
    const ended = (): void => over.abort(new Error(this.#stderr));
    this.#child.once('exit', ended);
    try {
      const answer = once(this.#child, 'message', { signal: over.signal });
      this.#child.send(order);
      const [report] = (await answer) as [Report];
      this.#sessionKeys.push(...report.sessionKeys.map((hex) => Buffer.from(hex, 'hex')));
      if (report.error !== undefined) throw new Error(report.error);
      return report;
    } catch (error) {
      const cause = over.signal.aborted ? over.signal.reason : error;
      throw new Error(`the client of the scene could not ${order.do}`, { cause });
    } finally {
      this.#child.off('exit', ended);
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.disconnect();
    await exit;
  }
}
