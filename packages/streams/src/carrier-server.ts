import { EventEmitter } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { httpCarriers } from './http-carriers.ts';

export interface CarrierServerOptions {
  /** Origins of web pages that may connect; none by default. */
  readonly origins?: readonly string[];
  /** Connections at a time; more are closed at once. */
  readonly maxConnections?: number;
  /** How long a connection may take to send its first byte, or its whole HTTP request, in milliseconds; 10,000 by default. */
  readonly greetingTimeout?: number;
}

/** Where a connection comes from. */
export interface ConnectionOrigin {
  /** For logs. */
  readonly peer: string;
  /** Undefined for a Unix socket. */
  readonly address: string | undefined;
  /** 0 for a Unix socket. */
  readonly port: number;
}

interface CarrierServerEvents {
  carrier: [carrier: Duplex, origin: ConnectionOrigin];
  listening: [];
  error: [error: Error];
  close: [];
}

const BACKLOG = 4096;
export const GREETING_TIMEOUT = 10_000;
const MAX_CONNECTIONS = 10_000;
/** HTTP requests begin with a capital letter, sessions with a control frame, whose first byte is 0x80. */
const isHttp = (firstByte: number): boolean => firstByte >= 0x41 && firstByte <= 0x5a;

/** Accepts carriers on a TCP or Unix socket. The same port takes plain carriers and HTTP requests that ask for one, told apart by the first byte. */
export class CarrierServer extends EventEmitter<CarrierServerEvents> {
  readonly #options: CarrierServerOptions;
  readonly #server: Server;
  readonly #http: HttpServer;
  /** Connections that have not become carriers yet, with their deadlines. */
  readonly #greeting = new Map<Socket, NodeJS.Timeout>();

  constructor(options: CarrierServerOptions) {
    super();
    this.#options = options;
    this.#http = httpCarriers({ origins: options.origins ?? [] }, (carrier, { socket }) => {
      this.#greeted(socket);
      this.emit('carrier', carrier, originOf(socket));
    });
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#greet(socket));
    this.#server.maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
    this.#server.on('error', (error) => {
      if (this.listenerCount('error') > 0) this.emit('error', error);
    });
    this.#server.on('listening', () => this.emit('listening'));
    this.#server.on('close', () => this.emit('close'));
  }

  /** Starts listening; resolves with the address. Takes what net.Server's `listen` takes. */
  listen(options: ListenOptions): Promise<AddressInfo | string> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ backlog: BACKLOG, ...options }, () => {
        this.#server.off('error', reject);
        resolve(this.#server.address() as AddressInfo | string);
      });
    });
  }

  /** Stops listening and closes what has not become a carrier; resolves when all carriers are closed. */
  async close(): Promise<void> {
    const closed = this.#server.listening
      ? new Promise<void>((resolve) => this.#server.close(() => resolve()))
      : undefined;
    for (const socket of this.#greeting.keys()) socket.destroy();
    await closed;
  }

  /** Waits for the first byte, which tells what the connection speaks. A slow start is cut off, however it is spread over bytes. */
  #greet(socket: Socket): void {
    const origin = originOf(socket); // known now; it is not once the socket is closed
    this.#greeting.set(
      socket,
      setTimeout(() => socket.destroy(), this.#options.greetingTimeout ?? GREETING_TIMEOUT),
    );
    socket.on('error', () => undefined); // `close` follows
    socket.once('close', () => this.#greeted(socket));
    socket.once('readable', () => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return void socket.destroy();
      socket.unshift(chunk);
      if (isHttp(chunk[0] as number)) {
        this.#http.emit('connection', socket);
        return;
      }
      this.#greeted(socket);
      this.emit('carrier', socket, origin);
    });
  }

  #greeted(socket: Socket): void {
    clearTimeout(this.#greeting.get(socket));
    this.#greeting.delete(socket);
  }
}

function originOf({ remoteAddress: address, remotePort: port = 0 }: Socket): ConnectionOrigin {
  return { peer: address === undefined ? 'local' : `${address}:${port}`, address, port };
}
