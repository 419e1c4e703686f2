import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Scope } from './scope.ts';

export const PROGRAM = fileURLToPath(new URL('../../packages/cli/bin/keymux.js', import.meta.url));

/** One process starts sooner than five; tests of several ask for them. KEYMUX_TEST_PROCESSES=many has all tests have them. */
const SINGLE = { KEYMUX_SINGLE_PROCESS: String(process.env.KEYMUX_TEST_PROCESSES !== 'many') };

export type Message = Readonly<Record<string, unknown>>;

/** How a program ended, and what it wrote. */
export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. Standard input is empty unless given. */
export async function run(
  command: string,
  args: readonly string[],
  options: SpawnOptions & { input?: string | Uint8Array } = {},
): Promise<Run> {
  const child = spawn(command, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => err.push(chunk));
  child.stdin?.on('error', () => undefined); // it may end without reading
  child.stdin?.end(options.input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
}

/** Runs a keymux command to its end, in a process of its own. */
export function keymux(args: readonly string[], options: Parameters<typeof run>[2] = {}): Promise<Run> {
  const env = { ...SINGLE, ...(options.env ?? process.env) };
  return run(process.execPath, [PROGRAM, ...args], { ...options, env });
}

/** The JSON objects of an output, one a line. */
export function jsonLines(text: string): Message[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Message);
}

export interface Start {
  /** A program that starts the command, with its arguments. */
  readonly through?: readonly string[];
  /** Descriptors of this process that it gets as 3, 4 and so on. */
  readonly passed?: readonly number[];
}

/** Starts a command after a line of shell, in the same process. */
export function after(line: string): string[] {
  return ['sh', '-c', `${line} && exec "$@"`, 'sh'];
}

/** A keymux command that serves, in a process of its own, and the events it reports. */
export class KeymuxProcess {
  readonly events: Message[] = [];
  /** Resolves with the exit status; null if a signal ended it. */
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #changes = new EventEmitter();
  #stderr = '';

  private constructor(args: readonly string[], env: NodeJS.ProcessEnv, { through = [], passed = [] }: Start) {
    const [program = '', ...rest] = [...through, process.execPath, PROGRAM, ...args];
    const child = spawn(program, rest, {
      stdio: ['ignore', 'pipe', 'pipe', ...passed],
      env: { ...process.env, ...SINGLE, ...env },
    });
    this.#child = child;
    child.stderr?.on('data', (chunk) => {
      this.#stderr += chunk;
    });
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      this.events.push(JSON.parse(line) as Message);
      this.#changes.emit('change');
    });
    this.exited = once(child, 'close').then(([code]) => {
      this.#changes.emit('change');
      return code as number | null;
    });
  }

  /**
   * Starts a command on a free port of loopback, unless `args` says where (--listen, or -s of pipe), or a file that KEYMUX_CONFIG names; resolves
   * when it listens.
   */
  static async start(
    scope: Scope,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
    how: Start = {},
  ): Promise<KeymuxProcess> {
    const started = KeymuxProcess.begin(scope, args, env, how);
    await started.next('listening');
    return started;
  }

  /** The same, as soon as it runs. */
  static begin(
    scope: Scope,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
    how: Start = {},
  ): KeymuxProcess {
    const says = args.includes('--listen') || args.includes('-s') || env.KEYMUX_CONFIG !== undefined;
    const listen = says ? [] : ['--listen', '127.0.0.1:0'];
    const started = new KeymuxProcess([...args, '--json', ...listen], env, how);
    scope.defer(() => started.stop());
    return started;
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  get address(): string {
    return String(this.all('listening')[0]?.address);
  }

  get port(): number {
    return Number(this.address.split(':').at(-1));
  }

  get stderr(): string {
    return this.#stderr;
  }

  all(name: string): Message[] {
    return this.events.filter(({ event }) => event === name);
  }

  /** All events of a name, as soon as there are that many. What a client sees can be ahead of what its server has written down. */
  async atLeast(count: number, name: string): Promise<Message[]> {
    await this.next(name, count - 1);
    return this.all(name);
  }

  /** The `index`th event of a name, as soon as it has come. Rejects if the process ends without it. */
  async next(name: string, index = 0): Promise<Message> {
    for (;;) {
      const found = this.all(name)[index];
      if (found !== undefined) return found;
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(`the process ended before event "${name}": ${this.#stderr}`);
      }
      await once(this.#changes, 'change');
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it: politely, then, after `patience` milliseconds, not. */
  async stop(patience = 1_000): Promise<number | null> {
    this.#child.kill('SIGTERM');
    const force = setTimeout(() => this.#child.kill('SIGKILL'), patience);
    const code = await this.exited;
    clearTimeout(force);
    return code;
  }
}
