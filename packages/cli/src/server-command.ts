import type { AddressInfo, ListenOptions } from 'node:net';
import { type KeeperHoldings, type KeptKey, type KeyHolder, LocalKeeper } from '@keymux/keys';
import type { z } from 'zod';
import { readSettings } from './config.ts';
import type { Output } from './output.ts';
import { sayUnchanged } from './reload.ts';
import { serveUntilSignal } from './serve.ts';
import { type KeeperOptions, refuseKeys, remoteKeeper, watchHosts } from './server-keeper.ts';

/** What serves sessions. */
export interface Server<O> {
  listen(options: ListenOptions): Promise<AddressInfo | string>;
  close(): Promise<void>;
  /** Puts other options into the place of all that it has; what goes on goes on. Throws, and then all is as it was. */
  reconfigure(options: O): void;
}

export type ServerConfig = KeeperOptions & { readonly listen: ListenOptions };

/** A command that serves sessions, by what its processes do: one reads the keys, another one has the sessions. In a single process both do. */
export interface ServerCommand<S extends z.ZodObject, O> {
  readonly name: string;
  readonly schema: S;
  /** Refuses options that do not go together, by ConfigError, before anything is read. */
  readonly refuse: (config: z.output<S>) => void;
  /** Hosts whose keys may come and go with a keeper that is not ours. */
  readonly hosts?: (config: z.output<S>) => ReadonlySet<string>;
  /** Reads the keys. Rejects with ConfigError or KeyError. */
  readonly loadKeys: (config: z.output<S>, output: Output) => Promise<KeeperHoldings>;
  /** Judges the options by what the keeper has: throws ConfigError, and warns. */
  readonly check: (config: z.output<S>, kept: readonly KeptKey[], output: Output) => void;
  /** What the sessions are to be. Rejects with ConfigError. */
  readonly options: (config: z.output<S>, keeper: KeyHolder, output: Output) => Promise<O>;
  readonly createServer: (options: O, output: Output) => Promise<Server<O>>;
}

/** Runs a server until it is told to end. */
export async function runServer<S extends z.ZodObject, O>(
  command: ServerCommand<S, O>,
  argv: Record<string, unknown>,
  output: Output,
): Promise<void> {
  let config = await readServerConfig(command, argv);
  const keeper = await openKeeper(command, () => config, output);
  try {
    command.check(config, keeper.kept, output);
    const server = await command.createServer(await command.options(config, keeper, output), output);
    const reload = async (): Promise<void> => {
      const next = await readServerConfig(command, argv);
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

/** Rejects with ConfigError. */
async function readServerConfig<S extends z.ZodObject, O>(
  { schema, refuse }: ServerCommand<S, O>,
  argv: Record<string, unknown>,
): Promise<z.output<S> & ServerConfig> {
  const { values } = await readSettings(schema, argv);
  const config = values as typeof values & ServerConfig;
  refuse(config);
  return config;
}

/** Reads everything that the configuration names, and then has all of it in force at once, or, if something cannot be used, nothing. */
async function reloadServer<S extends z.ZodObject, O>(
  command: ServerCommand<S, O>,
  config: z.output<S> & ServerConfig,
  { server, keeper }: { readonly server: Server<O>; readonly keeper: KeyHolder },
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
async function openKeeper<S extends z.ZodObject, O>(
  { loadKeys, hosts }: ServerCommand<S, O>,
  config: () => z.output<S> & KeeperOptions,
  output: Output,
): Promise<KeyHolder & { close?(): void }> {
  const remote = await remoteKeeper(config(), output);
  if (remote === undefined) return new LocalKeeper(await loadKeys(config(), output));
  if (hosts !== undefined) watchHosts(remote, () => hosts(config()), output);
  return remote;
}
