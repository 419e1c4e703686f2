import { randomBytes } from 'node:crypto';
import { jsonLines, KeymuxProcess, keymux, type Message } from './processes.ts';
import type { Scope } from './scope.ts';
import { makeKey } from './tunnel.ts';
import { Wiretap } from './wiretap.ts';

/** An origin for alpha.test and beta.test, and a proxy, each a process of its own. Tests of a file may share it. */
export interface Stage {
  readonly origin: KeymuxProcess;
  readonly proxy: KeymuxProcess;
  readonly keys: { readonly proxy: string; readonly alpha: string; readonly beta: string };
  /** What the origin's pages hold, and what clients send. */
  readonly secret: string;
  readonly password: string;
}

export async function setStage(scope: Scope, originArgs: readonly string[] = []): Promise<Stage> {
  const [alpha, beta, proxyKey] = [
    await makeKey(scope, 'alpha'),
    await makeKey(scope, 'beta'),
    await makeKey(scope),
  ];
  const secret = `CANARY-${randomBytes(12).toString('hex')}`;
  const hosts = ['--key', `alpha.test=${alpha}`, '--key', `beta.test=${beta}`];
  const [origin, proxy] = await Promise.all([
    KeymuxProcess.start(scope, ['origin', ...hosts, ...originArgs], { KEYMUX_SECRET: secret }),
    KeymuxProcess.start(scope, ['proxy', '--key', proxyKey, '--clear', '--allow', '127.0.0.1:1024-65535']),
  ]);
  const password = `PASSWORD-${randomBytes(12).toString('hex')}`;
  return { origin, proxy, keys: { proxy: proxyKey, alpha, beta }, secret, password };
}

/** What `keymux get` through the proxy of a stage brought, and the wiretaps on both hops of its way. */
export interface Fetched {
  readonly code: number | null;
  readonly results: Message[];
  readonly stderr: string;
  /** Between client and proxy, and between proxy and origin. */
  readonly hop1: Wiretap;
  readonly hop2: Wiretap;
}

export async function getVia(scope: Scope, stage: Stage, args: readonly string[]): Promise<Fetched> {
  const hop1 = await Wiretap.start(scope, stage.proxy.port);
  const hop2 = await Wiretap.start(scope, stage.origin.port);
  const way = ['--via', hop1.address, '--connect-to', hop2.address];
  const { code, stdout, stderr } = await keymux(['get', ...args, ...way, '--json']);
  return { code, results: jsonLines(stdout), stderr, hop1, hop2 };
}
