import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { MovableSession, type MuxSession, SessionServer } from '../src/index.ts';

const sockets: Socket[] = [];

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** A peer that does not close its side when the server does. */
function lingering(port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).resume();
  sockets.push(socket);
  return socket;
}

/** SPDY/3.1, with ID 1. */
const PING = Buffer.from('800300060000000400000001', 'hex');

/** A server with one session. */
async function serving(): Promise<{ server: SessionServer; peer: Socket }> {
  const server = new SessionServer({ movable: true });
  const { port } = (await server.listen({ port: 0, host: '127.0.0.1' })) as AddressInfo;
  const peer = lingering(port);
  const accepted = once(server, 'session');
  peer.write(PING);
  await accepted;
  return { server, peer };
}

/** Has a server go on with a session as another process would hand it over. Returns the peer. */
async function handOverTo(taker: SessionServer): Promise<Socket> {
  const { server } = await serving();
  const movable = new MovableSession([...server.sessions][0] as MuxSession);
  await movable.ready(new AbortController().signal);
  const state = movable.handOver(new Uint8Array(16));
  await server.close();
  const listener = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const peer = lingering((listener.address() as AddressInfo).port);
  const [socket] = (await once(listener, 'connection')) as [Socket];
  listener.close();
  taker.takeOver({ state, socket: () => socket });
  return peer;
}

/** Closes a server; tells whether it is closed once all of these have heard the end of their session, and nothing more can come. */
async function closes(server: SessionServer, peers: readonly Socket[]) {
  let closed = false;
  const done = server.close().then(() => {
    closed = true;
  });
  await Promise.all(peers.map((peer) => once(peer, 'end')));
  for (let i = 0; i < 10; i++) await turn();
  expect(server.sessions.size).toBe(0);
  return { closed: () => closed, done };
}

describe('a server that closes', () => {
  it('waits for connections that end, also if it has stopped listening before', async () => {
    const { server, peer } = await serving();
    await server.stopListening();
    const { closed, done } = await closes(server, [peer]);
    expect(closed()).toBe(false);
    peer.end();
    await done;
  });

  it('waits for those that another process has let in', async () => {
    const server = new SessionServer({ movable: true });
    const peer = await handOverTo(server);
    const { closed, done } = await closes(server, [peer]);
    expect(closed()).toBe(false);
    peer.end();
    await done;
  });

  it('ends sessions that come from another process meanwhile', async () => {
    const { server, peer } = await serving();
    const { done } = await closes(server, [peer]);
    const late = await handOverTo(server);
    await once(late, 'end');
    expect(server.sessions.size).toBe(0);
    late.end();
    peer.end();
    await done;
  });
});
