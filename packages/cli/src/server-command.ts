import type { AddressInfo, ListenOptions } from 'node:net';
import { type KeeperHoldings, type KeptKey, type KeyHolder, LocalKeeper } from '@keymux/keys';
import type { z } from 'zod';
import { readSettings } from './config.ts';
import type { Output } from './output.ts';
import { serveUntilSignal } from './serve.ts';
import { type KeeperOptions, remoteKeeper, watchHosts } from './server-keeper.ts';

/** What serves sessions. */
export interface Server {
  listen(options: ListenOptions): Promise<AddressInfo | string>;
  close(): Promise<void>;
}

export type ServerConfig = KeeperOptions & { readonly listen: ListenOptions };

/** A command that serves sessions, by what its processes do: one reads the keys, another one has the sessions. In a single process both do. */
export interface ServerCommand<S extends z.ZodObject> {
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
  /** Throws ConfigError. */
  readonly createServer: (config: z.output<S>, keeper: KeyHolder, output: Output) => Promise<Server>;
}

/** Runs a server until it is told to end. */
export async function runServer<S extends z.ZodObject>(
  command: ServerCommand<S>,
  argv: Record<string, unknown>,
  output: Output,
): Promise<void> {
  const { values } = await readSettings(command.schema, argv);
  const config = values as typeof values & ServerConfig;
  command.refuse(config);
  const keeper = await openKeeper(command, config, output);
  try {
    command.check(config, keeper.kept, output);
    const server = await command.createServer(config, keeper, output);
    await serveUntilSignal(command.name, server, await server.listen(config.listen), output);
  } finally {
    keeper.close?.();
  }
}

/** The keeper of another process if --keeper names one, else one of this process, which reads the keys itself. */
async function openKeeper<S extends z.ZodObject>(
  command: ServerCommand<S>,
  config: z.output<S> & KeeperOptions,
  output: Output,
): Promise<KeyHolder & { close?(): void }> {
  const remote = await remoteKeeper(config, output);
  if (remote === undefined) return new LocalKeeper(await command.loadKeys(config, output));
  if (command.hosts !== undefined) watchHosts(remote, command.hosts(config), output);
  return remote;
}
