import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocket, WebSocketServer } from 'ws';
import { withSignal } from './with-signal.ts';

/** The WebSocket subprotocol (spec 6.2). Tokens cannot contain `/`, so it is not `spdy/3.1`. */
export const SUBPROTOCOL = 'spdy-3.1';
/** Largest WebSocket message that is accepted, in bytes. Messages are slices of a byte stream; this only bounds memory. */
const MAX_MESSAGE = 1024 * 1024;
const HANDSHAKE_TIMEOUT = 10_000;

// Compression would leak secrets by length and open the door to inflate bombs; both sides refuse it.
const COMMON = { perMessageDeflate: false, maxPayload: MAX_MESSAGE } as const;

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

/**
 * Accepts WebSocket carriers on an HTTP server. A request with an Origin header comes from a web page; it is refused
 * unless its origin is listed, so that no page can drive a visitor's browser to this port.
 */
export function acceptWebSockets(
  server: Server,
  options: { readonly origins: readonly string[] },
  onCarrier: (carrier: Duplex, request: IncomingMessage) => void,
): void {
  const sockets = new WebSocketServer({
    ...COMMON,
    noServer: true,
    handleProtocols: () => SUBPROTOCOL,
  });
  server.on('upgrade', (request, socket, head) => {
    const { origin } = request.headers;
    if (origin !== undefined && !options.origins.includes(origin)) {
      refuseUpgrade(socket, '403 Forbidden');
      return;
    }
    if (!offersSubprotocol(request)) {
      refuseUpgrade(socket, '400 Bad Request');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => onCarrier(byteStream(webSocket), request));
  });
}

/** A WebSocket as a Duplex of bytes. Text messages are no bytes; who sends one is cut off. */
function byteStream(socket: WebSocket): Duplex {
  const stream = createWebSocketStream(socket, { allowHalfOpen: false });
  socket.prependListener('message', (_message, isBinary) => {
    if (!isBinary) stream.destroy(new Error('the peer sent a text message on a WebSocket carrier'));
  });
  return stream;
}

function offersSubprotocol(request: IncomingMessage): boolean {
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',');
  return offered.some((name) => name.trim() === SUBPROTOCOL);
}

function refuseUpgrade(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
