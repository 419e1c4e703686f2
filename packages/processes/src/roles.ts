import { type AddressInfo, Socket } from 'node:net';
import { type Channel, type Take, Taker } from '@keymux/hand-over';
import { type AuditEntry, KeeperServer, RemoteKeeper } from '@keymux/keeper';
import type { KeptKey, KeyHolder } from '@keymux/keys';
import { Giving, type Sessions } from './giving.ts';
import { type Order, orderSchema, type Report } from './messages.ts';
import type { Port } from './port.ts';

type Settings = Readonly<Record<string, unknown>>;

/** Options that were read, and that can take the place of those in force. */
export interface Prepared {
  /** Has them take effect. */
  apply(): void;
}

/** What a worker serves with. */
export interface WorkerService extends Sessions {
  listen(options: { readonly handle: object }): Promise<AddressInfo | string>;
  /** Reads what other options name, and changes nothing. */
  prepare(settings: Settings): Promise<Prepared>;
  /** Who goes on with those of another process, by kind. */
  readonly takes: Readonly<Record<string, Take>>;
  /** Takes nothing more and resolves when all sessions have ended. `within` is how long they have, in milliseconds, if not as long as is configured. */
  close(options?: CloseOptions): Promise<void>;
}

interface CloseOptions {
  readonly within?: number;
}

/** What a keeper's process has. */
export interface KeeperService {
  readonly keeper: KeyHolder;
  /** Reads what other options name, and changes nothing. `kept` is what the keeper will have. */
  prepare(settings: Settings): Promise<Prepared & { readonly kept: readonly KeptKey[] }>;
}

export interface RoleOptions {
  /** How an error is told to people, and what the program should end with. */
  readonly explain: (error: unknown) => { readonly text: string; readonly exitCode: number };
}

export interface KeeperRoleOptions extends RoleOptions {
  /** Reads the keys. */
  readonly create: (settings: Settings) => Promise<KeeperService>;
  readonly onAudit: (entry: AuditEntry) => void;
}

/** All workers of a machine, while others take over from them. */
const MOST_CALLERS = 1_024;

/**
 * The keeper's part: the only one that reads key files or speaks to an ssh-agent. Its callers are those whose connections the admin brings;
 * there is no other way to it. Resolves when the admin wants it to end, or has gone.
 */
export function runKeeper(port: Port, { create, onAudit, explain }: KeeperRoleOptions): Promise<void> {
  let service: KeeperService | undefined;
  let server: KeeperServer | undefined;
  let prepared: Prepared | undefined;
  return run(port, { explain }, async (order, handle) => {
    switch (order.type) {
      case 'begin':
        service = await create(order.settings);
        server = new KeeperServer({
          keeper: service.keeper,
          maxCallers: MOST_CALLERS,
          connections: { burst: MOST_CALLERS, rate: 100 },
        });
        server.on('audit', onAudit);
        // A keeper elsewhere can be given other keys at any time.
        if (service.keeper instanceof RemoteKeeper) service.keeper.on('changed', () => server?.announce());
        return { type: 'ready', kept: plain(service.keeper.kept) };
      case 'prepare': {
        const next = await service?.prepare(order.settings);
        prepared = next;
        return { type: 'prepared', kept: plain(next?.kept ?? []) };
      }
      case 'apply':
        if (order.accepted) prepared?.apply();
        prepared = undefined;
        server?.announce();
        return undefined;
      case 'caller':
        if (handle instanceof Socket) server?.serve(handle, { name: order.name });
        return undefined;
      case 'drain':
        await server?.close();
        return 'over';
      default:
        return undefined;
    }
  });
}

/** As messages have it. */
function plain(kept: readonly KeptKey[]) {
  return kept.map(({ label, authority, roles, proves }) => ({ label, authority, roles: [...roles], proves }));
}

export interface WorkerRoleOptions extends RoleOptions {
  /** For hand-overs, to and from other processes. */
  readonly channel?: Channel;
  /** Whether it only accepts sessions, and gives them to workers. */
  readonly accepts?: boolean;
  readonly create: (settings: Settings, keeper: KeyHolder) => Promise<WorkerService>;
}

/** A worker's part, or an acceptor's: sessions, and no long-term key. Resolves when it has drained, or the admin has gone. */
export function runWorker(
  port: Port,
  { create, explain, channel, accepts = false }: WorkerRoleOptions,
): Promise<void> {
  const links = new Links(port);
  const giving = channel && new Giving(channel);
  let service: WorkerService | undefined;
  let taker: Taker | undefined;
  let prepared: Prepared | undefined;
  const end = async (options?: CloseOptions): Promise<void> => {
    await service?.close(options);
    // A session on its way is nobody's here, and lost if this process ends.
    await Promise.all([giving?.over(), taker?.over()]);
    await service?.close(options); // what has come meanwhile, or stayed after all
  };
  return run(port, { explain }, async (order, handle) => {
    switch (order.type) {
      case 'begin': {
        const keeper = await RemoteKeeper.connect({ connect: (signal) => links.open(signal) });
        service = await create(order.settings, keeper);
        if (accepts) giving?.giveNew(service);
        else if (channel !== undefined) taker = new Taker(channel, service.takes);
        return { type: 'ready' };
      }
      case 'prepare':
        prepared = await service?.prepare(order.settings);
        return { type: 'prepared' };
      case 'apply':
        if (order.accepted) prepared?.apply();
        prepared = undefined;
        return undefined;
      case 'listen': {
        const address = await service?.listen({ handle: handle as object }).catch((error: Error) => {
          throw Object.assign(error, order.place); // which only the admin knows
        });
        // Of a Unix socket that another process has bound Node does not know the path.
        return { type: 'listening', address: address || order.place.address };
      }
      case 'link':
        links.answered(order.id, handle instanceof Socket ? handle : undefined);
        return undefined;
      case 'retire':
        taker?.refuse('it is ending');
        if (service !== undefined) await giving?.giveAll(service, taker?.over());
        // As nobody waits for it, what could not be given has all the time that it needs, unless `drain` comes.
        await end({ within: Number.POSITIVE_INFINITY });
        return 'over';
      case 'drain':
        taker?.refuse('it is ending');
        await end();
        return 'over';
      default:
        return undefined;
    }
  });
}

/** Connections to the keeper, which the admin has to bring. */
class Links {
  readonly #port: Port;
  readonly #wanted = new Map<number, (socket: Socket | undefined) => void>();
  #last = 0;

  constructor(port: Port) {
    this.#port = port;
  }

  open(signal: AbortSignal): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const id = ++this.#last;
      const abort = (): void => {
        this.#wanted.delete(id);
        reject(signal.reason);
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#wanted.set(id, (socket) => {
        signal.removeEventListener('abort', abort);
        if (socket === undefined) reject(new Error('the process of the keeper is being started'));
        else resolve(socket);
      });
      this.#port.send({ type: 'wants-link', id } satisfies Report);
    });
  }

  answered(id: number, socket: Socket | undefined): void {
    const wanted = this.#wanted.get(id);
    this.#wanted.delete(id);
    if (wanted === undefined)
      socket?.destroy(); // it came too late
    else wanted(socket);
  }
}

/** Obeys the admin until an order is the last one, or cannot be followed; no error leaves it. */
function run(
  port: Port,
  { explain }: RoleOptions,
  obey: (order: Order, handle: unknown) => Promise<Report | 'over' | undefined>,
): Promise<void> {
  return new Promise((resolve) => {
    const say = (report: Report): void => port.send(report);
    port.receive((message, handle) => {
      const parsed = orderSchema.safeParse(message);
      if (!parsed.success) return; // of another version: the admin sees that nothing comes of it
      obey(parsed.data, handle).then(
        (report) => {
          if (report === 'over') resolve();
          else if (report !== undefined) say(report);
        },
        (error: unknown) => {
          const { text, exitCode } = explain(error);
          say(
            parsed.data.type === 'prepare' ? { type: 'refused', text } : { type: 'failed', text, exitCode },
          );
        },
      );
    });
    void port.closed.then(resolve);
  });
}
