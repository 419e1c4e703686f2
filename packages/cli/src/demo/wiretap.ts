import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What passed over one TCP connection. */
export interface Capture {
  /** From the side that connected, and from the side that was connected to. */
  readonly upstream: Buffer[];
  readonly downstream: Buffer[];
}

/** A relay on the path between two processes that records every byte and changes none. */
export class Wiretap {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #captures: Capture[] = [];

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Starts a wiretap on a free port of loopback in front of `port`. */
  static async listen(port: number): Promise<Wiretap> {
    const server = createServer();
    const tap = new Wiretap(server);
    server.on('connection', (client) => tap.#relay(client, port));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    return tap;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Hands out what was recorded since the last call, one capture a connection. */
  take(): Capture[] {
    const captures = this.#captures;
    this.#captures = [];
    return captures;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #relay(client: Socket, port: number): void {
    const server = connect({ port, host: '127.0.0.1' });
    const capture: Capture = { upstream: [], downstream: [] };
    this.#captures.push(capture);
    client.on('data', (chunk) => capture.upstream.push(chunk));
    server.on('data', (chunk) => capture.downstream.push(chunk));
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from);
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => this.#sockets.delete(from));
    }
  }
}
