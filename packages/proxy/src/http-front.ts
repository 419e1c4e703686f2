import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { Duplex } from 'node:stream';
import { isHopByHop } from '@keymux/streams';
import { type Destination, parseDestination } from './authority.ts';
import { joinStreams } from './tunnel.ts';

/** Opens a tunnel to a destination. Rejects with an error that may have an HTTP `status`. */
export type OpenTunnel = (destination: Destination, signal: AbortSignal) => Promise<Duplex>;

/**
 * An ordinary HTTP/1.1 proxy for local programs: CONNECT, and absolute `http://` URLs. Everything goes through tunnels that `open` makes.
 * It must listen on loopback only: who reaches it can use the tunnels. `headTimeout` is how long the head of a request may take, in milliseconds;
 * 10,000 by default.
 */
export function createHttpFront(open: OpenTunnel, options: { readonly headTimeout?: number } = {}): Server {
  const { headTimeout = HEAD_TIMEOUT } = options;
  const server = createServer(
    {
      joinDuplicateHeaders: false,
      headersTimeout: headTimeout,
      requestTimeout: 0, // bodies take as long as they take
      connectionsCheckingInterval: headTimeout / 10,
    },
    (request, response) => void forward(open, request, response),
  );
  server.on(
    'connect',
    (request: IncomingMessage, socket: Duplex, head: Buffer) => void tunnel(open, request, socket, head),
  );
  return server;
}

/** How long the head of a request may take, in milliseconds; the first is waited for from the beginning of the connection. */
const HEAD_TIMEOUT = 10_000;

async function tunnel(
  open: OpenTunnel,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  socket.on('error', () => socket.destroy());
  const destination = parseDestination(request.url ?? '');
  if (destination === undefined) return refuse(socket, 400, 'CONNECT needs host:port');
  const gone = new AbortController();
  const abort = (): void => gone.abort(new Error('the local program went away'));
  socket.once('close', abort);
  try {
    const stream = await open(destination, gone.signal);
    socket.off('close', abort);
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    if (head.length > 0) socket.unshift(head);
    joinStreams(socket, stream);
  } catch (error) {
    refuse(socket, statusOf(error), (error as Error).message);
  }
}

async function forward(open: OpenTunnel, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = URL.canParse(request.url ?? '') ? new URL(request.url as string) : undefined;
  const destination =
    url?.protocol === 'http:' ? parseDestination(`${url.hostname}:${url.port || 80}`) : undefined;
  if (url === undefined || destination === undefined) {
    return answer(response, 400, 'this is an HTTP proxy: send absolute http:// URLs, or CONNECT');
  }
  const coding = request.headers['transfer-encoding']?.toLowerCase() ?? 'chunked';
  if (coding !== 'chunked') return answer(response, 501, `transfer coding ${coding} is not supported`);
  const gone = new AbortController();
  response.once('close', () => gone.abort(new Error('the local program went away')));
  let stream: Duplex | undefined;
  try {
    stream = await open(destination, gone.signal);
    const outgoing = httpRequest({
      createConnection: () => stream as never,
      method: request.method ?? 'GET',
      path: url.pathname + url.search,
      headers: endToEndHeaders(request, url.host),
      setHost: false,
      signal: gone.signal,
    });
    outgoing.on('response', (incoming) => {
      incoming.on('error', () => response.destroy());
      try {
        const { statusCode = 0, rawHeaders } = incoming;
        if (statusCode < 200) throw new Error('an answer that is none, or that nobody asked for');
        response.writeHead(statusCode, endToEndPairs(rawHeaders)); // without the status text: it may hold anything
        incoming.pipe(response);
      } catch {
        outgoing.destroy();
        answer(response, 502, 'the destination did not answer in valid HTTP');
      }
    });
    outgoing.on('error', (error) =>
      response.headersSent ? response.destroy() : answer(response, 502, error.message),
    );
    // A switch to another protocol, which nobody asked for, ends it without more.
    outgoing.on('close', () => answer(response, 502, 'the destination did not answer'));
    request.pipe(outgoing);
  } catch (error) {
    stream?.destroy();
    answer(response, statusOf(error), (error as Error).message);
  }
}

/** The body is delimited as it came, whatever the method: else the destination could take it for a second request. */
function endToEndHeaders(request: IncomingMessage, host: string): string[] {
  const chunked = request.headers['transfer-encoding'] !== undefined;
  const framing = chunked ? ['Transfer-Encoding', 'chunked'] : [];
  return ['Host', host, ...endToEndPairs(request.rawHeaders, chunked), ...framing, 'Connection', 'close'];
}

/** Headers without those of this hop: the known ones and what `Connection` names (RFC 9110, 7.6.1), but never the length. */
function endToEndPairs(raw: readonly string[], chunked = false): string[] {
  const pairs = Array.from(
    { length: raw.length / 2 },
    (_, i) => [raw[2 * i] as string, raw[2 * i + 1] as string] as const,
  );
  const named = pairs
    .filter(([name]) => name.toLowerCase() === 'connection')
    .flatMap(([, value]) => value.split(',').map((token) => token.trim().toLowerCase()));
  const stays = (name: string): boolean =>
    name === 'content-length' ? !chunked : !isHopByHop(name) && !named.includes(name);
  return pairs.filter(([name]) => stays(name.toLowerCase())).flat();
}

/** A refusal must look like one: any other status after CONNECT means a tunnel, or an answer that is still to come. */
function statusOf(error: unknown): number {
  const status = (error as { status?: unknown }).status;
  return typeof status === 'number' && status >= 400 && status in STATUS_CODES ? status : 502;
}

function answer(response: ServerResponse, status: number, reason: string): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
  response.end(`keymux: ${reason}\n`);
}

function refuse(socket: Duplex, status: number, reason: string): void {
  if (socket.destroyed) return;
  const body = `keymux: ${reason}\n`;
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
