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
import { listenUnix } from './unix-socket.ts';

export interface KeeperServerOptions {
  /** What it does for its callers: a `LocalKeeper`, or a part of one (`limitedTo`). */
  readonly keeper: KeyHolder;
  /** Connections at a time; 64 by default. */
  readonly maxCallers?: number;
  /** Runs in progress of one caller; 256 by default. */
  readonly maxRuns?: number;
  /** Requests of one caller; 4,000 at once and 1,000 a second by default. A run needs two to four. */
  readonly requests?: RequestLimits;
  /** Connections of all callers: 256 at once and 10 a second by default, so that nobody gets new requests by connecting again. */
  readonly connections?: RequestLimits;
  /** Milliseconds for a caller's first message; 10,000 by default. */
  readonly helloTimeout?: number;
  /** A clock that never goes back, in milliseconds; `performance.now` by default. */
  readonly now?: () => number;
}

export interface ServeOptions {
  /** Who it is, for the audit log; by default a number. */
  readonly name?: string;
  /** What is done for this caller; by default what is done for all. */
  readonly keeper?: KeyHolder;
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
  #told = false;
  #lastCaller = 0;

  constructor(options: KeeperServerOptions) {
    super();
    this.#options = {
      ...{ maxCallers: 64, maxRuns: 256, helloTimeout: 10_000, now: () => performance.now() },
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
    { name = String(++this.#lastCaller), keeper = this.#options.keeper }: ServeOptions = {},
  ): void {
    const { maxCallers, maxRuns, requests, helloTimeout, now } = this.#options;
    const audit = (entry: Omit<AuditEntry, 'caller'>): void => {
      this.emit('audit', { caller: name, ...entry });
    };
    if (this.#callers.size >= maxCallers || !this.#connections.take()) {
      if (!this.#told) audit({ event: 'busy', problem: 'too many callers, or connections in a short time' });
      this.#told = true;
      turnAway(connection);
      return;
    }
    this.#told = false;
    const caller = new Caller(connection, {
      ...{ keeper, maxRuns, helloTimeout, audit },
      account: new RequestAccount(requests, now),
      onClose: () => this.#callers.delete(caller),
    });
    this.#callers.add(caller);
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
