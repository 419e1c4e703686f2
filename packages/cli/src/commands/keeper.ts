import { type AuditEntry, KeeperServer } from '@keymux/keeper';
import { isAuthority, type KeyHolder, type LocalKeeper } from '@keymux/keys';
import { z } from 'zod';
import { AuditLog } from '../audit-log.ts';
import { flag, list, readConfig } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { harden } from '../hardening.ts';
import { serverIdentities } from '../identities.ts';
import { addUse, loadKeys, serverRoles } from '../keys.ts';
import type { Output } from '../output.ts';
import { serveUntilSignal } from '../serve.ts';

const schema = z.object({
  listen: list,
  group: flag,
  key: list,
  identity: z.string().optional(),
  authorizedKeys: z.string().optional(),
  host: list.transform((names) => names.map((name) => name.toLowerCase())),
  anonymous: flag,
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
  if (places.length === 0) throw new ConfigError('no socket to listen on: give --listen unix:/PATH');
  harden(output);
  const local = await load(config, output);
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
  await serveUntilSignal(
    'keeper',
    { close },
    places.map(({ path }) => path),
    output,
    stop,
  );
  if (failure !== undefined) throw failure;
}

/** The only place where a server's key files are read, or its ssh-agent is asked, if it has a keeper. */
async function load(
  { key, host, anonymous, ...identity }: z.output<typeof schema>,
  output: Output,
): Promise<LocalKeeper> {
  const uses = new Map<string, string[]>();
  for (const entry of key) addUse(uses, ...useOf(entry));
  // One identity is for hosts, or for the peer itself: each has a trust list of its own (spec 9.1).
  const authorities = host.length > 0 ? host : [''];
  const identities = await serverIdentities(identity, authorities, output);
  if (uses.size === 0 && identities === undefined && !anonymous)
    throw new ConfigError(
      'nothing to keep: give --key NAME=FILE for a host, --key FILE for a proxy, or --identity',
    );
  const policy = { anonymous: anonymous ? authorities : [], identities };
  return (await loadKeys(uses, serverRoles, output, policy)).keeper;
}

function partOf(local: LocalKeeper, host: string | undefined): KeyHolder {
  if (host === undefined) return local;
  if (local.kept.some(({ authority }) => authority === host)) return local.limitedTo([host]);
  throw new ConfigError(
    `--listen ${host}=…: there is no key for this host; give --key ${host}=FILE, or --host`,
  );
}

/** `unix:/PATH`, or `NAME=unix:/PATH`. */
function placeOf(text: string): Place {
  const [, name, path] = /^(?:([^=/]+)=)?unix:(.+)$/.exec(text) ?? [];
  if (path === undefined) throw new ConfigError(`--listen ${text}: write unix:/PATH, or NAME=unix:/PATH`);
  return { path, host: name?.toLowerCase() };
}

/** `NAME=FILE` for a host, `FILE` for the peer itself. */
function useOf(text: string): [path: string, authority: string] {
  const [, name, path] = /^([^=/]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || path === undefined) return [text, ''];
  if (!isAuthority(name.toLowerCase())) throw new ConfigError(`--key ${text}: "${name}" is no host name`);
  return [path, name.toLowerCase()];
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
