import { type ChildProcess, spawn } from 'node:child_process';
import { type EventEmitter, once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../../bin/keymux.js', import.meta.url));
const START_TIMEOUT = 60_000;

export type Message = Readonly<Record<string, unknown>>;

export interface ServerOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** A free port of loopback unless given. */
  readonly listen?: string;
  /** Hears of each event as it comes. */
  readonly onEvent?: (event: Message) => void;
}

/** A keymux server in a process of its own, and the events it reports. */
export class ServerProcess {
  readonly #child: ChildProcess;
  #events: Message[] = [];
  #port = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Starts a keymux command that serves; resolves when it listens. */
  static async start(
    args: readonly string[],
    { env = {}, listen = '127.0.0.1:0', onEvent }: ServerOptions = {},
  ): Promise<ServerProcess> {
    const child = spawn(process.execPath, [PROGRAM, ...args, '--json', '--listen', listen], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // One process for each server: they are watched, and start sooner.
      env: { ...process.env, KEYMUX_SINGLE_PROCESS: 'true', ...env },
    });
    endWithUs(child);
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    const server = new ServerProcess(child);
    lines.on('line', (line) => {
      const event = JSON.parse(line) as Message;
      server.#events.push(event);
      onEvent?.(event);
    });
    const ended = new AbortController();
    child.once('exit', () => ended.abort());
    try {
      await server.#listening(lines, AbortSignal.any([ended.signal, AbortSignal.timeout(START_TIMEOUT)]));
    } catch (error) {
      child.kill('SIGKILL');
      throw new Error(`keymux ${args[0]} did not start: ${stderr.trim()}`, { cause: error });
    }
    return server;
  }

  /** Waits until it says where it listens. */
  async #listening(lines: EventEmitter, signal: AbortSignal): Promise<void> {
    for (;;) {
      const said = this.#events.find(({ event }) => event === 'listening');
      if (said !== undefined) {
        this.#port = Number(String(said.address).split(':').at(-1));
        return;
      }
      await once(lines, 'line', { signal });
    }
  }

  /** The events since the last call. */
  take(): Message[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const force = setTimeout(() => this.#child.kill('SIGKILL'), 2_000);
    await exit;
    clearTimeout(force);
  }
}

export interface ClientRun {
  readonly exitCode: number;
  /** One JSON document a fetched URL. */
  readonly results: readonly Message[];
  readonly stderr: string;
}

/** Runs `keymux get` in a process of its own. */
export async function runClient(args: readonly string[]): Promise<ClientRun> {
  const child = spawn(process.execPath, [PROGRAM, 'get', ...args, '--host-memory', 'none', '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  endWithUs(child);
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  const results = output.stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Message);
  return { exitCode: code ?? 1, results, stderr: output.stderr };
}

/** However the demonstration ends, for example because nobody reads any more what it prints, its processes end too. */
export function endWithUs(child: ChildProcess): void {
  const kill = (): unknown => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
}
