import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What passed over one TCP connection. */
export interface Capture {
  /** From the side that connected, and from the side that was connected to. */
  readonly upstream: Buffer[];
  readonly downstream: Buffer[];
}

/** Sees bytes before they are passed on, and holds them for as long as it looks. `connection` counts from 1. */
export type Onlooker = (side: 'client' | 'server', bytes: Buffer, connection: number) => Promise<void>;

/** A relay on the path between two processes that records every byte and changes none. */
export class Wiretap {
  readonly #server: Server;
  readonly #look: Onlooker | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #passing = new Set<Promise<void>>();
  #captures: Capture[] = [];
  #connections = 0;

  private constructor(server: Server, look: Onlooker | undefined) {
    this.#server = server;
    this.#look = look;
  }

  /** Starts a wiretap on a free port of loopback in front of `port`. */
  static async listen(port: number, look?: Onlooker): Promise<Wiretap> {
    const server = createServer({ allowHalfOpen: true });
    const tap = new Wiretap(server, look);
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

  /** Resolves when the connections that there are have ended, and everything was passed on. */
  async ended(): Promise<void> {
    await Promise.all(this.#passing);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #relay(client: Socket, port: number): void {
    const server = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const capture: Capture = { upstream: [], downstream: [] };
    this.#captures.push(capture);
    const connection = ++this.#connections;
    const directions = [
      { from: client, to: server, side: 'client', record: capture.upstream },
      { from: server, to: client, side: 'server', record: capture.downstream },
    ] as const;
    for (const { from, to, side, record } of directions) {
      this.#sockets.add(from);
      from.on('close', () => this.#sockets.delete(from));
      from.on('error', () => undefined); // `pass` fails with it
      const look = async (bytes: Buffer): Promise<void> => {
        record.push(bytes);
        await this.#look?.(side, bytes, connection);
      };
      const passing = pass(from, to, look).catch(() => {
        for (const socket of [client, server]) socket.destroy(); // one of them was cut off
      });
      this.#passing.add(passing);
      void passing.then(() => this.#passing.delete(passing));
    }
  }
}

async function pass(from: Socket, to: Socket, look: (bytes: Buffer) => Promise<void>): Promise<void> {
  // The other direction may go on when this one has ended.
  for await (const bytes of from.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    await look(bytes);
    if (to.destroyed) return;
    if (!to.write(bytes)) await Promise.race([once(to, 'drain'), once(to, 'close')]);
  }
  to.end();
}
