import type { AuditEntry } from '@keymux/keeper';
import { type KeyHolder, LocalKeeper } from '@keymux/keys';
import {
  type KeeperService,
  parentChannel,
  parentPort,
  type Role,
  runKeeper,
  runWorker,
  type WorkerService,
} from '@keymux/processes';
import { tuneMemory } from '@keymux/streams/tune-memory';
import { exitCodeOf } from '../exit-codes.ts';
import { closeDebugger } from '../hardening.ts';
import { describeError, Output } from '../output.ts';
import { openKeeper, type ServerCommand, type ServerConfig } from '../server-command.ts';
import { asNew, canBeHandedOn, handOn } from './hand-on.ts';

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
  tuneMemory();
  for (const signal of THE_ADMINS) process.on(signal, () => undefined);
  const output = new Output({ json: format === 'json', warns: role === 'keeper' });
  const load = COMMANDS[name];
  if (load === undefined || !isRole(role)) return 1;
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
      channel: parentChannel(),
      accepts: role === 'acceptor',
      create: (settings, keeper) => createWorker(command, settings, keeper, output),
    });
  }
  return 0;
}

function isRole(role: string | undefined): role is Role {
  return role === 'keeper' || role === 'acceptor' || role === 'worker';
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
  const options = async (given: Given) => {
    const options = await command.options(read(command, given), keeper, output);
    return { ...(options as object), movable: true }; // to the processes of the next version
  };
  const server = await command.createServer(await options(given), output);
  return {
    listen: (target) => server.listen(target),
    stopListening: () => server.stopListening(),
    close: (options) => server.close(options),
    movable: () => [...server.sessions].filter(canBeHandedOn).map((session) => server.movable(session)),
    handOn: (pass) => {
      server.on('session', (session) => handOn(session, () => pass(asNew(server.movable(session)))));
    },
    takes: {
      [command.name]: (moved) => void server.takeOver(moved),
      [`new ${command.name}`]: (moved) => void server.takeOver(moved, true),
    },
    prepare: async (given) => {
      const next = await options(given);
      return { apply: () => server.reconfigure(next) };
    },
  };
}
