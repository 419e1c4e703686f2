import { EventEmitter } from 'node:events';
import { STATUS_CODES } from 'node:http';
import type { ListenOptions } from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Keeper, SHARED_KEY_PREFERENCE } from '@keymux/keys';
import type { KeyInfo, Level } from '@keymux/session';
import {
  decodeRequest,
  encodeResponse,
  MessageError,
  type MuxSession,
  type MuxStream,
  NegotiationRejectedError,
  type RequestHead,
  SessionServer,
  type SessionServerOptions,
} from '@keymux/streams';
import { type OriginRequest, type OriginResponse, SealingUnavailableError } from './handler.ts';
import { type HostOptions, Router } from './router.ts';

export interface OriginOptions extends Omit<SessionServerOptions, 'keeper'> {
  readonly keeper?: Keeper | undefined;
  readonly hosts: readonly HostOptions[];
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
  request: [report: RequestReport];
  close: [];
}

/** Serves several hosts over keymux and SPDY/3.1 sessions, each host with its own key. */
export class Origin extends EventEmitter<OriginEvents> {
  readonly #server: SessionServer;
  readonly #router: Router;

  constructor(options: OriginOptions) {
    super();
    this.#router = new Router(options.hosts);
    this.#server = new SessionServer(options);
    this.#server.on('session', (session, peer) => {
      session.on('stream', (stream) => void this.#serve(session, stream, peer));
      this.emit('session', session, peer);
    });
    this.#server.on('close', () => this.emit('close'));
  }

  listen(options: ListenOptions): ReturnType<SessionServer['listen']> {
    return this.#server.listen(options);
  }

  /** Stops listening and lets open streams end. */
  close(): Promise<void> {
    return this.#server.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #serve(session: MuxSession, stream: MuxStream, peer: string): Promise<void> {
    let head: RequestHead | undefined;
    let key: KeyInfo | undefined;
    const answer = async (response: OriginResponse, error?: Error): Promise<void> => {
      if (stream.destroyed) return;
      const { status, headers = [], body } = response;
      const empty = body === undefined || head?.method === 'HEAD';
      stream.respond(encodeResponse(status, STATUS_CODES[status] ?? '', headers), { key, fin: empty });
      const { received, sent } = stream.security;
      const { method = '', host = '', path = '' } = head ?? {};
      const identity = received.key?.peer;
      const failure = error === undefined ? {} : { error };
      this.emit('request', {
        ...{ peer, method, host, path, status, identity },
        ...{ received: received.level, sent: sent.level, ...failure },
      });
      if (!empty) await sendBody(stream, body);
      else if (body instanceof Readable) body.destroy();
    };
    try {
      head = decodeRequest(stream.headers);
      const route = this.#router.find(head, stream.security.received);
      if (typeof route === 'number') return await answer(plain(route, STATUS_CODES[route] ?? ''));
      const request: OriginRequest = {
        ...head,
        body: bodyOf(stream),
        security: stream.security,
        sealAnswer: async () => {
          if (stream.security.received.key === undefined) key ??= await prompt(session, route);
        },
      };
      if (route.sealed) await request.sealAnswer();
      await answer(await route.handler(request));
    } catch (error) {
      const response = explain(error);
      await answer(response, response.status === 500 ? (error as Error) : undefined).catch(() =>
        stream.destroy(),
      );
    }
  }
}

/** The received half as a stream of its own: a handler that reads it to its end must not thereby end the answer. */
function bodyOf(stream: MuxStream): Readable {
  const body = new PassThrough();
  stream.once('error', (error) => body.destroy(error));
  body.once('close', () => stream.resume()); // a handler that stops reading does not want the rest
  body.on('error', () => undefined);
  return stream.pipe(body);
}

/** Negotiates the host's key from the server's side (spec 5.5), once a session. */
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
  return running;
}

const prompted = new WeakMap<MuxSession, Map<string, Promise<KeyInfo>>>();

async function sendBody(stream: MuxStream, body: string | Uint8Array | Readable): Promise<void> {
  if (body instanceof Readable) await pipeline(body, stream).catch(() => stream.destroy());
  else stream.end(body);
}

function explain(error: unknown): OriginResponse {
  if (error instanceof MessageError) return plain(400, error.message);
  const { code } = error as { code?: unknown };
  const unannounced = code === 'ERR_KEYMUX_NOT_ANNOUNCED';
  if (unannounced || error instanceof SealingUnavailableError || error instanceof NegotiationRejectedError) {
    return plain(426, `this page is answered sealed only: ${(error as Error).message}`);
  }
  return plain(500, 'the server failed');
}

function plain(status: number, text: string): OriginResponse {
  return { status, headers: [['content-type', 'text/plain; charset=utf-8']], body: `${text}\n` };
}
