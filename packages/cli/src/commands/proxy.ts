import type { KeeperHoldings, KeptKey } from '@keymux/keys';
import { DEFAULT_PROXY_LIMITS, PROXY_RANGES, type ProxyOptions } from '@keymux/proxy';
import { z } from 'zod';
import { flag, list, listenAddress } from '../config.ts';
import { serverIdentities } from '../identities.ts';
import { keyLogPaths } from '../key-log-files.ts';
import { addUse, loadHoldings, serverRoles } from '../keys.ts';
import { limits } from '../limits.ts';
import type { Output } from '../output.ts';
import { PROCESS_OPTIONS } from '../processes/options.ts';
import { runServer, type ServerCommand } from '../server-command.ts';
import { KEEPER_OPTIONS, keptFor } from '../server-keeper.ts';

const TIMEOUT = 'write milliseconds, 100 to 600000';

const schema = z.object({
  ...PROCESS_OPTIONS,
  listen: listenAddress.default({ host: '127.0.0.1', port: 6121 }),
  ...KEEPER_OPTIONS,
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

export type ProxyConfig = z.output<typeof schema>;

export const proxyCommand: ServerCommand<ProxyConfig, ProxyOptions> = {
  name: 'proxy',
  schema,
  refuse: () => undefined,
  loadKeys,
  check,
  files: ({ keylog }) => ({ read: [], write: keyLogPaths(keylog) }),
  options: async (config, keeper, output) =>
    (await import('../proxy-server.ts')).proxyOptions(config, keeper, output),
  createServer: async (options, output) => (await import('../proxy-server.ts')).createProxy(options, output),
};

/** `keymux proxy` */
export function proxy(argv: Record<string, unknown>, output: Output): Promise<void> {
  return runServer(proxyCommand, argv, output);
}

async function loadKeys(config: ProxyConfig, output: Output): Promise<KeeperHoldings> {
  const uses = new Map<string, string[]>();
  for (const path of config.key) addUse(uses, path, '');
  const anonymous = config.anonymous ? [''] : [];
  const identities = await serverIdentities(config, [''], output);
  return (await loadHoldings(uses, serverRoles, output, { anonymous, identities })).holdings;
}

function check(config: ProxyConfig, kept: readonly KeptKey[], output: Output): void {
  if (config.allow.length === 0) output.warn('no --allow rule: every CONNECT will be refused');
  if (keptFor(kept, '') !== undefined || config.clear) return;
  output.warn(
    config.keeper === undefined
      ? 'no --key, --identity, --anonymous or --clear: every CONNECT will be refused'
      : 'the keeper has no --key FILE or --identity for a proxy, and there is no --clear: every CONNECT will be refused',
  );
}
