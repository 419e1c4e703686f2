import type { KeyHolder } from '@keymux/keys';
import { ConnectProxy, type ProxyOptions } from '@keymux/proxy';
import type { ProxyConfig } from './commands/proxy.ts';
import { keyLogFiles } from './key-log-files.ts';
import type { Output } from './output.ts';
import { isHandedOver } from './processes/hand-on.ts';
import { logRefusals } from './refusals.ts';

/** What the sessions of `keymux proxy` are to be. Throws ConfigError. */
export function proxyOptions(config: ProxyConfig, keeper: KeyHolder, output: Output): ProxyOptions {
  return {
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
  };
}

/** The sessions. Throws RuleError. */
export function createProxy(options: ProxyOptions, output: Output): ConnectProxy {
  const server = new ConnectProxy(options);
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
    if (!session.takenOver) output.log({ event: 'session', peer });
    session.on('close', (error) => {
      if (isHandedOver(error)) return; // it goes on in another process, which tells its end
      const why = error ? { code: (error as { code?: string }).code, message: error.message } : undefined;
      output.log(
        { event: 'session-end', peer, error: why },
        error && `${peer} session ended: ${error.message}`,
      );
    });
  });
  logRefusals(server, output);
  return server;
}
