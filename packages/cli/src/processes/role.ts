import type { AuditEntry } from '@keymux/keeper';
import { type KeyHolder, LocalKeeper } from '@keymux/keys';
import { type KeeperService, parentPort, runKeeper, runWorker, type WorkerService } from '@keymux/processes';
import { exitCodeOf } from '../exit-codes.ts';
import { closeDebugger } from '../hardening.ts';
import { describeError, Output } from '../output.ts';
import { openKeeper, type ServerCommand, type ServerConfig } from '../server-command.ts';

/** The commands that have processes. Their code comes with the role that needs it. */
const COMMANDS: Readonly<Record<string, () => Promise<ServerCommand>>> = {
  origin: async () => (await import('../commands/origin.ts')).originCommand,
  proxy: async () => (await import('../commands/proxy.ts')).proxyCommand,
};

/** Signals that a terminal, or a supervisor, sends to all processes: the admin alone answers them. */
const THE_ADMINS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const;

/** What one of the processes of a server does; resolves with its exit status. `args` are the role, the command, and how it writes. */
export async function runRole([role, name = '', format]: readonly string[]): Promise<number> {
  closeDebugger();
  for (const signal of THE_ADMINS) process.on(signal, () => undefined);
  const output = new Output({ json: format === 'json', warns: role === 'keeper' });
  const load = COMMANDS[name];
  if (load === undefined || (role !== 'keeper' && role !== 'worker')) return 1;
  const command = await load();
  const port = parentPort();
  const explain = (error: unknown) => ({ text: describeError(error), exitCode: exitCodeOf(error) });
  if (role === 'keeper') {
    const onAudit = ({ event, caller, problem }: AuditEntry): void => {
      if (event !== 'violation') return;
      const text = `${caller} broke a rule of the keeper and was disconnected: ${problem}`;
      output.log({ event: 'keeper-violation', process: caller, problem }, text);
    };
    await runKeeper(port, {
      explain,
      onAudit,
      create: (settings) => createKeeper(command, settings, output),
    });
  } else {
    await runWorker(port, {
      explain,
      create: (settings, keeper) => createWorker(command, settings, keeper, output),
    });
  }
  return 0;
}

type Given = Readonly<Record<string, unknown>>;

function read({ schema }: ServerCommand, given: Given): ServerConfig {
  return schema.parse(given) as unknown as ServerConfig;
}

async function createKeeper(command: ServerCommand, given: Given, output: Output): Promise<KeeperService> {
  let config = read(command, given);
  const keeper = await openKeeper(command, () => config, output);
  return {
    keeper,
    prepare: async (given) => {
      const next = read(command, given);
      const holdings = keeper instanceof LocalKeeper ? await command.loadKeys(next, output) : undefined;
      return {
        kept: holdings ? new LocalKeeper(holdings).kept : keeper.kept,
        apply: () => {
          config = next;
          if (holdings && keeper instanceof LocalKeeper) keeper.replace(holdings);
        },
      };
    },
  };
}

async function createWorker(
  command: ServerCommand,
  given: Given,
  keeper: KeyHolder,
  output: Output,
): Promise<WorkerService> {
  const options = (given: Given) => command.options(read(command, given), keeper, output);
  const server = await command.createServer(await options(given), output);
  return {
    listen: (target) => server.listen(target),
    close: () => server.close(),
    prepare: async (given) => {
      const next = await options(given);
      return { apply: () => server.reconfigure(next) };
    },
  };
}
