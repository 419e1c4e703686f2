import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { HeaderList } from '@keymux/frames';
import type { Keeper, KeyLog, PeerName } from '@keymux/keys';
import { type KeyInfo, type Level, type SessionConfig, UsageError } from '@keymux/session';
import {
  decodeResponse,
  encodeRequest,
  headerValue,
  MuxSession,
  MuxStream,
  protection,
  type StreamSecurity,
} from '@keymux/streams';
import { connectCarrier, nameOf, parseAddress } from './address.ts';
import type { Cookies } from './cookies.ts';
import { EarlyData } from './early-data.ts';
import { RefusedError } from './errors.ts';
import type { HostMemory } from './host-memory.ts';
import type { HostPolicy } from './host-policy.ts';
import { RequestGuard } from './request-guard.ts';

export interface ClientOptions {
  /** Who holds the long-term keys; without one everything travels in the clear. */
  readonly keeper?: Keeper | undefined;
  readonly config?: Partial<Omit<SessionConfig, 'algorithms'>>;
  /**
   * The host that the user asked for: the identity that the peer proves must be the one that is known for it (spec 9.3). By default what was
   * connected to.
   */
  readonly peerName?: PeerName | undefined;
  /** The least level for each host; by default nothing is required. */
  readonly policy?: HostPolicy | undefined;
  /** Hosts that have demanded sealing; without it nothing is remembered. */
  readonly memory?: HostMemory | undefined;
  /**
   * Methods that may travel as early data under a key that was negotiated so: GET and HEAD by default, CONNECT for tunnels. Others wait until the key is
   * confirmed.
   */
  readonly earlyMethods?: readonly string[];
  /** Cookies to send and to learn; without it there are none. */
  readonly cookies?: Cookies | undefined;
  /** Refuse to send a request without a key: promised where nobody seals the carrier. */
  readonly sealedOnly?: boolean;
  /** Told of each key, with what opens its envelopes; only where somebody has asked for it. */
  readonly keyLog?: KeyLog | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Which key to negotiate, and for whom. */
export interface KeyRequest {
  /** ALG_ID, or several in the order of preference; one that is not listed is never used. */
  readonly algorithm: number | readonly number[];
  readonly label: string;
  /** The host the key is to speak for; empty, the default, for the peer that ends this session itself. */
  readonly authority?: string;
  /** The host that the user asked for with this key; by default that of the session. */
  readonly peerName?: PeerName | undefined;
  /** Take the key as soon as it can seal early data, which the peer may see as a replay. */
  readonly early?: boolean;
}

export interface RequestOptions {
  readonly method?: string;
  /** Host as in a URL. */
  readonly host: string;
  readonly path: string;
  readonly scheme?: string;
  readonly headers?: HeaderList;
  readonly body?: Uint8Array | string | AsyncIterable<Uint8Array>;
  /** The key to seal the request with; without one it travels in the clear. */
  readonly key?: KeyInfo | undefined;
  /**
   * The least level that the answer must have: by default that of the key, `none` without one. An answer that is weaker is
   * not handed out. What the policy or the host itself requires counts besides, for the request too.
   */
  readonly level?: Level;
  /**
   * The least level of a stream that the headers `authorization` and `cookie` may travel on, end to end: `authenticated` by default. `none` lets them travel
   * in the clear.
   */
  readonly credentialLevel?: Level;
  readonly signal?: AbortSignal | undefined;
}

export interface Response {
  readonly status: number;
  readonly reason: string;
  readonly headers: HeaderList;
  readonly body: MuxStream;
  /** Of all that has come so far. */
  readonly security: StreamSecurity;
}

export interface TunnelOptions {
  /** The key to seal the tunnel with, towards the proxy. */
  readonly key?: KeyInfo | undefined;
  /** What runs inside protects itself; do not encrypt its bytes a second time (spec 4.6). */
  readonly selfProtected?: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface InnerSessionOptions extends TunnelOptions {
  /**
   * Do not wait for the proxy's answer, which saves a round trip: what the session says goes out along with the request for the tunnel. If the proxy refuses, calls of
   * the session fail with what `tunnel` would have rejected with. A request that travels as early data, if CONNECT is among `earlyMethods`, is not sent again then.
   */
  readonly eager?: boolean;
}

/** The client side of a session: negotiates keys, makes requests, opens tunnels and sessions inside them. */
export class Client {
  readonly session: MuxSession;
  readonly #options: ClientOptions;
  readonly #depth: number;
  readonly #earlyData: EarlyData;

  constructor(carrier: Duplex, options: ClientOptions = {}) {
    this.#options = options;
    this.#depth = options.config?.depth ?? 0;
    const { keeper, config, peerName, keyLog } = options;
    this.session = new MuxSession(carrier, {
      ...{ role: 'client', keeper, peerName, keyLog },
      ...(config ? { config } : {}),
    });
    this.#earlyData = new EarlyData(this.session, options.earlyMethods);
  }

  /** Connects to `host:port`, `unix:/path`, `ws://…` or `wss://…`. Rejects with AddressError or the system's error. */
  static async connect(address: string, options: ClientOptions = {}): Promise<Client> {
    const parsed = parseAddress(address);
    const peerName = options.peerName ?? nameOf(parsed);
    return new Client(await connectCarrier(parsed, options), { ...options, peerName });
  }

  /** Negotiates a key; see MuxSession.negotiate for what it rejects with. */
  async negotiate(request: KeyRequest, signal?: AbortSignal): Promise<KeyInfo> {
    try {
      return await this.session.negotiate({ ...request, signal });
    } catch (error) {
      throw this.#neverThere ?? error;
    }
  }

  /**
   * Sends a request and waits for the head of the answer. Rejects with LevelError or HostKeyError if request or answer are not protected as required, or the
   * key is another host's; then nothing was sent, or the answer is not used. Also with MessageError if it is no answer, StateFileError or KeyError if what the host
   * demands cannot be remembered, or the stream's error.
   */
  async request(options: RequestOptions): Promise<Response> {
    const { method = 'GET', body, key, signal } = options;
    const repeatable = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
    const send = (current: KeyInfo | undefined) => this.#request({ ...options, key: current });
    try {
      const attempt = { method, key, repeatable, signal, send };
      return await this.#earlyData.send(attempt, ({ body }) => body.destroy());
    } catch (error) {
      throw this.#neverThere ?? error;
    }
  }

  /** Why the tunnel that this session is in was never there, if it was not waited for. */
  get #neverThere(): Error | undefined {
    const { carrier } = this.session;
    if (!(carrier instanceof MuxStream) || carrier.errored === null) return undefined;
    return carrier.replyHeaders === undefined || carrier.errored instanceof RefusedError
      ? carrier.errored
      : undefined;
  }

  #request(options: RequestOptions): Promise<Response> {
    const { method = 'GET', host, path, scheme = 'http', body, key, signal } = options;
    this.#requireKey(key);
    const guard = new RequestGuard(options, this.#options);
    guard.checkRequest();
    const headers = this.#withCookies(options, guard);
    const stream = this.session.openStream(encodeRequest({ method, path, host, scheme, headers }), {
      key,
      fin: body === undefined,
      signal,
    });
    if (body !== undefined) void sendBody(stream, body);
    return this.#answer(stream, guard, options);
  }

  #requireKey(key: KeyInfo | undefined): void {
    if (key !== undefined || !this.#options.sealedOnly) return;
    throw new UsageError(
      'ERR_KEYMUX_SEALED_ONLY',
      'this session was promised to send nothing in the clear: give a key',
    );
  }

  /** What the jar has for this request, unless the caller has set the header himself. */
  #withCookies({ headers = [], path, key }: RequestOptions, { hostname }: RequestGuard): HeaderList {
    if (headers.some(([name]) => name.toLowerCase() === 'cookie')) return headers;
    const value = this.#options.cookies?.headerFor({ hostname, path }, protection(key));
    return value === undefined ? headers : [...headers, ['cookie', value]];
  }

  async #answer(stream: MuxStream, guard: RequestGuard, { path, signal }: RequestOptions): Promise<Response> {
    await replied(stream, signal);
    try {
      const head = decodeResponse(stream.replyHeaders ?? []);
      guard.checkAnswer(stream);
      stream.on('switched', () => {
        try {
          guard.checkAnswer(stream);
        } catch (error) {
          stream.destroy(error as Error);
        }
      });
      const { memory, cookies } = this.#options;
      const { hostname } = guard;
      await memory?.learn(hostname, head.headers, stream.security.head);
      await cookies?.learn({ hostname, path }, head.headers, stream.security.head);
      return {
        ...head,
        body: stream,
        get security() {
          return stream.security;
        },
      };
    } catch (error) {
      stream.destroy();
      throw error;
    }
  }

  /** Opens a tunnel through the proxy at the other end. Rejects with RefusedError if it is refused, or the stream's error. */
  async tunnel(host: string, port: number, options: TunnelOptions = {}): Promise<MuxStream> {
    const { key, signal } = options;
    this.#requireKey(key);
    const destination = destinationOf(host, port);
    const send = async (current: KeyInfo | undefined) => {
      const stream = this.#openTunnel(destination, current, options);
      await replied(stream, signal);
      return { stream, status: decodeResponse(stream.replyHeaders ?? []).status };
    };
    const attempt = { method: 'CONNECT', key, repeatable: true, signal, send };
    const { stream } = await this.#earlyData.send(attempt, ({ stream }) => stream.destroy());
    const refusal = refusalOf(stream, destination);
    if (refusal === undefined) return stream;
    stream.destroy();
    throw refusal;
  }

  #openTunnel(
    destination: string,
    key: KeyInfo | undefined,
    { selfProtected = false, signal }: TunnelOptions,
  ): MuxStream {
    const payloadOutside = selfProtected && key !== undefined;
    return this.session.openStream(connectHead(destination), { key, payloadOutside, signal });
  }

  /** A tunnel that the proxy has yet to answer for; it is destroyed with RefusedError if that refuses. */
  async #openEagerly(host: string, port: number, options: TunnelOptions): Promise<MuxStream> {
    this.#requireKey(options.key);
    const destination = destinationOf(host, port);
    const key = await this.#earlyData.keyFor('CONNECT', options.key, options.signal);
    const stream = this.#openTunnel(destination, key, options);
    stream.once('reply', () => {
      try {
        const refusal = refusalOf(stream, destination);
        if (refusal !== undefined) stream.destroy(refusal);
      } catch (error) {
        stream.destroy(error as Error);
      }
    });
    return stream;
  }

  /**
   * Opens a session of its own inside a tunnel, end to end with what listens at `host:port`; the proxy can read nothing
   * that is sealed in it. `selfProtected` saves the second encryption; the session then refuses to send anything in the clear.
   */
  async through(
    host: string,
    port: number,
    tunnel: InnerSessionOptions = {},
    options: ClientOptions = {},
  ): Promise<Client> {
    const carrier = await (tunnel.eager
      ? this.#openEagerly(host, port, tunnel)
      : this.tunnel(host, port, tunnel));
    const sealedOnly = tunnel.selfProtected ?? false;
    const merged = { ...this.#options, sealedOnly, peerName: { host, port }, ...options };
    return new Client(carrier, { ...merged, config: { ...merged.config, depth: this.#depth + 1 } });
  }

  /** Lets open streams end, then closes the session. */
  close(): Promise<void> {
    return this.session.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function destinationOf(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Why there is no tunnel; undefined if there is. Throws MessageError if the proxy has not answered as it should. */
function refusalOf({ replyHeaders = [] }: MuxStream, destination: string): RefusedError | undefined {
  const { status, headers } = decodeResponse(replyHeaders);
  if (status === 200) return undefined;
  return new RefusedError(destination, status, headerValue(headers, 'keymux-reason') ?? '');
}

function connectHead(destination: string): HeaderList {
  return [
    [':method', 'CONNECT'],
    [':path', destination],
    [':host', destination],
    [':version', 'HTTP/1.1'],
  ];
}

/** Waits for the reply of a stream; rejects with the stream's error if it ends without one, or the signal's reason. */
async function replied(stream: MuxStream, signal: AbortSignal | undefined): Promise<void> {
  if (stream.replyHeaders !== undefined) return;
  const over = new AbortController();
  const closed = (): void =>
    over.abort(stream.errored ?? new RefusedError(`stream ${stream.id}`, 0, 'no answer'));
  stream.once('close', closed);
  try {
    await once(stream, 'reply', { signal: signal ? AbortSignal.any([signal, over.signal]) : over.signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw over.signal.aborted ? (over.signal.reason as Error) : error;
  } finally {
    stream.off('close', closed);
  }
}

async function sendBody(
  stream: MuxStream,
  body: Uint8Array | string | AsyncIterable<Uint8Array>,
): Promise<void> {
  if (typeof body === 'string' || body instanceof Uint8Array) {
    stream.end(body);
    return;
  }
  // It also lets go of the body when the stream is over before its time.
  await pipeline(body, stream).catch((error: Error) => stream.destroy(error));
}
