import { randomBytes } from 'node:crypto';
import { ALGORITHM, type KeptKey, type KeyHolder } from '@keymux/keys';
import {
  demoSite,
  type Handler,
  type HostOptions,
  Origin,
  type OriginOptions,
  staticFiles,
} from '@keymux/origin';
import { hostNames, type OriginConfig } from './commands/origin.ts';
import { ConfigError } from './errors.ts';
import { keyLogFiles } from './key-log-files.ts';
import type { Output } from './output.ts';
import { isHandedOver } from './processes/hand-on.ts';
import { logRefusals } from './refusals.ts';
import { keptFor } from './server-keeper.ts';

/** The sessions of `keymux origin`. */
export function createOrigin(options: OriginOptions, output: Output): Origin {
  const server = new Origin(options);
  logOrigin(server, output);
  return server;
}

/** What they are to be. Rejects with ConfigError. */
export async function originOptions(
  config: OriginConfig,
  keeper: KeyHolder,
  output: Output,
): Promise<OriginOptions> {
  const secret = config.secret ?? randomBytes(12).toString('hex');
  const hosts = await Promise.all(
    [...hostNames(config)].map(async (name) => {
      const directory = config.dir.get(name);
      return {
        name,
        sealed: config.sealed,
        keyEachWay: config.keyEachWay.has(name),
        handler: directory === undefined ? demoSite({ name, secret }) : await files(directory),
        // Asked each time: a keeper can be given other keys while it runs.
        get promptLabel() {
          return keptFor(keeper.kept, name)?.label;
        },
        get promptAlgorithm() {
          return promptAlgorithmFor(keptFor(keeper.kept, name), config.algorithm);
        },
      };
    }),
  );
  return {
    ...{ keeper, hosts, origins: config.origin, behindFront: config.behindFront },
    limits: config.limit,
    countedBy: config.behindBalancer ? 'connection' : 'address',
    keyLog: keyLogFiles(config.keylog, output),
    ...(config.earlyMethods.length > 0 && { earlyMethods: config.earlyMethods }),
  };
}

function logOrigin(server: Origin, output: Output): void {
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
      if (isHandedOver(error)) return; // it goes on in another process, which tells its end
      if (error)
        output.log(
          { event: 'session-end', peer, error: error.message },
          `${peer} session ended: ${error.message}`,
        );
    });
  });
  logRefusals(server, output);
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
