import { randomBytes } from 'node:crypto';
import type { KeeperHoldings, KeptKey } from '@keymux/keys';
import type { OriginOptions } from '@keymux/origin';
import { DEFAULT_SERVER_LIMITS, SERVER_RANGES } from '@keymux/streams';
import { z } from 'zod';
import { algorithms, assignments, flag, isAnonymous, list, listenAddress } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { serverIdentities } from '../identities.ts';
import { keyLogPaths } from '../key-log-files.ts';
import { addUse, loadHoldings, serverRoles } from '../keys.ts';
import { limits } from '../limits.ts';
import type { Output } from '../output.ts';
import { PROCESS_OPTIONS } from '../processes/options.ts';
import { runServer, type ServerCommand } from '../server-command.ts';
import { KEEPER_OPTIONS, keptFor } from '../server-keeper.ts';

const schema = z.object({
  ...PROCESS_OPTIONS,
  listen: listenAddress.default({ host: '127.0.0.1', port: 6121 }),
  host: list,
  ...KEEPER_OPTIONS,
  key: assignments,
  identity: z.string().optional(),
  authorizedKeys: z.string().optional(),
  dir: assignments,
  sealed: flag,
  keyEachWay: list.transform((names) => new Set(names.map((name) => name.toLowerCase()))),
  algorithm: algorithms,
  anonymous: flag,
  secret: z.string().optional(),
  origin: list,
  behindFront: flag,
  limit: limits(DEFAULT_SERVER_LIMITS, SERVER_RANGES),
  behindBalancer: flag,
  keylog: list,
  earlyMethods: list.transform((values) => values.flatMap((value) => value.toUpperCase().split(','))),
});

export type OriginConfig = z.output<typeof schema>;

export const originCommand: ServerCommand<OriginConfig, OriginOptions> = {
  name: 'origin',
  schema,
  refuse,
  hosts: hostNames,
  notForKeeper: ['secret'],
  drawn: () => ({ secret: randomBytes(12).toString('hex') }),
  loadKeys,
  check,
  files: ({ dir, keylog }) => ({ read: [...dir.values()], write: keyLogPaths(keylog) }),
  options: async (config, keeper, output) =>
    (await import('../origin-server.ts')).originOptions(config, keeper, output),
  createServer: async (options, output) =>
    (await import('../origin-server.ts')).createOrigin(options, output),
};

/** `keymux origin` */
export function origin(argv: Record<string, unknown>, output: Output): Promise<void> {
  return runServer(originCommand, argv, output);
}

/** The hosts to serve, in lower case. */
export function hostNames({ host, key, dir }: OriginConfig): Set<string> {
  return new Set([...host.map((name) => name.toLowerCase()), ...key.keys(), ...dir.keys()]);
}

function refuse(config: OriginConfig): void {
  if (hostNames(config).size === 0)
    throw new ConfigError('no host to serve: give --host NAME, and --key NAME=FILE to seal it');
  if (isAnonymous(config.algorithm))
    throw new ConfigError('--algorithm is for hosts with a key; --anonymous is for those without');
  if (config.keeper !== undefined && config.anonymous)
    throw new ConfigError(
      '--anonymous goes with keymux keeper, and not with --keeper: the keeper allows it or not',
    );
  if (!config.behindFront) return;
  if (config.origin.length > 0)
    throw new ConfigError('--origin is for web pages, which connect to the front: give it there');
  if (config.keyEachWay.size > 0)
    throw new ConfigError(
      '--key-each-way needs a host that begins to negotiate; behind a front only clients do',
    );
}

async function loadKeys(config: OriginConfig, output: Output): Promise<KeeperHoldings> {
  const keyless = [...hostNames(config)].filter((name) => !config.key.has(name));
  const identities = await serverIdentities(config, keyless, output);
  const uses = new Map<string, string[]>();
  for (const [name, path] of config.key) addUse(uses, path, name);
  const anonymous = config.anonymous ? keyless : [];
  return (await loadHoldings(uses, serverRoles, output, { anonymous, identities })).holdings;
}

function check(config: OriginConfig, kept: readonly KeptKey[], output: Output): void {
  const names = hostNames(config);
  const clear = [...names].filter((name) => keptFor(kept, name) === undefined);
  const give = (name: string): string =>
    config.keeper !== undefined
      ? `the keeper must have --key ${name}=FILE`
      : `give --key ${name}=FILE, --identity or --anonymous`;
  for (const name of clear) {
    if (config.sealed) throw new ConfigError(`--sealed needs a key for each host: ${give(name)}`);
    output.warn(`${name} has no key: everything it answers can be read on the way`);
  }
  const unkeyed = [...config.keyEachWay].find((name) => !names.has(name) || clear.includes(name));
  if (unkeyed !== undefined)
    throw new ConfigError(
      `--key-each-way ${unkeyed}: no such host has a key; give --key ${unkeyed}=FILE, or --host ${unkeyed} and --identity`,
    );
  // Behind a front nothing travels in the clear, so a host that no key can be negotiated for cannot be reached.
  if (config.behindFront && clear[0] !== undefined)
    throw new ConfigError(
      `--behind-front needs a key for each host: give --key ${clear[0]}=FILE, or --identity`,
    );
}
