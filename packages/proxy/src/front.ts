import { EventEmitter } from 'node:events';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { ALGORITHM } from '@keymux/keys';
import { type FrontConfig, frontConfig } from '@keymux/session';
import {
  CarrierServer,
  type CarrierServerOptions,
  type ConnectionOrigin,
  FrontCarrier,
  type ListenTarget,
  type SocketAddress,
} from '@keymux/streams';
import type { FrontLimits } from './limits.ts';

export interface FrontOptions extends CarrierServerOptions {
  /** Where the process listens that holds the key of each host; names in lower case. */
  readonly hosts: ReadonlyMap<string, SocketAddress>;
  readonly limits?: Partial<FrontLimits>;
}

interface FrontEvents {
  session: [peer: string];
  /** A connection was closed at once, because its client or all together have as many as may be. */
  refused: [peer: string];
  /** A client asks for a key of a host. */
  run: [run: { readonly peer: string; readonly host: string; readonly served: boolean }];
  /** A host's process went away, cannot be reached, or broke the rules; `status` is what the client is told (spec 10.3). */
  hostGone: [gone: { readonly peer: string; readonly host: string; status: number; reason: string }];
  /** A client's session is over. */
  sessionEnd: [peer: string, error: Error | undefined];
  /** The listening socket failed. */
  error: [error: Error];
  close: [];
}

/**
 * A blind front door (spec chapter 10): one address for several hosts, each with its key in a process of its own. It holds no key, and passes
 * on what is sealed without being able to open it.
 */
export class Front extends EventEmitter<FrontEvents> {
  readonly #server: CarrierServer;
  #hosts: FrontOptions['hosts'];
  #config: FrontConfig;
  readonly #sessions = new Set<FrontCarrier>();

  /** Throws UsageError `ERR_KEYMUX_CONFIG` naming a limit that is out of its range. */
  constructor(options: FrontOptions) {
    super();
    this.#hosts = options.hosts;
    this.#config = frontConfig(options.limits);
    this.#server = new CarrierServer(options);
    this.#server.on('carrier', (carrier, origin) => void this.#serve(carrier, origin));
    this.#server.on('error', (error) => {
      if (this.listenerCount('error') > 0) this.emit('error', error);
    });
    this.#server.on('refused', (peer) => this.emit('refused', peer));
    this.#server.on('close', () => this.emit('close'));
  }

  /**
   * Puts other options into the place of all that it has; what is missing is as by default. Hosts are those of all runs that begin from now on, also in
   * sessions that there are; links to hosts that were taken out go on. The rest is for sessions that begin from now on. Throws as the constructor
   * does; all is as it was then.
   */
  reconfigure(options: FrontOptions): void {
    const config = frontConfig(options.limits);
    this.#server.reconfigure(options);
    this.#config = config;
    this.#hosts = options.hosts;
  }

  listen(target: ListenTarget): ReturnType<CarrierServer['listen']> {
    return this.#server.listen(target);
  }

  /** Stops listening and lets open sessions end. */
  async close(): Promise<void> {
    const closed = this.#server.close();
    await Promise.all([...this.#sessions].map((session) => session.close()));
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #serve(carrier: Duplex, { peer, address = '', port }: ConnectionOrigin): Promise<void> {
    this.emit('session', peer);
    const session = new FrontCarrier(carrier, {
      config: this.#config,
      algorithms: Object.values(ALGORITHM),
      client: { address, port },
      connect: (authority) => {
        const place = this.#hosts.get(authority);
        return place && connect({ ...place, noDelay: true });
      },
      onEvent: (event) => {
        const { authority: host } = event;
        if (event.type === 'run') this.emit('run', { peer, host, served: event.served });
        else this.emit('hostGone', { peer, host, status: event.status, reason: event.reason });
      },
    });
    this.#sessions.add(session);
    const error = await session.closed;
    this.#sessions.delete(session);
    this.emit('sessionEnd', peer, error);
  }
}
