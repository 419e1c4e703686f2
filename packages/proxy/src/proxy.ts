import { EventEmitter } from 'node:events';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Keeper } from '@keymux/keys';
import { acceptMethods, type Level, UsageError } from '@keymux/session';
import {
  type CloseOptions,
  decodeRequest,
  encodeResponse,
  halfOfDescriptors,
  type ListenTarget,
  MessageError,
  type Movable,
  type Moved,
  type MuxSession,
  type MuxStream,
  Quota,
  type RequestHead,
  SessionServer,
  type SessionServerOptions,
  satisfies,
} from '@keymux/streams';
import { parseDestination } from './authority.ts';
import { DialError, type DialOptions, dial } from './dialer.ts';
import { type ProxyLimits, type TunnelLimits, tunnelLimits } from './limits.ts';
import { isHandedOver, MovableProxySession, type ProxySession, readTunnels } from './movable-proxy.ts';
import { permits } from './permit-open.ts';
import { DestinationPolicy } from './policy.ts';
import { Tunnel } from './tunnel.ts';

export interface ProxyOptions extends Omit<SessionServerOptions, 'keeper'> {
  /** Who holds the keys that clients may use; without one the proxy speaks plain SPDY/3.1. */
  readonly keeper?: Keeper | undefined;
  /** Where clients may connect to; see DestinationPolicy. Empty refuses everything. */
  readonly allow: readonly string[];
  /** The level a CONNECT must come with: `authenticated` by default if there is a keeper, else `none`. */
  readonly level?: Level;
  readonly limits?: Partial<ProxyLimits>;
  readonly lookup?: DialOptions['lookup'];
  /** Take CONNECT as early data, which can be a replay: somebody could have the proxy connect once more. Not by default. */
  readonly earlyConnect?: boolean;
}

/** What happened to a CONNECT. */
export interface ConnectReport {
  readonly peer: string;
  readonly destination: string;
  readonly status: number;
  /** Why it was refused. */
  readonly reason?: string;
  readonly level: Level;
  /** Who asked, as far as a key proves it. */
  readonly identity: string | undefined;
  readonly payloadOutside: boolean;
}

interface ProxyEvents {
  session: [session: MuxSession, peer: string];
  connect: [report: ConnectReport];
  /** A connection was closed at once, because its client or all together have as many as may be. */
  refused: [peer: string];
  /** The listening socket failed. */
  error: [error: Error];
  close: [];
}

/** What decides about a CONNECT. */
interface Rules {
  readonly level: Level;
  readonly policy: DestinationPolicy;
  readonly lookup: DialOptions['lookup'];
  readonly limits: TunnelLimits;
}

/** A CONNECT proxy for keymux and SPDY/3.1 clients. It passes tunnels on as they come and opens none of them. */
export class ConnectProxy extends EventEmitter<ProxyEvents> {
  readonly #server: SessionServer;
  readonly #sessions = new WeakMap<MuxSession, ProxySession>();
  #rules: Rules;
  readonly #tunnels: Quota;
  readonly #dials: Quota;

  /** Throws RuleError if an allow rule cannot be understood, UsageError `ERR_KEYMUX_CONFIG` if a limit is out of its range. */
  constructor(options: ProxyOptions) {
    super();
    this.#rules = rulesOf(options);
    const { limits } = this.#rules;
    this.#tunnels = new Quota(...tunnelsOf(limits));
    this.#dials = new Quota(limits.dials, limits.dialsPerClient);
    this.#server = new SessionServer(serverOptions(options));
    this.#server.on('session', (session, peer, client) => {
      const proxied = { session, peer, client, tunnels: new Set<Tunnel>(), asking: new Set<MuxStream>() };
      this.#sessions.set(session, proxied);
      session.on('stream', (stream) => {
        if (stream.unidirectional) stream.destroy();
        else stream.holdUntil(this.#serve(stream, proxied));
      });
      this.emit('session', session, peer);
    });
    this.#server.on('error', (error) => {
      if (this.listenerCount('error') > 0) this.emit('error', error);
    });
    this.#server.on('refused', (peer) => this.emit('refused', peer));
    this.#server.on('close', () => this.emit('close'));
  }

  get sessions(): ReadonlySet<MuxSession> {
    return this.#server.sessions;
  }

  /**
   * Puts other options into the place of all that it has; what is missing is as by default. Rules, level and bounds of tunnels are for all CONNECTs that
   * come from now on, also in sessions that there are; the rest is for sessions that begin from now on. Nothing that goes on is touched. Throws
   * as the constructor does; all is as it was then.
   */
  reconfigure(options: ProxyOptions): void {
    const rules = rulesOf(options);
    this.#server.reconfigure(serverOptions(options));
    const { limits } = rules;
    this.#tunnels.allow(...tunnelsOf(limits));
    this.#dials.allow(limits.dials, limits.dialsPerClient);
    this.#rules = rules;
  }

  listen(target: ListenTarget): ReturnType<SessionServer['listen']> {
    return this.#server.listen(target);
  }

  /** Takes no more connections, so that only its sessions are left; resolves when those that came before have become sessions or were closed. */
  stopListening(): Promise<void> {
    return this.#server.stopListening();
  }

  /** Stops listening and lets open tunnels end. */
  close(options?: CloseOptions): Promise<void> {
    return this.#server.close(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * A session with all its tunnels, to be handed over to a proxy in another process (spec 13). Connections to destinations go along; a CONNECT that is not
   * answered yet is carried out from the start there. What streams that are over have left for destinations is sent from here still. Throws UsageError
   * `ERR_KEYMUX_HAND_OVER` if the session is not one of this proxy.
   */
  movable(session: MuxSession): Movable {
    const proxied = this.#sessions.get(session);
    if (proxied !== undefined) return new MovableProxySession(proxied);
    throw new UsageError('ERR_KEYMUX_HAND_OVER', 'the session is not one of this proxy');
  }

  /** Goes on with a session that `movable` of a proxy in another process gave; `limited` if it is new, and its client may have too many. Throws UsageError `ERR_KEYMUX_HAND_OVER`. */
  takeOver({ state, socket }: Moved, limited = false): MuxSession {
    const moved = readTunnels(state);
    const session = this.#server.takeOver({ state: moved.state, socket }, limited);
    const proxied = this.#sessions.get(session) as ProxySession;
    for (const { streamId, place, unsent } of moved.tunnels) {
      const stream = session.stream(streamId);
      const destination = socket(place);
      if (stream === undefined) {
        destination.destroy();
        continue;
      }
      this.#tunnels.add(proxied.client);
      destination.once('close', () => this.#tunnels.release(proxied.client));
      const tunnel = this.#join(stream, destination, proxied);
      for (const bytes of unsent) if (!tunnel.write(bytes)) stream.pause();
      if (stream.inheritsOutput) destination.pause();
    }
    for (const stream of session.streams) {
      if (moved.asking.has(stream.id)) stream.holdUntil(this.#serve(stream, proxied));
      else if (stream.responded && stream.listenerCount('data') === 0) stream.resume(); // it was refused, or its tunnel is over
    }
    return session;
  }

  #join(stream: MuxStream, socket: Socket, { tunnels }: ProxySession): Tunnel {
    const tunnel = new Tunnel(stream, socket);
    tunnels.add(tunnel);
    socket.once('close', () => tunnels.delete(tunnel));
    return tunnel;
  }

  async #serve(stream: MuxStream, proxied: ProxySession): Promise<void> {
    const { peer, client, asking } = proxied;
    let destination = '';
    let socket: Socket | undefined;
    asking.add(stream);
    try {
      const request = decodeRequest(stream.headers);
      destination = request.method === 'CONNECT' ? request.path : request.host;
      socket = await this.#connect(request, stream, client);
      if (stream.destroyed) {
        socket.destroy();
        return;
      }
      this.#report(stream, peer, destination, 200);
      stream.respond(encodeResponse(200, 'Connection Established'));
      this.#join(stream, socket, proxied);
    } catch (error) {
      socket?.destroy();
      if (!isHandedOver({ stream })) this.#refuse(stream, peer, destination, error as Error);
    } finally {
      asking.delete(stream);
    }
  }

  /** Answers with the reason. Whatever goes wrong with that must not be more than the end of this stream. */
  #refuse(stream: MuxStream, peer: string, destination: string, error: Error): void {
    const status =
      error instanceof MessageError ? 400 : error instanceof DialError ? error.status : undefined;
    if (status === undefined) {
      stream.destroy(error);
      return;
    }
    try {
      const { message } = error;
      this.#report(stream, peer, destination, status, message);
      stream.respond(encodeResponse(status, STATUS_CODES[status] ?? '', [['keymux-reason', message]]));
      stream.end();
      stream.resume();
    } catch (failure) {
      stream.destroy(failure as Error);
    }
  }

  /** Connects to where a CONNECT wants to go. Throws DialError if it may not, or cannot be reached. */
  async #connect(request: RequestHead, stream: MuxStream, client: string): Promise<Socket> {
    const { head } = stream.security;
    if (request.method !== 'CONNECT') throw new DialError(405, 'this is a CONNECT proxy');
    const { level, policy, lookup, limits } = this.#rules;
    if (!satisfies(head.level, level) || head.key?.authority) {
      throw new DialError(403, `CONNECT must be sealed with a key of this proxy (level ${level})`);
    }
    const destination = parseDestination(request.path);
    if (destination === undefined) throw new DialError(400, 'the destination must be host:port');
    const permitted = head.key?.restrictions?.permitOpen;
    if (permitted !== undefined && !permits(permitted, destination)) {
      throw new DialError(403, `the key of this client does not permit ${request.path}`);
    }
    const gone = new AbortController();
    const abort = (): void => gone.abort();
    stream.once('close', abort);
    const dialing: DialOptions = {
      ...{ policy, timeout: limits.connectTimeout, quota: this.#dials, client, signal: gone.signal },
      ...(lookup ? { lookup } : {}),
    };
    const socket = this.#open(client, () => dial(destination, dialing));
    return socket.finally(() => stream.off('close', abort));
  }

  /** A connection that has a place among those of its client until it is closed. */
  async #open(client: string, connect: () => Promise<Socket>): Promise<Socket> {
    if (!this.#tunnels.take(client)) throw new DialError(503, 'too many tunnels are open');
    try {
      const socket = await connect();
      socket.once('close', () => this.#tunnels.release(client));
      return socket;
    } catch (error) {
      this.#tunnels.release(client);
      throw error;
    }
  }

  #report(stream: MuxStream, peer: string, destination: string, status: number, reason?: string): void {
    const { head } = stream.security;
    this.emit('connect', {
      peer,
      destination,
      status,
      ...(reason === undefined ? {} : { reason }),
      level: head.level,
      identity: head.key?.peer,
      payloadOutside: stream.payloadOutside,
    });
  }
}

/** Throws RuleError, or UsageError `ERR_KEYMUX_CONFIG`. */
function rulesOf({ level, keeper, allow, lookup, limits }: ProxyOptions): Rules {
  return {
    level: level ?? (keeper ? 'authenticated' : 'none'),
    policy: new DestinationPolicy(allow),
    lookup,
    limits: tunnelLimits(limits),
  };
}

function serverOptions(options: ProxyOptions): SessionServerOptions {
  const acceptEarly = acceptMethods(options.earlyConnect ? ['CONNECT'] : []);
  return { ...options, config: { acceptEarly, ...options.config } };
}

/** Tunnels of all clients, and of one. */
function tunnelsOf({ tunnels, tunnelsPerClient }: TunnelLimits): [number, number] {
  return [Math.min(tunnels, halfOfDescriptors()), tunnelsPerClient];
}
