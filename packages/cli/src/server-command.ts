import type { AddressInfo } from 'node:net';
import { removeLeftBehind } from '@keymux/keeper';
import { type KeeperHoldings, type KeptKey, type KeyHolder, LocalKeeper } from '@keymux/keys';
import type { CloseOptions, ListenTarget, Movable, Moved, MuxSession } from '@keymux/streams';
import type { z } from 'zod';
import type { listenAddress } from './config.ts';
import { readSettings } from './config.ts';
import type { Output } from './output.ts';
import { type ProcessOptions, workersOf } from './processes/options.ts';
import { sayUnchanged } from './reload.ts';
import { serveUntilSignal } from './serve.ts';
import { type KeeperOptions, refuseKeys, remoteKeeper, watchHosts } from './server-keeper.ts';

/** What serves sessions. */
export interface Server<O> {
  listen(target: ListenTarget): Promise<AddressInfo | string>;
  stopListening(): Promise<void>;
  close(options?: CloseOptions): Promise<void>;
  readonly sessions: ReadonlySet<MuxSession>;
  movable(session: MuxSession): Movable;
  takeOver(moved: Moved, limited?: boolean): MuxSession;
  on(event: 'session', listener: (session: MuxSession) => void): unknown;
  /** Puts other options into the place of all that it has; what goes on goes on. Throws, and then all is as it was. */
  reconfigure(options: O): void;
}

export type ServerConfig = KeeperOptions &
  ProcessOptions & {
    readonly listen: z.output<typeof listenAddress>;
    readonly keylog: readonly string[];
    readonly behindFront?: boolean;
  };

/** Files and directories, besides the program's own. */
export interface Files {
  readonly read: readonly string[];
  readonly write: readonly string[];
}

/**
 * A command that serves sessions, by what its processes do: one reads the keys, others have the sessions. In a single process one does both. `C` is its
 * configuration, `O` what its sessions are to be.
 */
export interface ServerCommand<C extends ServerConfig = ServerConfig, O = unknown> {
  readonly name: string;
  readonly schema: z.ZodObject;
  /** Refuses options that do not go together, by ConfigError, before anything is read. */
  refuse(config: C): void;
  /** Options that are drawn if they are not given, and that all processes must have alike. */
  drawn?(): Readonly<Record<string, unknown>>;
  /** Options that whoever has the keys is not told. */
  readonly notForKeeper?: readonly string[];
  /** Hosts whose keys may come and go with a keeper that is not ours. */
  hosts?(config: C): ReadonlySet<string>;
  /** Reads the keys. Rejects with ConfigError or KeyError. */
  loadKeys(config: C, output: Output): Promise<KeeperHoldings>;
  /** Judges the options by what the keeper has: throws ConfigError, and warns. */
  check(config: C, kept: readonly KeptKey[], output: Output): void;
  /** What whoever has the sessions reads and writes. */
  files(config: C): Files;
  /** What the sessions are to be. Rejects with ConfigError. */
  options(config: C, keeper: KeyHolder, output: Output): Promise<O>;
  createServer(options: O, output: Output): Promise<Server<O>>;
}

/** Runs a server until it is told to end. */
export async function runServer(
  command: ServerCommand,
  argv: Record<string, unknown>,
  output: Output,
): Promise<void> {
  const { config } = await readServerConfig(command, argv);
  await removeLeftBehind(config.listen.path);
  if (workersOf(config) === 0) return runSingle(command, argv, config, output);
  const { runProcesses } = await import('./processes/run.ts');
  return runProcesses(command, argv, output);
}

async function runSingle(
  command: ServerCommand,
  argv: Record<string, unknown>,
  first: ServerConfig,
  output: Output,
): Promise<void> {
  let config = first;
  const keeper = await openKeeper(command, () => config, output);
  try {
    command.check(config, keeper.kept, output);
    const server = await command.createServer(await command.options(config, keeper, output), output);
    const reload = async (): Promise<void> => {
      const { config: next } = await readServerConfig(command, argv);
      const stays = { ...next, listen: config.listen, keeper: config.keeper };
      await reloadServer(command, stays, { server, keeper }, output);
      sayUnchanged(['listen', 'keeper', 'keeperKey', 'keeperIdentity', 'knownHosts'], config, next, output);
      config = stays;
    };
    const service = { reload, close: () => server.close() };
    await serveUntilSignal(command.name, service, await server.listen(config.listen), output);
  } finally {
    keeper.close?.();
  }
}

/** The configuration, and what was given for it. Rejects with ConfigError. */
export async function readServerConfig(
  { schema, refuse }: ServerCommand,
  argv: Record<string, unknown>,
): Promise<{ readonly config: ServerConfig; readonly given: Readonly<Record<string, unknown>> }> {
  const { values, given } = await readSettings(schema, argv);
  const config = values as unknown as ServerConfig;
  refuse(config);
  return { config, given };
}

/** Reads everything that the configuration names, and then has all of it in force at once, or, if something cannot be used, nothing. */
async function reloadServer(
  command: ServerCommand,
  config: ServerConfig,
  { server, keeper }: { readonly server: Server<unknown>; readonly keeper: KeyHolder },
  output: Output,
): Promise<void> {
  refuseKeys(config);
  const own = keeper instanceof LocalKeeper ? keeper : undefined;
  const holdings = own && (await command.loadKeys(config, output));
  command.check(config, holdings ? new LocalKeeper(holdings).kept : keeper.kept, output);
  server.reconfigure(await command.options(config, keeper, output));
  if (holdings) own.replace(holdings);
}

/** The keeper of another process if --keeper names one, else one of this process, which reads the keys itself. */
export async function openKeeper(
  command: ServerCommand,
  config: () => ServerConfig,
  output: Output,
): Promise<KeyHolder & { close?(): void }> {
  const remote = await remoteKeeper(config(), output);
  if (remote === undefined) return new LocalKeeper(await command.loadKeys(config(), output));
  if (command.hosts !== undefined) watchHosts(remote, () => command.hosts?.(config()) ?? new Set(), output);
  return remote;
}
