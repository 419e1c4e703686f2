import type { KeyHolder } from '@keymux/keys';
import { ConnectProxy, DEFAULT_PROXY_LIMITS, PROXY_RANGES } from '@keymux/proxy';
import { z } from 'zod';
import { flag, list, listenAddress, readConfig } from '../config.ts';
import { serverIdentities } from '../identities.ts';
import { keyLogFiles } from '../key-log-files.ts';
import { addUse, loadKeys, serverRoles } from '../keys.ts';
import { limits } from '../limits.ts';
import type { Output } from '../output.ts';
import { logRefusals } from '../refusals.ts';
import { serveUntilSignal } from '../serve.ts';
import { keeperAddress, keptFor, withKeeper } from '../server-keeper.ts';

const TIMEOUT = 'write milliseconds, 100 to 600000';

const schema = z.object({
  listen: listenAddress.default({ host: '127.0.0.1', port: 6121 }),
  keeper: keeperAddress,
  key: list,
  identity: z.string().optional(),
  authorizedKeys: z.string().optional(),
  allow: list,
  clear: flag,
  anonymous: flag,
  earlyConnect: flag,
  origin: list,
  keylog: list,
  connectTimeout: z.coerce.number(TIMEOUT).int(TIMEOUT).min(100, TIMEOUT).max(600_000, TIMEOUT).optional(),
  limit: limits(DEFAULT_PROXY_LIMITS, PROXY_RANGES),
  behindBalancer: flag,
});

type Config = z.output<typeof schema>;

/** `keymux proxy` */
export async function proxy(argv: Record<string, unknown>, output: Output): Promise<void> {
  const config = await readConfig(schema, argv);
  await withKeeper(config, config.key.length > 0, output, (remote) => serve(config, remote, output));
}

async function serve(config: Config, remote: KeyHolder | undefined, output: Output): Promise<void> {
  const keeper = remote ?? (await ownKeeper(config, output));
  if (config.allow.length === 0) output.warn('no --allow rule: every CONNECT will be refused');
  if (keptFor(keeper, '') === undefined && !config.clear)
    output.warn(
      remote
        ? 'the keeper has no --key FILE or --identity for a proxy, and there is no --clear: every CONNECT will be refused'
        : 'no --key, --identity, --anonymous or --clear: every CONNECT will be refused',
    );
  const server = new ConnectProxy({
    keeper,
    keyLog: keyLogFiles(config.keylog, output),
    allow: config.allow,
    level: config.clear ? 'none' : config.anonymous ? 'passive' : 'authenticated',
    origins: config.origin,
    earlyConnect: config.earlyConnect,
    limits: {
      ...config.limit,
      ...(config.connectTimeout !== undefined && { connectTimeout: config.connectTimeout }),
    },
    countedBy: config.behindBalancer ? 'connection' : 'address',
  });
  server.on('connect', (report) => {
    const { destination, status, level, identity, peer, payloadOutside, reason } = report;
    const who = identity ?? 'unknown client';
    const how = payloadOutside ? `${level}, payload protects itself` : level;
    output.log(
      { event: 'connect', ...report },
      `${peer} ${who} CONNECT ${destination} ${status} (${how})${reason ? `: ${reason}` : ''}`,
    );
  });
  server.on('session', (session, peer) => {
    output.log({ event: 'session', peer });
    session.on('close', (error) => {
      const why = error ? { code: (error as { code?: string }).code, message: error.message } : undefined;
      output.log(
        { event: 'session-end', peer, error: why },
        error && `${peer} session ended: ${error.message}`,
      );
    });
  });
  logRefusals(server, output);
  await serveUntilSignal('proxy', server, await server.listen(config.listen), output);
}

/** A keeper in this process, which reads the keys itself. */
async function ownKeeper(config: Config, output: Output): Promise<KeyHolder> {
  const uses = new Map<string, string[]>();
  for (const path of config.key) addUse(uses, path, '');
  const anonymous = config.anonymous ? [''] : [];
  const identities = await serverIdentities(config, [''], output);
  return (await loadKeys(uses, serverRoles, output, { anonymous, identities })).keeper;
}
