import { EventEmitter } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { NegotiationGate } from '@keymux/keys';
import { type SessionConfig, type SessionLimits, sessionConfig } from '@keymux/session';
import { CarrierServer, type CarrierServerOptions, type ListenTarget } from './carrier-server.ts';
import { type ConnectionOrigin, clientAt } from './connection-origin.ts';
import { readFrontHello } from './front-hello.ts';
import { carrierLimits, negotiationLimits, type ServerLimits, windowLimits } from './limits.ts';
import type { Moved } from './movable.ts';
import { type CloseOptions, MuxSession } from './mux-session.ts';
import { MOVABLE_CONFIG, type MuxSessionOptions } from './mux-session-options.ts';
import { WindowPool } from './window-pool.ts';

export interface SessionServerOptions
  extends CarrierServerOptions,
    Omit<
      MuxSessionOptions,
      'role' | 'peerName' | 'peerAddress' | 'gate' | 'windowShare' | 'link' | 'config'
    > {
  readonly config?: Partial<Omit<SessionConfig, 'algorithms' | keyof SessionLimits>>;
  readonly limits?: Partial<ServerLimits>;
  /** Those who connect are fronts, which say for whom each connection is (spec 10.5). */
  readonly behindFront?: boolean;
}

interface SessionServerEvents {
  /** A peer has connected; `peer` says from where, for logs, `client` who it is where clients are counted. */
  session: [session: MuxSession, peer: string, client: string];
  /** A connection was closed at once, because its client or all together have as many as may be. */
  refused: [peer: string];
  listening: [];
  error: [error: Error];
  close: [];
}

/** Accepts sessions on a TCP or Unix socket, from clients or from fronts. */
export class SessionServer extends EventEmitter<SessionServerEvents> {
  #options: SessionServerOptions;
  #config: SessionConfig;
  readonly #carriers: CarrierServer;
  readonly #gate: NegotiationGate;
  readonly #windows: WindowPool;
  readonly #sessions = new Set<MuxSession>();
  /** What `close` was told, once it was called. */
  #closing: CloseOptions | undefined;
  /** Links whose front has not said for whom they are. */
  readonly #silent = new Set<Duplex>();

  constructor(options: SessionServerOptions = {}) {
    super();
    this.#config = configOf(options); // refuse what is wrong here, not at the first connection
    this.#options = options;
    this.#gate = new NegotiationGate(negotiationLimits(options.limits));
    this.#windows = new WindowPool(windowLimits(options.limits));
    this.#carriers = new CarrierServer(carrierOptions(options));
    this.#carriers.on('carrier', (carrier, origin) => {
      if (this.#options.behindFront) void this.#startLink(carrier, origin);
      else this.#start(carrier, origin, {});
    });
    this.#carriers.on('error', (error) => {
      if (this.listenerCount('error') > 0) this.emit('error', error);
    });
    this.#carriers.on('refused', (peer) => this.emit('refused', peer));
    this.#carriers.on('listening', () => this.emit('listening'));
    this.#carriers.on('close', () => this.emit('close'));
  }

  get sessions(): ReadonlySet<MuxSession> {
    return this.#sessions;
  }

  /**
   * Puts other options into the place of all that it has, for sessions that begin from now on; the gate for negotiations is for all sessions. Throws
   * UsageError `ERR_KEYMUX_CONFIG` as the constructor does; all is as it was then.
   */
  reconfigure(options: SessionServerOptions): void {
    const config = configOf(options);
    const negotiation = negotiationLimits(options.limits);
    const windows = windowLimits(options.limits);
    this.#carriers.reconfigure(carrierOptions(options));
    this.#gate.reconfigure(negotiation);
    this.#windows.reconfigure(windows);
    this.#config = config;
    this.#options = options;
  }

  /** Starts listening; resolves with the address. Takes what net.Server's `listen` takes. */
  listen(target: ListenTarget): Promise<AddressInfo | string> {
    return this.#carriers.listen(target);
  }

  /** Takes no more connections, so that only its sessions are left; resolves when those that came before have become sessions or were closed. */
  stopListening(): Promise<void> {
    return this.#carriers.stopListening();
  }

  /** Stops listening, lets open sessions end (each within its drain timeout, or what the options say), then resolves. */
  async close(options?: CloseOptions): Promise<void> {
    this.#closing = options ?? {};
    const closed = this.#carriers.close();
    for (const link of this.#silent) link.destroy();
    // Others can still come from other processes, or be in their greeting.
    while (this.#sessions.size > 0)
      await Promise.all([...this.#sessions].map((session) => session.close(options)));
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** A link's session begins when its front has said for whom it is; who says nothing right is cut off. */
  async #startLink(carrier: Duplex, origin: ConnectionOrigin): Promise<void> {
    this.#silent.add(carrier);
    const { greetingTimeout } = carrierLimits(this.#options.limits);
    const hello = await readFrontHello(carrier, greetingTimeout);
    this.#silent.delete(carrier);
    if (hello === undefined) return void carrier.destroy();
    const { address, port, streamWindow, keyWindow, maxConcurrentStreams } = hello;
    const own = this.#config;
    const config = {
      ...own,
      // What the client was told counts, not what this side would have said.
      streamWindow,
      sessionWindow: Math.min(own.sessionWindow, keyWindow),
      maxConcurrentStreams: Math.max(1, Math.min(own.maxConcurrentStreams, maxConcurrentStreams)),
    };
    const peer = address === '' ? `local behind ${origin.peer}` : `${address}:${port}`;
    const options = { config, peerAddress: address === '' ? undefined : address, link: true };
    const counted = address !== '' && this.#options.countedBy !== 'connection';
    const client = counted ? clientAt(address) : origin.client;
    this.#start(carrier, { ...origin, peer, client }, options);
  }

  #start(carrier: Duplex, origin: ConnectionOrigin, options: Partial<MuxSessionOptions>): void {
    const session = new MuxSession(carrier, { ...this.#optionsFor(origin), ...options });
    this.#enter(session, origin);
  }

  /**
   * Goes on with a session that another process has given: one whose streams nobody has been told of, or whose others are over for all but the caller, who
   * finds them in its `streams`. It counts as one of its client, over whatever limit that brings it, if it is not `limited`. Throws UsageError `ERR_KEYMUX_HAND_OVER`.
   */
  takeOver({ state, socket }: Moved, limited = false): MuxSession {
    const carrier = socket(0);
    const origin = this.#carriers.adopt(carrier, limited);
    const session = MuxSession.takeOver(carrier, state, this.#optionsFor(origin));
    this.#enter(session, origin);
    return session;
  }

  #optionsFor({ client, address }: ConnectionOrigin): MuxSessionOptions {
    const gate = this.#gate.of(client);
    const windowShare = this.#windows.share(client);
    const own = { config: this.#config, gate, windowShare, role: 'server' } as const;
    return { ...this.#options, ...own, peerAddress: address };
  }

  #enter(session: MuxSession, { peer, client }: ConnectionOrigin): void {
    this.#sessions.add(session);
    session.once('close', () => this.#sessions.delete(session));
    this.emit('session', session, peer, client);
    if (this.#closing !== undefined) void session.close(this.#closing);
  }
}

/** Throws UsageError `ERR_KEYMUX_CONFIG`. */
function configOf({ config, limits, movable }: SessionServerOptions): SessionConfig {
  return sessionConfig({ ...(movable && MOVABLE_CONFIG), ...config, ...limits });
}

/** All links come from the front, which counts its clients itself. */
function carrierOptions(options: SessionServerOptions): CarrierServerOptions {
  return options.behindFront ? { ...options, countedBy: 'connection' } : options;
}
