import type { AddressInfo } from 'node:net';
import { type AuditEntry, KeeperServer } from '@keymux/keeper';
import { type KeyHolder, LocalKeeper } from '@keymux/keys';
import { z } from 'zod';
import { AuditLog } from '../audit-log.ts';
import { flag, list, readConfig } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { harden } from '../hardening.ts';
import { CALLER_OPTIONS, Callers } from '../keeper/callers.ts';
import { KEPT_OPTIONS, loadKept } from '../keeper/kept.ts';
import { KeptPipes, loadPipes } from '../keeper/kept-pipes.ts';
import { LinkServer } from '../keeper/link-server.ts';
import { type Place, placeOf } from '../keeper/places.ts';
import type { Output } from '../output.ts';
import { sayUnchanged } from '../reload.ts';
import { formatAddress, serveUntilSignal } from '../serve.ts';

const schema = z.object({
  ...KEPT_OPTIONS,
  ...CALLER_OPTIONS,
  listen: list,
  group: flag,
  auditLog: z.string().optional(),
});

type Config = z.output<typeof schema>;

/** Something that listens for callers. */
interface Listener {
  readonly server: KeeperServer;
  /** For those from elsewhere. */
  readonly link?: LinkServer;
  /** Resolves with where it listens: a path, or an address. */
  listen(): Promise<AddressInfo | string>;
  close(): Promise<unknown>;
}

/** `keymux keeper` */
export async function keeper(argv: Record<string, unknown>, output: Output): Promise<void> {
  const config = await readConfig(schema, argv);
  const places = config.listen.map(placeOf);
  if (places.length === 0)
    throw new ConfigError('nothing to listen on: give --listen unix:PATH, or HOST:PORT');
  harden(output);
  const { holdings, pipeKeepers, callers } = await load(config, places, output);
  let known = callers;
  const kept = new LocalKeeper(holdings);
  const pipes = new KeptPipes(pipeKeepers);
  const log = config.auditLog === undefined ? undefined : new AuditLog(config.auditLog);
  const listeners = places.map((place) =>
    listenerAt(place, { kept, pipes, callers, group: config.group, output }),
  );
  const close = async (): Promise<void> => {
    await Promise.all(listeners.map((listener) => listener.close()));
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
  const addresses: (AddressInfo | string)[] = [];
  try {
    for (const [index, listener] of listeners.entries()) {
      let name = config.listen[index] as string; // until the port is known
      listener.server.on('audit', (entry) => write({ ...entry, caller: `${name} ${entry.caller}` }));
      const address = await listener.listen();
      addresses.push(address);
      name = typeof address === 'string' ? address : formatAddress(address);
    }
  } catch (error) {
    await close(); // those that listen already
    throw error;
  }
  const reload = async (): Promise<void> => {
    const next = await readConfig(schema, argv);
    const { holdings, pipeKeepers, callers } = await load(next, places, output, known);
    const links = listeners.flatMap(({ link }) => link?.prepare(callers as Callers) ?? []);
    const changes = await Promise.all(links);
    log?.reopen();
    // From here on nothing can fail.
    kept.replace(holdings);
    pipes.replace(pipeKeepers);
    for (const change of changes) change();
    known = callers;
    for (const { server } of listeners) server.announce();
    sayUnchanged(['listen', 'group', 'auditLog'], config, next, output);
  };
  await serveUntilSignal('keeper', { reload, close }, addresses, output, stop);
  if (failure !== undefined) throw failure;
}

/** Reads keys, and who may call from elsewhere: `callers` is undefined if nobody can. Rejects with ConfigError or KeyError. */
async function load(config: Config, places: readonly Place[], output: Output, before?: Callers) {
  const holdings = await loadKept(config, output);
  const pipeKeepers = await loadPipes(config.pipeKey, output);
  const called = [config.ownIdentity ?? [], config.callers, config.callerKey].flat().length > 0;
  if (places.every(({ kind }) => kind === 'socket')) {
    if (called) throw new ConfigError('--callers and --caller-key are for --listen HOST:PORT: give that too');
    return { holdings, pipeKeepers, callers: undefined };
  }
  const callers = await Callers.load(config, output, before);
  callers.checkApart(holdings, [...pipeKeepers.keys()]);
  return { holdings, pipeKeepers, callers };
}

interface ListenerOptions {
  readonly kept: LocalKeeper;
  readonly pipes: KeptPipes;
  readonly callers: Callers | undefined;
  readonly group: boolean;
  readonly output: Output;
}

function listenerAt(place: Place, { kept, pipes, callers, group, output }: ListenerOptions): Listener {
  if (place.kind === 'socket') {
    const { path, authority } = place;
    // Pipes are for no host, so their keys are for those only who may use all.
    const all = authority === undefined ? { pipes } : {};
    const server = new KeeperServer({ keeper: partOf(kept, authority), ...all });
    return {
      server,
      listen: async () => {
        await server.listen({ path, mode: group ? 0o660 : 0o600 });
        return path;
      },
      close: () => server.close(),
    };
  }
  const server = new KeeperServer({ keeper: kept, maxCallers: 1024 });
  const link = new LinkServer({ kept, pipes, server, callers: callers as Callers, output });
  return {
    ...{ server, link },
    listen: () => link.listen(place.address),
    close: () => Promise.all([server.close(), link.close()]),
  };
}

function partOf(local: LocalKeeper, authority: string | undefined): KeyHolder {
  if (authority === undefined) return local;
  if (local.kept.some((key) => key.authority === authority)) return local.limitedTo([authority]);
  const give = authority === '' ? '--key FILE' : `--key ${authority}=FILE, or --host`;
  throw new ConfigError(`--listen ${authority}=…: there is no key for this host; give ${give}`);
}

/** How people read an entry; undefined for those that come with every run. */
function textOf({ caller, event, from, problem }: AuditEntry): string | undefined {
  switch (event) {
    case 'connected':
      return `${caller} connected${from === undefined ? '' : ` from ${from}`}`;
    case 'disconnected':
      return `${caller} disconnected`;
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
