import { EventEmitter } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { UsageError } from '@keymux/session';
import { type ConnectionOrigin, type CountedBy, originOf } from './connection-origin.ts';
import { halfOfDescriptors } from './descriptors.ts';
import { httpCarriers } from './http-carriers.ts';
import { type CarrierLimits, carrierLimits } from './limits.ts';
import { Quota } from './quota.ts';
import { lendingSocketOf } from './socket-handle.ts';

/** What net.Server's `listen` takes; `handle` is a socket that another process has bound. */
export type ListenTarget = ListenOptions | { readonly handle: object };

export interface CarrierServerOptions {
  /** Origins of web pages that may connect; none by default. */
  readonly origins?: readonly string[];
  /** What one client may have; see spec 7.2 and 7.3 for defaults. */
  readonly limits?: Partial<CarrierLimits>;
  /**
   * What counts as one client for the limits: its address (of IPv6 the /64), which is the default, or each connection, where a balancer or a
   * proxy in front makes all of them come from one address. On a Unix socket it is always the connection.
   */
  readonly countedBy?: CountedBy;
}

interface CarrierServerEvents {
  carrier: [carrier: Duplex, origin: ConnectionOrigin];
  /** A connection was closed at once, because its client or all together have as many as may be; `peer` says from where. */
  refused: [peer: string];
  listening: [];
  error: [error: Error];
  close: [];
}

const BACKLOG = 4096;
/** HTTP requests begin with a capital letter, sessions with a control frame, whose first byte is 0x80. */
const isHttp = (firstByte: number): boolean => firstByte >= 0x41 && firstByte <= 0x5a;

/** Accepts carriers on a TCP or Unix socket. The same port takes plain carriers and HTTP requests that ask for one, told apart by the first byte. */
export class CarrierServer extends EventEmitter<CarrierServerEvents> {
  #limits: CarrierLimits;
  #countedBy: CountedBy;
  #pages: readonly string[];
  readonly #places: Quota;
  readonly #server: Server;
  readonly #http: HttpServer;
  /** Connections that have not become carriers yet, with their deadlines. */
  readonly #greeting = new Map<Socket, NodeJS.Timeout>();
  /** Who waits until fewer are greeting. */
  readonly #waiting: (() => void)[] = [];
  /** Connections of this process, whoever has let them in. */
  readonly #open = new Set<Socket>();
  readonly #origins = new WeakMap<Socket, ConnectionOrigin>();

  /** Throws UsageError `ERR_KEYMUX_CONFIG` naming a limit that is out of its range. */
  constructor(options: CarrierServerOptions) {
    super();
    this.#limits = carrierLimits(options.limits);
    this.#countedBy = options.countedBy ?? 'address';
    this.#pages = options.origins ?? [];
    this.#places = new Quota(...places(this.#limits));
    this.#http = httpCarriers(
      () => this.#pages,
      (carrier, { socket }) => this.#carry(carrier, socket),
    );
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
    this.#server.on('connection', (accepted) => this.#admit(lendingSocketOf(accepted)));
    this.#server.on('error', (error) => {
      if (this.listenerCount('error') > 0) this.emit('error', error);
    });
    this.#server.on('listening', () => this.emit('listening'));
    this.#server.on('close', () => this.emit('close'));
  }

  /** Puts other options into the place of all that it has, for connections that come from now on. Throws as the constructor does; all is as it was then. */
  reconfigure(options: CarrierServerOptions): void {
    this.#limits = carrierLimits(options.limits);
    this.#countedBy = options.countedBy ?? 'address';
    this.#pages = options.origins ?? [];
    this.#places.allow(...places(this.#limits));
  }

  /**
   * Starts listening; resolves with the address, or the path of a Unix socket, empty if somebody else has opened it. Takes what net.Server's `listen` takes.
   */
  listen(target: ListenTarget): Promise<AddressInfo | string> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(target, 'handle' in target ? BACKLOG : (target.backlog ?? BACKLOG), () => {
        this.#server.off('error', reject);
        resolve(this.#server.address() ?? '');
      });
    });
  }

  /** Takes no more connections; resolves when all that came before have become carriers or were closed. */
  async stopListening(): Promise<void> {
    if (this.#server.listening) this.#server.close();
    while (this.#greeting.size > 0) await this.#someGreeted();
  }

  #someGreeted(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Stops listening and closes what has not become a carrier; resolves when all carriers are closed. */
  async close(): Promise<void> {
    const closed = this.#server.listening
      ? new Promise<void>((resolve) => this.#server.close(() => resolve()))
      : undefined;
    for (const socket of this.#greeting.keys()) socket.destroy();
    await closed;
    // What other processes have let in, or this one before it stopped listening, may still have last words to send.
    while (this.#open.size > 0)
      await Promise.all(
        [...this.#open].map((socket) => new Promise((resolve) => socket.once('close', resolve))),
      );
  }

  #opened(socket: Socket, client: string): void {
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#places.release(client);
    });
  }

  /** Counts a connection that another process has let in, and says where it comes from. Throws UsageError `ERR_KEYMUX_HAND_OVER` if it is `limited` and there is no place for its client. */
  adopt(socket: Socket, limited = false): ConnectionOrigin {
    const origin = originOf(socket, this.#countedBy);
    if (!limited) this.#places.add(origin.client);
    else if (!this.#places.take(origin.client)) {
      this.emit('refused', origin.peer);
      throw new UsageError('ERR_KEYMUX_HAND_OVER', 'its client has as many connections as may be');
    }
    this.#opened(socket, origin.client);
    return origin;
  }

  /** Lets a connection in if there is a place for its client. */
  #admit(socket: Socket): void {
    socket.on('error', () => undefined); // `close` follows
    const origin = originOf(socket, this.#countedBy); // known now; it is not once the socket is closed
    if (!this.#places.take(origin.client)) {
      socket.destroy();
      this.emit('refused', origin.peer);
      return;
    }
    this.#opened(socket, origin.client);
    this.#origins.set(socket, origin);
    this.#greet(socket);
  }

  /** Waits for the first byte, which tells what the connection speaks. A slow start is cut off, however it is spread over bytes. */
  #greet(socket: Socket): void {
    this.#greeting.set(
      socket,
      setTimeout(() => socket.destroy(), this.#limits.greetingTimeout),
    );
    socket.once('close', () => this.#greeted(socket));
    socket.once('readable', () => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return void socket.destroy();
      socket.unshift(chunk);
      if (isHttp(chunk[0] as number)) this.#http.emit('connection', socket);
      else this.#carry(socket, socket);
    });
  }

  #greeted(socket: Socket): void {
    clearTimeout(this.#greeting.get(socket));
    this.#greeting.delete(socket);
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #carry(carrier: Duplex, socket: Socket): void {
    this.#greeted(socket);
    this.emit('carrier', carrier, this.#origins.get(socket) as ConnectionOrigin);
  }
}

/** Connections of all clients, and of one. */
function places({ connections, connectionsPerClient }: CarrierLimits): [number, number] {
  return [Math.min(connections, halfOfDescriptors()), connectionsPerClient];
}
