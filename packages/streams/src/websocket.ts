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
      resolve(createWebSocketStream(socket, { allowHalfOpen: false }));
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
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });
  server.on('upgrade', (request, socket, head) => {
    const { origin } = request.headers;
    if (origin !== undefined && !options.origins.includes(origin)) {
      socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      onCarrier(createWebSocketStream(webSocket, { allowHalfOpen: false }), request);
    });
  });
}
