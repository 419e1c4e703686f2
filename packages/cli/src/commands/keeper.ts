import { type AuditEntry, KeeperServer } from '@keymux/keeper';
import { type KeyHolder, LocalKeeper } from '@keymux/keys';
import { z } from 'zod';
import { AuditLog } from '../audit-log.ts';
import { flag, list, readConfig } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { harden } from '../hardening.ts';
import { KEPT_OPTIONS, loadKept } from '../keeper/kept.ts';
import type { Output } from '../output.ts';
import { sayUnchanged } from '../reload.ts';
import { serveUntilSignal } from '../serve.ts';

const schema = z.object({
  ...KEPT_OPTIONS,
  listen: list,
  group: flag,
  auditLog: z.string().optional(),
});

/** A socket, and the host that its callers may use the keeper for; undefined for everything. */
interface Place {
  readonly path: string;
  readonly host: string | undefined;
}

/** `keymux keeper` */
export async function keeper(argv: Record<string, unknown>, output: Output): Promise<void> {
  const config = await readConfig(schema, argv);
  const places = config.listen.map(placeOf);
  if (places.length === 0) throw new ConfigError('no socket to listen on: give --listen unix:PATH');
  harden(output);
  const local = new LocalKeeper(await loadKept(config, output));
  const log = config.auditLog === undefined ? undefined : new AuditLog(config.auditLog);
  const servers = places.map(({ host }) => new KeeperServer({ keeper: partOf(local, host) }));
  const close = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.close()));
  };
  const stop = new AbortController();
  let failure: Error | undefined;
  const write = (entry: AuditEntry): void => {
    if (failure !== undefined) return;
    try {
      log?.write(entry);
      output.log({ ...entry }, textOf(entry));
    } catch (error) {
      failure = new Error('the audit log cannot be written, so nothing more is done', { cause: error });
      void close(); // at once: what cannot be written down is not done
      stop.abort();
    }
  };
  try {
    for (const [index, server] of servers.entries()) {
      const { path } = places[index] as Place;
      server.on('audit', (entry) => write({ ...entry, caller: `${path} ${entry.caller}` }));
      await server.listen({ path, mode: config.group ? 0o660 : 0o600 });
    }
  } catch (error) {
    await close(); // those that listen already
    throw error;
  }
  const reload = async (): Promise<void> => {
    const next = await readConfig(schema, argv);
    const holdings = await loadKept(next, output);
    log?.reopen();
    local.replace(holdings);
    for (const server of servers) server.announce();
    sayUnchanged(['listen', 'group', 'auditLog'], config, next, output);
  };
  const listening = places.map(({ path }) => path);
  await serveUntilSignal('keeper', { reload, close }, listening, output, stop);
  if (failure !== undefined) throw failure;
}

function partOf(local: LocalKeeper, host: string | undefined): KeyHolder {
  if (host === undefined) return local;
  if (local.kept.some(({ authority }) => authority === host)) return local.limitedTo([host]);
  throw new ConfigError(
    `--listen ${host}=…: there is no key for this host; give --key ${host}=FILE, or --host`,
  );
}

/** `unix:PATH`, or `NAME=unix:PATH`. */
function placeOf(text: string): Place {
  const [, name, path] = /^(?:([^=/]+)=)?unix:(.+)$/.exec(text) ?? [];
  if (path === undefined) throw new ConfigError(`--listen ${text}: write unix:PATH, or NAME=unix:PATH`);
  return { path, host: name?.toLowerCase() };
}

/** How people read an entry; undefined for those that come with every run. */
function textOf({ caller, event, problem }: AuditEntry): string | undefined {
  switch (event) {
    case 'connected':
    case 'disconnected':
      return `${caller} ${event}`;
    case 'refused':
      return `${caller} was refused: ${problem}`;
    case 'violation':
      return `${caller} broke a rule and was disconnected: ${problem}`;
    case 'busy':
      return problem ?? `${caller} asks too much`;
    default:
      return undefined;
  }
}
