import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocket, WebSocketServer } from 'ws';
import { withSignal } from './with-signal.ts';

/** The WebSocket subprotocol (spec 6.2). Tokens cannot contain `/`, so it is not `spdy/3.1`. */
export const SUBPROTOCOL = 'spdy-3.1';
/** Largest WebSocket message that is accepted, in bytes. Messages are slices of a byte stream; this only bounds memory. */
const MAX_MESSAGE = 1024 * 1024;
/** Most frames of a message, and most pieces it may come in: each costs more memory than its byte. 256 bytes each on average are enough for anybody. */
const MAX_PIECES = 4096;
const HANDSHAKE_TIMEOUT = 10_000;

// Compression would leak secrets by length and open the door to inflate bombs; both sides refuse it.
const COMMON = {
  perMessageDeflate: false,
  maxPayload: MAX_MESSAGE,
  maxFragments: MAX_PIECES,
  maxBufferedChunks: MAX_PIECES,
} as const;

/** Opens a WebSocket carrier. Rejects with the error of the connection, or the signal's reason. */
export function connectWebSocket(
  url: string | URL,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Duplex> {
  return withSignal(options.signal, (resolve, reject) => {
    const socket = new WebSocket(url, SUBPROTOCOL, { ...COMMON, handshakeTimeout: HANDSHAKE_TIMEOUT });
    socket.once('error', reject);
    socket.once('open', () => {
      socket.off('error', reject);
      resolve(byteStream(socket));
    });
    return () => socket.terminate();
  });
}

/** Makes carriers of HTTP requests for a WebSocket. */
export class WebSocketAcceptor {
  readonly #server = new WebSocketServer({
    ...COMMON,
    noServer: true,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });

  /** Whether the request leaves room for a session: it offers our subprotocol, or names none at all. */
  takes({ headers }: IncomingMessage): boolean {
    const offered = headers['sec-websocket-protocol'];
    return offered === undefined || offered.split(',').some((name) => name.trim() === SUBPROTOCOL);
  }

  accept(request: IncomingMessage, socket: Duplex, head: Buffer, onCarrier: (carrier: Duplex) => void): void {
    this.#server.handleUpgrade(request, socket, head, (webSocket) => onCarrier(byteStream(webSocket)));
  }
}

/** A WebSocket as a Duplex of bytes. Text messages are no bytes; who sends one is cut off. */
function byteStream(socket: WebSocket): Duplex {
  const stream = createWebSocketStream(socket, { allowHalfOpen: false });
  socket.prependListener('message', (_message, isBinary) => {
    if (!isBinary) stream.destroy(new Error('the peer sent a text message on a WebSocket carrier'));
  });
  return stream;
}
