import { isAuthority } from '@keymux/keys';
import { DEFAULT_FRONT_LIMITS, FRONT_LIMIT_RANGES, Front } from '@keymux/proxy';
import { z } from 'zod';
import { assignments, flag, list, listenAddress, readConfig } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { limits } from '../limits.ts';
import type { Output } from '../output.ts';
import { logRefusals } from '../refusals.ts';
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
  if (config.host.size === 0)
    throw new ConfigError('no host to stand in front of: give --host NAME=ADDRESS for each');
  const hosts = new Map([...config.host].map(([name, address]) => [name, placeOf(name, address)]));
  const server = new Front({
    hosts,
    origins: config.origin,
    limits: config.limit,
    countedBy: config.behindBalancer ? 'connection' : 'address',
  });
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
  await serveUntilSignal('front', server, await server.listen(config.listen), output);
}

function placeOf(name: string, address: string): { host: string; port: number } | { path: string } {
  if (name === '' || !isAuthority(name))
    throw new ConfigError(`--host ${name}=${address}: "${name}" is no host name`);
  const parsed = listenAddress.safeParse(address);
  if (!parsed.success || ('port' in parsed.data && parsed.data.port === 0))
    throw new ConfigError(
      `--host ${name}=${address}: write NAME=HOST:PORT, or NAME=unix:/PATH, where keymux origin --behind-front listens`,
    );
  return parsed.data;
}
