import { once } from 'node:events';
import { createServer as createHttpServer, request } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { SUBPROTOCOL } from '@keymux/streams';
import { createWebSocketStream, WebSocket, WebSocketServer } from 'ws';
import type { Scope } from '../support/scope.ts';
import { listen } from '../support/servers.ts';

/** How a peer that is not ours reaches our server, and how it is reached by our client, over one kind of carrier. */
export interface PeerCarrier {
  readonly name: string;
  /** Connects to a port of ours. */
  dial(port: number): Promise<Duplex>;
  /** Listens; returns the address that our client is given. */
  listen(scope: Scope, accept: (carrier: Duplex) => void): Promise<string>;
}

const tcp: PeerCarrier = {
  name: 'TCP',
  dial: async (port) => {
    const socket = connect({ port, host: '127.0.0.1' });
    await once(socket, 'connect');
    return socket;
  },
  listen: async (scope, accept) => `127.0.0.1:${await listen(scope, createServer(accept))}`,
};

const webSocket: PeerCarrier = {
  name: 'a WebSocket',
  dial: async (port) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, SUBPROTOCOL);
    const carrier = createWebSocketStream(socket); // before it opens: frames may come with the handshake
    await once(socket, 'open');
    return carrier;
  },
  listen: async (scope, accept) => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => SUBPROTOCOL });
    server.on('connection', (socket) => accept(createWebSocketStream(socket)));
    scope.defer(() => {
      for (const socket of server.clients) socket.terminate();
      server.close();
    });
    await once(server, 'listening');
    return `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  },
};

const upgrade: PeerCarrier = {
  name: "HTTP's Upgrade",
  dial: async (port) => {
    const headers = { connection: 'keep-alive, Upgrade', upgrade: 'h2c, spdy/3.1' };
    const asked = request({ port, host: '127.0.0.1', headers }).end();
    const [{ statusCode }, socket, head] = await once(asked, 'upgrade');
    if (statusCode !== 101) throw new Error(`no upgrade: ${statusCode}`);
    socket.unshift(head);
    return socket;
  },
  listen: async (scope, accept) => {
    const server = createHttpServer().on('upgrade', (_request, socket: Duplex, head: Buffer) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
      socket.unshift(head);
      accept(socket);
    });
    return `http://127.0.0.1:${await listen(scope, server)}/`;
  },
};

export const PEER_CARRIERS: readonly PeerCarrier[] = [tcp, webSocket, upgrade];
