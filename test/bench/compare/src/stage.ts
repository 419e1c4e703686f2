import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { takePeakRss, usage } from './process-tree.ts';

/** Whose CPU time and memory something is. */
export type Part = 'origin' | 'proxy' | 'client';
export const PARTS: readonly Part[] = ['origin', 'proxy', 'client'];

const ROLE = fileURLToPath(new URL('role.js', import.meta.url));
const START_TIMEOUT = 20_000;
/** How many profiles there will be: each has a name of its own. */
let profiles = 0;

/** What lies between the client and the proxy, or the origin if there is no proxy. */
export interface Link {
  /** Milliseconds there and back. */
  readonly roundTrip: number;
  /** Share of the chunks that take 200 ms longer, and hold back what comes after them. */
  readonly stalls: number;
}

/** The processes of one contender, and a directory for their files. */
export class Stage {
  readonly directory = mkdtempSync(join(tmpdir(), 'keymux-bench-'));
  readonly #linked: boolean;
  readonly #profiles: string | undefined;
  readonly #processes: { readonly part: Part | 'link'; readonly child: ChildProcess }[] = [];

  /** With a directory for profiles, each Node process leaves a CPU profile of itself there. */
  constructor({ linked, profiles }: { linked: boolean; profiles: string | undefined }) {
    this.#linked = linked;
    this.#profiles = profiles;
  }

  /** The port by which the far side of the link, which listens at `port`, is reached: the same if there is no link. */
  async reach(port: number): Promise<number> {
    return this.#linked ? (await this.node('link', 'link', 'link', { port })).port : port;
  }

  /** Makes the link as long as that from now on. */
  async lengthen(link: Link): Promise<void> {
    await this.#tell('link', link);
  }

  /** Has each Node process of the contender collect what is dead in its memory. */
  async collect(): Promise<void> {
    for (const part of PARTS) await this.#tell(part, { do: 'collect' });
  }

  async #tell(to: Part | 'link', message: object): Promise<void> {
    const told = this.#processes.filter(({ part, child }) => part === to && child.connected);
    await Promise.all(
      told.map(({ child }) => {
        const heard = once(child, 'message');
        child.send(message);
        return heard;
      }),
    );
  }

  /** Runs a function of a module under `contenders/` in a process of its own; resolves with it and the port that it listens at. */
  async node(
    part: Part | 'link',
    module: string,
    role: string,
    params: unknown,
  ): Promise<{ child: ChildProcess; port: number }> {
    const child = fork(ROLE, [module, role, JSON.stringify(params)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      execArgv: this.#profileOptions(`${module}-${role}`),
    });
    this.#processes.push({ part, child });
    const [message] = (await Promise.race([once(child, 'message'), exited(child, `${module} ${role}`)])) as [
      { port: number },
    ];
    return { child, port: message.port };
  }

  #profileOptions(name: string): string[] {
    if (this.#profiles === undefined) return [];
    return [
      '--cpu-prof',
      `--cpu-prof-dir=${this.#profiles}`,
      `--cpu-prof-name=${name}-${++profiles}.cpuprofile`,
    ];
  }

  /** Runs another program; resolves when something listens at the port. */
  async program(part: Part, command: string, args: readonly string[], port: number): Promise<void> {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], cwd: this.directory });
    let complaints = '';
    child.stderr.on('data', (chunk: Buffer) => {
      complaints = (complaints + chunk.toString()).slice(-2000);
    });
    this.#processes.push({ part, child });
    await Promise.race([listening(port), exited(child, command, () => complaints)]);
  }

  /** CPU seconds of each part so far. */
  cpu(): Record<Part, number> {
    return this.#sum((pid) => usage(pid).cpu);
  }

  /** Bytes in memory now. */
  rss(): Record<Part, number> {
    return this.#sum((pid) => usage(pid).rss);
  }

  /** The most since it was last asked for. */
  peakRss(): Record<Part, number> {
    return this.#sum(takePeakRss);
  }

  #sum(measure: (pid: number) => number): Record<Part, number> {
    const sums: Record<Part, number> = { origin: 0, proxy: 0, client: 0 };
    for (const { part, child } of this.#processes)
      if (part !== 'link' && child.pid !== undefined) sums[part] += measure(child.pid);
    return sums;
  }

  async close(): Promise<void> {
    const running = this.#processes.filter(
      ({ child }) => child.exitCode === null && child.signalCode === null,
    );
    await Promise.all(
      running.map(async ({ child }) => {
        const gone = once(child, 'exit');
        if (this.#profiles === undefined || !child.connected) child.kill('SIGKILL');
        else child.disconnect(); // it ends by itself, and writes its profile
        await gone;
      }),
    );
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A port that nobody listens at now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function exited(child: ChildProcess, what: string, complaints = (): string => ''): Promise<never> {
  const [cause] = (await Promise.race([
    once(child, 'exit'),
    once(child, 'error').catch((error) => [error]),
  ])) as [unknown];
  throw new Error(`${what} ended before it was ready: ${cause}\n${complaints()}`.trim());
}

async function listening(port: number): Promise<void> {
  for (const end = Date.now() + START_TIMEOUT; Date.now() < end; await delay(20)) {
    const socket = connect(port, '127.0.0.1');
    const up = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (up) return;
  }
  throw new Error(`nothing listens at port ${port} after ${START_TIMEOUT / 1000} s`);
}
