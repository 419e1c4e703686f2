import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { acceptUpgrade, offers, UPGRADE_TOKEN } from './http-upgrade.ts';
import { WebSocketAcceptor } from './websocket.ts';

/**
 * An HTTP server that makes carriers of the requests that ask for one: a WebSocket (spec 6.2) or an upgrade to SPDY/3.1 (6.3). A request
 * with an Origin header comes from a web page; it is refused unless its origin is listed at that moment, so that no page can drive a
 * visitor's browser to this port.
 */
export function httpCarriers(
  origins: () => readonly string[],
  onCarrier: (carrier: Duplex, request: IncomingMessage) => void,
): Server {
  const server = createServer((_request, response) => {
    response.writeHead(426, { connection: 'close', upgrade: UPGRADE_TOKEN, 'content-type': 'text/plain' });
    response.end(
      'This port speaks SPDY/3.1: plainly, over a WebSocket with subprotocol spdy-3.1, or after an upgrade to SPDY/3.1.\n',
    );
  });
  const webSockets = new WebSocketAcceptor();
  server.on('upgrade', (request, socket, head) => {
    const { origin } = request.headers;
    if (origin !== undefined && !origins().includes(origin)) refuse(socket, '403 Forbidden');
    else if (hasBody(request)) refuse(socket, '400 Bad Request');
    else if (offers(request, UPGRADE_TOKEN)) onCarrier(acceptUpgrade(socket, head), request);
    else if (!webSockets.takes(request)) refuse(socket, '400 Bad Request');
    else webSockets.accept(request, socket, head, (carrier) => onCarrier(carrier, request));
  });
  return server;
}

/** Its bytes would be taken for the beginning of the session. */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0;
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
