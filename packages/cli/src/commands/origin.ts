import { randomBytes } from 'node:crypto';
import type { RemoteKeeper } from '@keymux/keeper';
import { ALGORITHM, type Identities, type KeptKey, type KeyHolder } from '@keymux/keys';
import { demoSite, type Handler, type HostOptions, Origin, staticFiles } from '@keymux/origin';
import { DEFAULT_SERVER_LIMITS, SERVER_RANGES } from '@keymux/streams';
import { z } from 'zod';
import { algorithms, assignments, flag, isAnonymous, list, listenAddress, readConfig } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { serverIdentities } from '../identities.ts';
import { keyLogFiles } from '../key-log-files.ts';
import { addUse, loadKeys, serverRoles } from '../keys.ts';
import { limits } from '../limits.ts';
import type { Output } from '../output.ts';
import { logRefusals } from '../refusals.ts';
import { serveUntilSignal } from '../serve.ts';
import { keeperAddress, keptFor, watchHosts, withKeeper } from '../server-keeper.ts';

const schema = z.object({
  listen: listenAddress.default({ host: '127.0.0.1', port: 6121 }),
  host: list,
  keeper: keeperAddress,
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

type Config = z.output<typeof schema>;

/** `keymux origin` */
export async function origin(argv: Record<string, unknown>, output: Output): Promise<void> {
  const config = await readConfig(schema, argv);
  await withKeeper(config, config.key.size > 0, output, (remote) => serve(config, remote, output));
}

async function serve(config: Config, remote: RemoteKeeper | undefined, output: Output): Promise<void> {
  const names = new Set([
    ...config.host.map((name) => name.toLowerCase()),
    ...config.key.keys(),
    ...config.dir.keys(),
  ]);
  if (names.size === 0)
    throw new ConfigError('no host to serve: give --host NAME, and --key NAME=FILE to seal it');
  if (isAnonymous(config.algorithm))
    throw new ConfigError('--algorithm is for hosts with a key; --anonymous is for those without');
  if (remote !== undefined && config.anonymous)
    throw new ConfigError(
      '--anonymous goes with keymux keeper, and not with --keeper: the keeper allows it or not',
    );
  const keyless = [...names].filter((name) => !config.key.has(name));
  const identities = remote ? undefined : await serverIdentities(config, keyless, output);
  const clear = keyless.filter((name) =>
    remote ? keptFor(remote, name) === undefined : identities === undefined && !config.anonymous,
  );
  const give = (name: string): string =>
    remote ? `the keeper must have --key ${name}=FILE` : `give --key ${name}=FILE, --identity or --anonymous`;
  for (const name of clear) {
    if (config.sealed) throw new ConfigError(`--sealed needs a key for each host: ${give(name)}`);
    output.warn(`${name} has no key: everything it answers can be read on the way`);
  }
  const unkeyed = [...config.keyEachWay].find((name) => !names.has(name) || clear.includes(name));
  if (unkeyed !== undefined)
    throw new ConfigError(
      `--key-each-way ${unkeyed}: no such host has a key; give --key ${unkeyed}=FILE, or --host ${unkeyed} and --identity`,
    );
  if (config.behindFront) checkBehindFront(config, clear);
  const keeper =
    remote ?? (await ownKeeper(config, { anonymous: config.anonymous ? keyless : [], identities }, output));
  const secret = config.secret ?? randomBytes(12).toString('hex');
  const hosts = await Promise.all(
    [...names].map(async (name) => {
      const directory = config.dir.get(name);
      return {
        name,
        sealed: config.sealed,
        keyEachWay: config.keyEachWay.has(name),
        handler: directory === undefined ? demoSite({ name, secret }) : await files(directory),
        // Asked each time: a keeper can be given other keys while it runs.
        get promptLabel() {
          return keptFor(keeper, name)?.label;
        },
        get promptAlgorithm() {
          return promptAlgorithmFor(keptFor(keeper, name), config.algorithm);
        },
      };
    }),
  );
  const server = new Origin({
    ...{ keeper, hosts, origins: config.origin, behindFront: config.behindFront },
    limits: config.limit,
    countedBy: config.behindBalancer ? 'connection' : 'address',
    keyLog: keyLogFiles(config.keylog, output),
    ...(config.earlyMethods.length > 0 && { earlyMethods: config.earlyMethods }),
  });
  server.on('request', (report) => {
    const { method, host, path, status, received, sent, error } = report;
    const text = `${method} ${host}${path} ${status} (request ${received}, answer ${sent})`;
    output.log(
      { event: 'request', ...report, error: error?.message },
      error ? `${text}: ${error.message}` : text,
    );
  });
  server.on('failure', (error, { method, host, path }) => {
    output.log(
      { event: 'failure', method, host, path, error: error.message },
      `${method} ${host}${path}: the answer broke off: ${error.message}`,
    );
  });
  server.on('session', (session, peer) => {
    session.on('close', (error) => {
      if (error)
        output.log(
          { event: 'session-end', peer, error: error.message },
          `${peer} session ended: ${error.message}`,
        );
    });
  });
  logRefusals(server, output);
  if (remote !== undefined) watchHosts(remote, names, output);
  await serveUntilSignal('origin', server, await server.listen(config.listen), output);
}

/** A keeper in this process, which reads the keys itself. */
async function ownKeeper(
  { key }: Config,
  policy: { readonly anonymous: readonly string[]; readonly identities: Identities | undefined },
  output: Output,
): Promise<KeyHolder> {
  const uses = new Map<string, string[]>();
  for (const [name, path] of key) addUse(uses, path, name);
  return (await loadKeys(uses, serverRoles, output, policy)).keeper;
}

/** Behind a front nothing travels in the clear, so a host that no key can be negotiated for cannot be reached. */
function checkBehindFront({ origin, keyEachWay }: Config, clear: readonly string[]): void {
  const [name] = clear;
  if (name !== undefined)
    throw new ConfigError(`--behind-front needs a key for each host: give --key ${name}=FILE, or --identity`);
  if (origin.length > 0)
    throw new ConfigError('--origin is for web pages, which connect to the front: give it there');
  if (keyEachWay.size > 0)
    throw new ConfigError(
      '--key-each-way needs a host that begins to negotiate; behind a front only clients do',
    );
}

/** What clients are prompted with: the key of the host, its identity, or a key that proves nobody where that is allowed. */
function promptAlgorithmFor(
  kept: KeptKey | undefined,
  algorithm: readonly number[],
): HostOptions['promptAlgorithm'] {
  if (kept === undefined) return undefined;
  return { key: algorithm, identity: ALGORITHM.SIGNED, nobody: ALGORITHM.ANONYMOUS }[kept.proves];
}

async function files(directory: string): Promise<Handler> {
  return staticFiles(directory).catch((error: Error) => {
    throw new ConfigError(`directory "${directory}" cannot be served`, { cause: error });
  });
}
