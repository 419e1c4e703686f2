import { EventEmitter } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { formatPipeAddress, type PipeAddress } from './address.ts';
import { type PipeOptions, pipeSocket } from './connection.ts';
import { PipeError } from './errors.ts';
import type { Traffic } from './relay.ts';

export interface PipeServerOptions extends PipeOptions {
  /** Connections at once, 100 by default; 0 is no limit. Further ones are closed. */
  readonly maxConnections?: number;
}

/** A connection that is over. */
export interface PipeReport extends Readonly<Traffic> {
  /** Address that it came from; empty for a Unix socket. */
  readonly peer: string;
  /** Undefined if both directions have ended. */
  readonly error?: Error;
}

interface Events {
  connection: [peer: string];
  end: [report: PipeReport];
  /** A connection was closed because there are as many as may be. */
  refused: [peer: string];
}

/** Takes connections and carries each to the target, as spiped does. */
export class PipeServer extends EventEmitter<Events> {
  #options: PipeServerOptions;
  readonly #server: Server;
  readonly #sources = new Map<Socket, Promise<void>>();

  constructor(options: PipeServerOptions) {
    super();
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true });
    this.#server.on('connection', (source) => this.#take(source));
  }

  /** Puts other options into the place of all that it has, for connections that come from now on. */
  reconfigure(options: PipeServerOptions): void {
    this.#options = options;
  }

  /** Resolves with where it listens; that is empty for a Unix socket that somebody else has opened. Rejects with the system's error. */
  listen(address: PipeAddress | { readonly fd: number }): Promise<AddressInfo | string> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(address, () => {
        this.#server.off('error', reject);
        resolve(this.#server.address() ?? '');
      });
    });
  }

  /** Takes no further connections; resolves when those that are open have ended. */
  async close(): Promise<void> {
    this.#server.close();
    await Promise.all(this.#sources.values());
  }

  /** Ends everything at once. */
  async destroy(): Promise<void> {
    for (const source of this.#sources.keys()) {
      source.destroy(new PipeError('ERR_KEYMUX_CLOSED', 'the connection was ended on this side'));
    }
    await this.close();
  }

  #take(source: Socket): void {
    const { maxConnections = 100, keepAlive = true } = this.#options;
    const peer = peerOf(source);
    if (maxConnections > 0 && this.#sources.size >= maxConnections) {
      source.destroy();
      this.emit('refused', peer);
      return;
    }
    source.setKeepAlive(keepAlive);
    this.#sources.set(source, this.#carry(source, peer));
  }

  async #carry(source: Socket, peer: string): Promise<void> {
    this.emit('connection', peer);
    const traffic = { sent: 0, received: 0 };
    const error = await pipeSocket(source, this.#options, traffic).then(
      () => undefined,
      (error: Error) => error,
    );
    this.#sources.delete(source);
    this.emit('end', { peer, ...traffic, ...(error ? { error } : {}) });
  }
}

function peerOf({ remoteAddress: host, remotePort: port }: Socket): string {
  return host === undefined || port === undefined ? '' : formatPipeAddress({ host, port });
}
