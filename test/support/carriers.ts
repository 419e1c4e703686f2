import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Duplex, duplexPair } from 'node:stream';
import { Client, connectCarrier, parseAddress } from '@keymux/client';
import { ConnectProxy } from '@keymux/proxy';
import { MuxSession, type MuxSessionOptions, SessionServer, SUBPROTOCOL } from '@keymux/streams';
import WebSocket from 'ws';
import type { Scope } from './scope.ts';

export type SideOptions = Omit<MuxSessionOptions, 'role'>;

export interface SessionPair {
  readonly client: MuxSession;
  readonly server: MuxSession;
}

/** Makes both ends of a session over one kind of carrier. */
export type Connect = (scope: Scope, client: SideOptions, server: SideOptions) => Promise<SessionPair>;

export const overMemory: Connect = async (scope, client, server) => {
  const [near, far] = duplexPair();
  near.once('close', () => far.destroy());
  far.once('close', () => near.destroy());
  const pair = {
    client: new MuxSession(near, { ...client, role: 'client' }),
    server: new MuxSession(far, { ...server, role: 'server' }),
  };
  scope.defer(() => {
    pair.client.destroy();
    pair.server.destroy();
  });
  return pair;
};

/** Listens on `where`, then lets `open` make the client's carrier. */
function overServer(
  where: (scope: Scope) => Promise<{ path: string } | { host: string; port: number }>,
  open: (address: AddressInfo | string, scope: Scope) => Promise<Duplex>,
): Connect {
  return async (scope, client, server) => {
    const listener = new SessionServer(server);
    const address = await listener.listen(await where(scope));
    scope.defer(async () => {
      for (const session of listener.sessions) session.destroy();
      await listener.close();
    });
    const accepted = once(listener, 'session');
    const near = new MuxSession(await open(address, scope), { ...client, role: 'client' });
    scope.defer(() => near.destroy());
    return { client: near, server: ((await accepted) as [MuxSession])[0] };
  };
}

const loopback = async (): Promise<{ host: string; port: number }> => ({ host: '127.0.0.1', port: 0 });
const portOf = (address: AddressInfo | string): number => (address as AddressInfo).port;
const dial = (address: string): Promise<Duplex> => connectCarrier(parseAddress(address));

export const overTcp = overServer(loopback, (address) => dial(`127.0.0.1:${portOf(address)}`));

export const overUnixSocket = overServer(
  async (scope) => ({ path: (await scope.directory())('session.sock') }),
  (address) => dial(`unix:${String(address)}`),
);

export const overWebSocket = overServer(loopback, (address) => dial(`ws://127.0.0.1:${portOf(address)}/`));

/** A peer that is not ours: it cuts the bytes into messages of whatever size, many of a single byte, some empty. */
export const overSlicingWebSocket = overServer(loopback, async (address) => {
  const socket = new WebSocket(`ws://127.0.0.1:${portOf(address)}/`, SUBPROTOCOL);
  const carrier = slicing(socket); // before it opens: messages may come with the handshake
  await once(socket, 'open');
  return carrier;
});

const SIZES = [1, 1, 0, 1, 2, 3, 7, 1, 500, 1, 16_384, 8, 1, 100_000];

function slicing(socket: WebSocket): Duplex {
  let turn = 0;
  const carrier = new Duplex({
    read: () => {
      if (socket.isPaused) socket.resume();
    },
    write: (chunk: Buffer, _encoding, done) => {
      let at = 0;
      while (at < chunk.length) {
        const size = SIZES[turn++ % SIZES.length] as number;
        const rest = at + size >= chunk.length;
        socket.send(chunk.subarray(at, at + size), rest ? () => done() : undefined);
        at += size;
      }
    },
    final: (done) => {
      socket.close();
      done();
    },
    destroy: (error, done) => {
      socket.terminate();
      done(error);
    },
  });
  socket.on('message', (data: Buffer) => carrier.push(data) || socket.pause());
  socket.on('close', () => carrier.push(null));
  socket.on('error', (error) => carrier.destroy(error));
  return carrier;
}

/** A nested session: TCP to a proxy, and through a tunnel of it to the server. */
export const insideTunnel = overServer(loopback, async (address, scope) => {
  const proxy = new ConnectProxy({ allow: ['127.0.0.1:*'] });
  const { port } = (await proxy.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(async () => {
    for (const session of proxy.sessions) session.destroy();
    await proxy.close();
  });
  const outer = await Client.connect(`127.0.0.1:${port}`);
  scope.defer(() => outer.session.destroy());
  return outer.tunnel('127.0.0.1', portOf(address));
});
