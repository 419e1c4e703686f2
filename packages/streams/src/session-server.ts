import { EventEmitter } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { sessionConfig } from '@keymux/session';
import { httpCarriers } from './http-carriers.ts';
import { MuxSession, type MuxSessionOptions } from './mux-session.ts';

export interface SessionServerOptions extends Omit<MuxSessionOptions, 'role' | 'peerName' | 'peerAddress'> {
  /** Origins of web pages that may connect; none by default. */
  readonly origins?: readonly string[];
  /** Connections at a time; more are closed at once. */
  readonly maxConnections?: number;
  /** How long a connection may take to send its first byte, or its whole HTTP request, in milliseconds. */
  readonly greetingTimeout?: number;
}

interface SessionServerEvents {
  /** A peer has connected; `peer` says from where, for logs. */
  session: [session: MuxSession, peer: string];
  listening: [];
  error: [error: Error];
  close: [];
}

const BACKLOG = 4096;
const DEFAULTS = { maxConnections: 10_000, greetingTimeout: 10_000 };
/** HTTP requests begin with a capital letter, sessions with a control frame, whose first byte is 0x80. */
const isHttp = (firstByte: number): boolean => firstByte >= 0x41 && firstByte <= 0x5a;

/** Accepts sessions on a TCP or Unix socket. The same port takes plain carriers and HTTP requests that ask for one, told apart by the first byte. */
export class SessionServer extends EventEmitter<SessionServerEvents> {
  readonly #options: SessionServerOptions;
  readonly #server: Server;
  readonly #http: HttpServer;
  readonly #sessions = new Set<MuxSession>();
  /** Connections that have not become sessions yet, with their deadlines. */
  readonly #greeting = new Map<Socket, NodeJS.Timeout>();

  constructor(options: SessionServerOptions = {}) {
    super();
    sessionConfig(options.config); // refuse a bad configuration here, not at the first connection
    this.#options = options;
    this.#http = httpCarriers({ origins: options.origins ?? [] }, (carrier, { socket }) => {
      this.#greeted(socket);
      this.#start(carrier, originOf(socket));
    });
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#greet(socket));
    this.#server.maxConnections = this.#options.maxConnections ?? DEFAULTS.maxConnections;
    this.#server.on('error', (error) => {
      if (this.listenerCount('error') > 0) this.emit('error', error);
    });
    this.#server.on('listening', () => this.emit('listening'));
    this.#server.on('close', () => this.emit('close'));
  }

  get sessions(): ReadonlySet<MuxSession> {
    return this.#sessions;
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

  /** Stops listening, lets open sessions end (each within its drain timeout), then resolves. */
  async close(): Promise<void> {
    const closed = this.#server.listening
      ? new Promise<void>((resolve) => this.#server.close(() => resolve()))
      : undefined;
    for (const socket of this.#greeting.keys()) socket.destroy();
    await Promise.all([...this.#sessions].map((session) => session.close()));
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Waits for the first byte, which tells what the connection speaks. A slow start is cut off, however it is spread over bytes. */
  #greet(socket: Socket): void {
    const origin = originOf(socket); // known now; it is not once the socket is closed
    this.#greeting.set(
      socket,
      setTimeout(() => socket.destroy(), this.#options.greetingTimeout ?? DEFAULTS.greetingTimeout),
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
      this.#start(socket, origin);
    });
  }

  #greeted(socket: Socket): void {
    clearTimeout(this.#greeting.get(socket));
    this.#greeting.delete(socket);
  }

  #start(carrier: Duplex, { peer, peerAddress }: ConnectionOrigin): void {
    const session = new MuxSession(carrier, { ...this.#options, role: 'server', peerAddress });
    this.#sessions.add(session);
    session.once('close', () => this.#sessions.delete(session));
    this.emit('session', session, peer);
  }
}

/** Where a connection comes from. */
interface ConnectionOrigin {
  /** For logs. */
  readonly peer: string;
  /** Undefined for a Unix socket. */
  readonly peerAddress: string | undefined;
}

function originOf({ remoteAddress: peerAddress, remotePort }: Socket): ConnectionOrigin {
  return { peer: peerAddress === undefined ? 'local' : `${peerAddress}:${remotePort}`, peerAddress };
}
