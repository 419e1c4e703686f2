import { EventEmitter } from 'node:events';
import { STATUS_CODES } from 'node:http';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Keeper, SHARED_KEY_PREFERENCE } from '@keymux/keys';
import { acceptMethods, type KeyInfo, type Level, SAFE_METHODS, UsageError } from '@keymux/session';
import {
  type CloseOptions,
  decodeRequest,
  encodeResponse,
  type ListenTarget,
  MessageError,
  type Movable,
  type Moved,
  type MuxSession,
  type MuxStream,
  NegotiationRejectedError,
  protection,
  type RequestHead,
  SessionServer,
  type SessionServerOptions,
} from '@keymux/streams';
import { type Demand, demandHeaders, SEALED_DEMAND } from './demand.ts';
import { type OriginRequest, type OriginResponse, SealingUnavailableError } from './handler.ts';
import { OriginSession } from './movable-origin.ts';
import { type HostOptions, Router } from './router.ts';

export interface OriginOptions extends Omit<SessionServerOptions, 'keeper'> {
  readonly keeper?: Keeper | undefined;
  readonly hosts: readonly HostOptions[];
  /**
   * Methods of requests that are taken as early data, which can be replays; `request.security.early` tells. GET and HEAD by default; a client sends refused
   * ones again when they cannot be. A handler that wants that for one request answers with 425.
   */
  readonly earlyMethods?: readonly string[];
}

/** What became of a request. */
export interface RequestReport {
  readonly peer: string;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly status: number;
  /** Level of the request and of the answer. */
  readonly received: Level;
  readonly sent: Level;
  readonly identity: string | undefined;
  readonly error?: Error;
}

interface OriginEvents {
  session: [session: MuxSession, peer: string];
  /** A connection was closed at once, because its client or all together have as many as may be. */
  refused: [peer: string];
  request: [report: RequestReport];
  /** The body of an answer could not be read to its end; the client sees a reset. */
  failure: [error: Error, report: RequestReport];
  /** The listening socket failed. */
  error: [error: Error];
  close: [];
}

/** Serves several hosts over keymux and SPDY/3.1 sessions, each host with its own key. */
export class Origin extends EventEmitter<OriginEvents> {
  readonly #server: SessionServer;
  readonly #sessions = new WeakMap<MuxSession, OriginSession>();
  #router: Router;

  constructor(options: OriginOptions) {
    super();
    this.#router = new Router(options.hosts);
    this.#server = new SessionServer(serverOptions(options));
    this.#server.on('session', (session, peer) => {
      const served = new OriginSession(session);
      this.#sessions.set(session, served);
      session.on('stream', (stream) => {
        if (stream.unidirectional) stream.destroy();
        else stream.holdUntil(served.answers(this.#serve(session, stream, peer)));
      });
      this.emit('session', session, peer);
    });
    this.#server.on('error', (error) => {
      if (this.listenerCount('error') > 0) this.emit('error', error);
    });
    this.#server.on('refused', (peer) => this.emit('refused', peer));
    this.#server.on('close', () => this.emit('close'));
  }

  /**
   * Puts other options into the place of all that it has; what is missing is as by default. Hosts are those of all requests that come from now on,
   * also in sessions that there are; the rest is for sessions that begin from now on. Nothing that goes on is touched. Throws UsageError
   * `ERR_KEYMUX_CONFIG` as the constructor does; all is as it was then.
   */
  reconfigure(options: OriginOptions): void {
    const router = new Router(options.hosts);
    this.#server.reconfigure(serverOptions(options));
    this.#router = router;
  }

  get sessions(): ReadonlySet<MuxSession> {
    return this.#server.sessions;
  }

  /**
   * A session to be handed over to an origin in another process (spec 13). From the first attempt on new requests wait, until those that are being answered are
   * done; then they go along. If the attempt fails before the session has left, they are answered here. Throws UsageError `ERR_KEYMUX_HAND_OVER` if the
   * session is not one of this origin.
   */
  movable(session: MuxSession): Movable {
    const served = this.#sessions.get(session);
    if (served !== undefined) return served;
    throw new UsageError('ERR_KEYMUX_HAND_OVER', 'the session is not one of this origin');
  }

  /** Goes on with a session that `movable` of an origin in another process gave; `limited` if it is new, and its client may have too many. Throws UsageError `ERR_KEYMUX_HAND_OVER`. */
  takeOver(moved: Moved, limited = false): MuxSession {
    const session = this.#server.takeOver(moved, limited);
    // What still comes of requests that were answered is not wanted.
    for (const stream of session.streams) if (stream.responded) stream.resume();
    return session;
  }

  listen(target: ListenTarget): ReturnType<SessionServer['listen']> {
    return this.#server.listen(target);
  }

  /** Takes no more connections, so that only its sessions are left; resolves when those that came before have become sessions or were closed. */
  stopListening(): Promise<void> {
    return this.#server.stopListening();
  }

  /** Stops listening and lets open streams end. */
  close(options?: CloseOptions): Promise<void> {
    return this.#server.close(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #serve(session: MuxSession, stream: MuxStream, peer: string): Promise<void> {
    let head: RequestHead | undefined;
    let key: KeyInfo | undefined;
    let demand: Demand | undefined;
    let received: Readable = stream;
    const answer = async (response: OriginResponse, error?: Error): Promise<void> => {
      if (stream.destroyed) return;
      const { status, headers = [], body } = response;
      const demanded = demandHeaders(demand, protection(key ?? stream.security.head.key));
      const empty = body === undefined || head?.method === 'HEAD';
      stream.respond(encodeResponse(status, STATUS_CODES[status] ?? '', [...headers, ...demanded]), {
        key,
        fin: empty,
      });
      const report = reportOf(stream, peer, head, status);
      this.emit('request', error === undefined ? report : { ...report, error });
      if (empty) return;
      const failure = await sendBody(stream, body);
      if (failure !== undefined) this.emit('failure', failure, report);
    };
    try {
      head = decodeRequest(stream.headers);
      // It would be answered with a body that nothing protects, under a head that says otherwise (spec 4.6).
      if (stream.payloadOutside)
        return await answer(plain(400, 'only tunnels have their payload outside envelopes'));
      const route = this.#router.find(head, stream.security.head);
      if (typeof route === 'number') return await answer(plain(route, STATUS_CODES[route] ?? ''));
      demand = route.demand ?? (route.sealed ? SEALED_DEMAND : undefined);
      received = bodyOf(stream);
      const request: OriginRequest = {
        ...head,
        body: received,
        get security() {
          return stream.security;
        },
        sealAnswer: async () => {
          if (stream.security.head.key === undefined || route.keyEachWay)
            key ??= await prompt(session, route);
        },
      };
      if (route.sealed || (route.keyEachWay && stream.security.head.key)) await request.sealAnswer();
      const response = await route.handler(request);
      await answer(response).finally(() => discard(response.body));
    } catch (error) {
      const response = explain(error);
      await answer(response, response.status === 500 ? asError(error) : undefined).catch(() =>
        stream.destroy(),
      );
    } finally {
      // What the handler has not read would keep its window, and the stream open.
      if (received === stream) stream.resume();
      else received.destroy();
    }
  }
}

function serverOptions(options: OriginOptions): SessionServerOptions {
  const { earlyMethods = SAFE_METHODS, config } = options;
  return { ...options, config: { acceptEarly: acceptMethods(earlyMethods), ...config } };
}

function reportOf(
  stream: MuxStream,
  peer: string,
  head: RequestHead | undefined,
  status: number,
): RequestReport {
  const { received, sent } = stream.security;
  const { method = '', host = '', path = '' } = head ?? {};
  const levels = { received: received.level, sent: sent.level };
  return { peer, method, host, path, status, identity: received.key?.peer, ...levels };
}

/** The received half as a stream of its own: a handler that reads it to its end must not thereby end the answer. */
function bodyOf(stream: MuxStream): Readable {
  const body = stream.pipe(new PassThrough());
  stream.once('error', (error) => body.destroy(error));
  // A handler that stops reading does not want the rest. After `pipe` has let go, which stops the flow.
  body.once('close', () => stream.resume());
  body.on('error', () => undefined);
  return body;
}

/** Negotiates the host's key from the server's side (spec 5.5), once a session unless the client refuses or retires it. */
async function prompt(session: MuxSession, host: HostOptions): Promise<KeyInfo> {
  const { promptLabel: label, name: authority, promptAlgorithm: algorithm = SHARED_KEY_PREFERENCE } = host;
  if (label === undefined) throw new SealingUnavailableError(`host ${authority} has no key to prompt with`);
  if (session.peerAlgorithms === undefined) {
    throw new SealingUnavailableError('the client has not announced key negotiation');
  }
  const known = prompted.get(session) ?? new Map<string, Promise<KeyInfo>>();
  prompted.set(session, known);
  const running = known.get(authority) ?? session.negotiate({ algorithm, label, authority });
  known.set(authority, running);
  const forget = (): void => {
    if (known.get(authority) === running) known.delete(authority);
  };
  running.catch(forget); // the next request may try again
  const key = await running;
  if (session.key(key.keyId) !== undefined) return key;
  forget(); // the client has retired it
  return prompt(session, host);
}

const prompted = new WeakMap<MuxSession, Map<string, Promise<KeyInfo>>>();

/** Sends the body; returns why it could not be read to its end. A peer that goes away is no failure. */
async function sendBody(stream: MuxStream, body: string | Uint8Array | Readable): Promise<Error | undefined> {
  if (!(body instanceof Readable)) {
    stream.end(body);
    return undefined;
  }
  let failure: Error | undefined;
  body.once('error', (error) => {
    if (!stream.destroyed) failure = error;
  });
  await pipeline(body, stream).catch(() => stream.destroy());
  return failure;
}

/** Lets go of what is not sent, or not to its end: it may hold a file. */
function discard(body: OriginResponse['body']): void {
  if (!(body instanceof Readable)) return;
  body.on('error', () => undefined);
  body.destroy();
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new Error('the handler threw what is no error', { cause: thrown });
}

function explain(error: unknown): OriginResponse {
  if (error instanceof MessageError) return plain(400, error.message);
  const { code } = Object(error) as { code?: unknown }; // a handler can throw anything
  const unannounced = code === 'ERR_KEYMUX_NOT_ANNOUNCED';
  if (unannounced || error instanceof SealingUnavailableError || error instanceof NegotiationRejectedError) {
    return plain(426, `this page is answered sealed only: ${(error as Error).message}`);
  }
  return plain(500, 'the server failed');
}

function plain(status: number, text: string): OriginResponse {
  return { status, headers: [['content-type', 'text/plain; charset=utf-8']], body: `${text}\n` };
}
