import { removeLeftBehind } from '@keymux/keeper';
import { isAuthority } from '@keymux/keys';
import { DEFAULT_FRONT_LIMITS, FRONT_LIMIT_RANGES, Front, type FrontOptions } from '@keymux/proxy';
import { z } from 'zod';
import { assignments, flag, list, listenAddress, readConfig, socketAddress } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { limits } from '../limits.ts';
import type { Output } from '../output.ts';
import { logRefusals } from '../refusals.ts';
import { sayUnchanged } from '../reload.ts';
import { serveUntilSignal } from '../serve.ts';

const schema = z.object({
  listen: listenAddress.default({ host: '127.0.0.1', port: 6121 }),
  host: assignments,
  origin: list,
  limit: limits(DEFAULT_FRONT_LIMITS, FRONT_LIMIT_RANGES),
  behindBalancer: flag,
});

/** `keymux front` */
export async function front(argv: Record<string, unknown>, output: Output): Promise<void> {
  const config = await readConfig(schema, argv);
  const server = new Front(optionsOf(config));
  server.on('run', ({ peer, host, served }) => {
    const known = served ? '' : ': no such host here, refused';
    output.log({ event: 'run', peer, host, served }, `${peer} asks for a key of ${host || 'nobody'}${known}`);
  });
  server.on('hostGone', ({ peer, host, status, reason }) => {
    output.log({ event: 'host-gone', peer, host, status, reason }, `${peer} has lost ${host}: ${reason}`);
  });
  server.on('sessionEnd', (peer, error) => {
    if (error === undefined) output.log({ event: 'session-end', peer });
    else
      output.log(
        { event: 'session-end', peer, error: error.message },
        `${peer} session ended: ${error.message}`,
      );
  });
  logRefusals(server, output);
  const service = {
    reload: async (): Promise<void> => {
      const next = await readConfig(schema, argv);
      server.reconfigure(optionsOf(next));
      sayUnchanged(['listen'], config, next, output);
    },
    close: () => server.close(),
  };
  await removeLeftBehind(config.listen.path);
  await serveUntilSignal('front', service, await server.listen(config.listen), output);
}

/** Throws ConfigError. */
function optionsOf({ host, origin, limit, behindBalancer }: z.output<typeof schema>): FrontOptions {
  if (host.size === 0)
    throw new ConfigError('no host to stand in front of: give --host NAME=ADDRESS for each');
  return {
    hosts: new Map([...host].map(([name, address]) => [name, placeOf(name, address)])),
    origins: origin,
    limits: limit,
    countedBy: behindBalancer ? 'connection' : 'address',
  };
}

function placeOf(name: string, address: string): { host: string; port: number } | { path: string } {
  if (name === '' || !isAuthority(name))
    throw new ConfigError(`--host ${name}=${address}: "${name}" is no host name`);
  const parsed = socketAddress.safeParse(address);
  if (!parsed.success || ('port' in parsed.data && parsed.data.port === 0))
    throw new ConfigError(
      `--host ${name}=${address}: write NAME=HOST:PORT, or NAME=unix:/PATH, where keymux origin --behind-front listens`,
    );
  return parsed.data;
}
