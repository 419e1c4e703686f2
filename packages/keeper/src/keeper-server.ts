import { EventEmitter } from 'node:events';
import { chmod } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import type { Duplex } from 'node:stream';
import type { KeyHolder } from '@keymux/keys';
import { RequestAccount, type RequestLimits } from './account.ts';
import type { AuditEntry } from './audit.ts';
import { Caller } from './caller.ts';
import { Channel } from './channel.ts';
import { MAX_REQUEST, type Reply, VERSIONS } from './messages.ts';
import { NO_PIPES, type PipeKeys } from './pipe-keys.ts';
import { listenUnix } from './unix-socket.ts';

export interface KeeperServerOptions {
  /** What it does for its callers: a `LocalKeeper`, or a part of one (`limitedTo`). */
  readonly keeper: KeyHolder;
  /** What it does for pipes; nothing by default. */
  readonly pipes?: PipeKeys;
  /** Connections at a time; 64 by default. */
  readonly maxCallers?: number;
  /** Connections at a time of one caller that is known by a name; 16 by default. */
  readonly maxConnections?: number;
  /** Runs in progress of one caller; 256 by default. */
  readonly maxRuns?: number;
  /** Requests of one caller; 4,000 at once and 1,000 a second by default. A run needs two to four. */
  readonly requests?: RequestLimits;
  /**
   * Connections of all callers without a name, or of one with a name: 256 at once and 10 a second by default, so that nobody gets new requests
   * by connecting again.
   */
  readonly connections?: RequestLimits;
  /** Milliseconds for a caller's first message; 10,000 by default. */
  readonly helloTimeout?: number;
  /** A clock that never goes back, in milliseconds; `performance.now` by default. */
  readonly now?: () => number;
}

export interface ServeOptions {
  /**
   * Who it is, if that is known: its connections together have the quotas of one caller. It stands in the audit log, before the number of
   * the connection. By default a connection is a caller of its own.
   */
  readonly name?: string;
  /** Where it connects from, for the audit log. */
  readonly from?: string;
  /** What is done for this caller; by default what is done for all. */
  readonly keeper?: KeyHolder;
  readonly pipes?: PipeKeys;
}

/** What one caller may do, over all its connections. */
interface Share {
  readonly requests: RequestAccount;
  readonly connections: RequestAccount;
  readonly most: number;
  readonly callers: Set<Caller>;
}

interface KeeperServerEvents {
  audit: [entry: AuditEntry];
}

/**
 * Lets other processes use a keeper (spec chapter 12). It knows a caller by its connection alone: give each process a socket, or one end of a
 * pair, that nobody else can reach.
 */
export class KeeperServer extends EventEmitter<KeeperServerEvents> {
  readonly #options: Required<KeeperServerOptions>;
  readonly #server: Server;
  readonly #callers = new Set<Caller>();
  readonly #connections: RequestAccount;
  /** Of those that have a name. Who that can be is decided where they are let in, so there are not many. */
  readonly #shares = new Map<string, Share>();
  #told = false;
  #lastCaller = 0;

  constructor(options: KeeperServerOptions) {
    super();
    this.#options = {
      ...{
        pipes: NO_PIPES,
        maxCallers: 64,
        maxConnections: 16,
        maxRuns: 256,
        helloTimeout: 10_000,
        now: () => performance.now(),
      },
      ...{ requests: { burst: 4_000, rate: 1_000 }, connections: { burst: 256, rate: 10 } },
      ...options,
    };
    this.#connections = new RequestAccount(this.#options.connections, this.#options.now);
    this.#server = createServer((socket) => this.serve(socket));
    // Without descriptors nobody can be accepted for a while; who wanted to connect tries again.
    this.#server.on('error', () => undefined);
  }

  /** Listens on a Unix socket that only this user, or with `mode` 0o660 its group too, can connect to. Rejects with the system's error. */
  async listen({ path, mode = 0o600 }: { readonly path: string; readonly mode?: number }): Promise<void> {
    await listenUnix(this.#server, path);
    await chmod(path, mode);
  }

  /** Serves whoever is at the other end of a connection. */
  serve(
    connection: Duplex,
    { name, from, keeper = this.#options.keeper, pipes = this.#options.pipes }: ServeOptions = {},
  ): void {
    const { maxCallers, maxRuns, helloTimeout } = this.#options;
    const number = String(++this.#lastCaller);
    const caller = name === undefined ? number : `${name} ${number}`;
    const audit = (entry: Omit<AuditEntry, 'caller'>): void => {
      this.emit('audit', { caller, ...entry });
    };
    const share = this.#shareOf(name);
    const { requests, connections, most, callers } = share;
    if (this.#callers.size >= maxCallers || callers.size >= most || !connections.take()) {
      if (!this.#told) audit({ event: 'busy', problem: 'too many callers, or connections in a short time' });
      this.#told = true;
      turnAway(connection);
      return;
    }
    this.#told = false;
    const served = new Caller(connection, {
      ...{ keeper, pipes, from, helloTimeout, audit, account: requests },
      mayBegin: () => runsOf(share) < maxRuns,
      onClose: () => {
        this.#callers.delete(served);
        callers.delete(served);
      },
    });
    this.#callers.add(served);
    callers.add(served);
  }

  #shareOf(name: string | undefined): Share {
    const { requests, connections, maxConnections, now } = this.#options;
    const known = name === undefined ? undefined : this.#shares.get(name);
    if (known !== undefined) return known;
    const share: Share = {
      requests: new RequestAccount(requests, now),
      connections: name === undefined ? this.#connections : new RequestAccount(connections, now),
      most: name === undefined ? Number.POSITIVE_INFINITY : maxConnections,
      callers: new Set(),
    };
    if (name !== undefined) this.#shares.set(name, share);
    return share;
  }

  /** Tells all callers what they may ask for from now on, as far as it has changed for them: after the keeper was given other keys. */
  announce(): void {
    for (const caller of this.#callers) caller.announce();
  }

  /** Stops listening and disconnects all callers. Runs in progress are forgotten. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      if (this.#server.listening) this.#server.close(() => resolve());
      else resolve();
    });
    for (const caller of [...this.#callers]) caller.close();
    await closed;
  }
}

function runsOf({ callers }: Share): number {
  let runs = 0;
  for (const caller of callers) runs += caller.runs;
  return runs;
}

function turnAway(connection: Duplex): void {
  const channel = new Channel(connection, {
    ...{ most: MAX_REQUEST, waits: true },
    onMessage: () => undefined,
    onClose: () => undefined,
  });
  const reply: Reply = { type: 'refused', reason: 'too-many', versions: VERSIONS };
  channel.send(reply);
  channel.close(new Error('too many callers'));
}
