import { type ChildProcess, spawn } from 'node:child_process';
import { type EventEmitter, once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../../bin/keymux.js', import.meta.url));
const START_TIMEOUT = 60_000;

type Message = Readonly<Record<string, unknown>>;

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

  /** Starts a keymux command that serves; resolves when it listens. */
  static async start(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<ServerProcess> {
    const child = spawn(process.execPath, [PROGRAM, ...args, '--json', '--listen', '127.0.0.1:0'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    endWithUs(child);
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    const server = new ServerProcess(child);
    lines.on('line', (line) => server.#events.push(JSON.parse(line) as Message));
    try {
      await server.#listening(lines);
    } catch (error) {
      child.kill('SIGKILL');
      throw new Error(`keymux ${args[0]} did not start`, { cause: error });
    }
    return server;
  }

  /** Waits until it says where it listens. */
  async #listening(lines: EventEmitter): Promise<void> {
    const signal = AbortSignal.timeout(START_TIMEOUT);
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
function endWithUs(child: ChildProcess): void {
  const kill = (): unknown => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
}
