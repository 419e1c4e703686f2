import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { readFile } from 'node:fs/promises';
import xterm from '@xterm/headless';
import { PROGRAM } from './processes.ts';
import type { Scope } from './scope.ts';

/** Milliseconds for something to be shown. */
const PATIENCE = 60_000;

/** keymux in a pseudo terminal, and what is on its screen. Needs `script` of util-linux. */
export class Terminal {
  /** Everything that was written to it. */
  output = '';
  /** Resolves with the exit status. */
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #screen: InstanceType<typeof xterm.Terminal>;
  readonly #changes = new EventEmitter();
  readonly #device: string;
  #isOver = false;

  private constructor(child: ChildProcess, columns: number, rows: number, device: string) {
    this.#child = child;
    this.#device = device;
    this.#screen = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true });
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.output += text;
      this.#screen.write(text, () => this.#changes.emit('change'));
    });
    this.exited = once(child, 'close').then(([code]) => {
      this.#isOver = true;
      this.#changes.emit('change');
      return code as number | null;
    });
  }

  static async start(
    scope: Scope,
    args: readonly string[],
    { columns, rows, env = {} }: { columns: number; rows: number; env?: NodeJS.ProcessEnv },
  ): Promise<Terminal> {
    const device = (await scope.directory())('device');
    const command = `tty > '${device}'; stty cols ${columns} rows ${rows}; exec '${process.execPath}' '${PROGRAM}' ${args.join(' ')}`;
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TERM: 'xterm-256color', ...env },
    });
    scope.defer(() => child.kill('SIGKILL'));
    return new Terminal(child, columns, rows, device);
  }

  /** The rows of the screen, without the spaces at their ends. */
  get screen(): string[] {
    const { active } = this.#screen.buffer;
    return Array.from(
      { length: this.#screen.rows },
      (_, row) =>
        active
          .getLine(active.viewportY + row)
          ?.translateToString()
          .trimEnd() ?? '',
    );
  }

  /** Waits until the screen shows something; returns the screen then. Rejects, with what it shows, if the program ends without it, or it does not come. */
  async shows(what: RegExp): Promise<string[]> {
    const signal = AbortSignal.timeout(PATIENCE);
    while (!what.test(this.screen.join('\n'))) {
      const change = once(this.#changes, 'change', { signal });
      const isOver = this.#isOver || (await change.then(() => false).catch(() => true));
      if (isOver) throw new Error(`the terminal does not show ${what}:\n${this.screen.join('\n')}`);
    }
    return this.screen;
  }

  type(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  async resize(columns: number, rows: number): Promise<void> {
    const device = (await readFile(this.#device, 'utf8')).trim();
    this.#screen.resize(columns, rows);
    execFileSync('stty', ['-F', device, 'cols', String(columns), 'rows', String(rows)]);
  }
}
