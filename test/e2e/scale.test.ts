import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { ALGORITHM, type Keeper, type KeyInfo, Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { connectSocket, MuxSession, type MuxStream, SessionServer } from '@keymux/streams';
import { afterEach, expect, test } from 'vitest';
import { heapInUse } from '../support/garbage.ts';
import { Scope } from '../support/scope.ts';

const KIB = 1024;
const HOST = '127.0.0.1';
const HEADERS = [
  [':method', 'POST'],
  [':path', '/'],
] as const;
const REPLY = [[':status', '200 OK']] as const;
/** More than one client may have by default. */
const NEGOTIATIONS = { runsPerClient: 10_000, keyWork: 1_000_000, keyWorkPerClient: 1_000_000 };
const PSK = new PreSharedKey(Buffer.alloc(32, 'scale'));

const scope = new Scope();
afterEach(() => scope.close());

function keeper(): Keeper {
  const keyring = new Keyring();
  keyring.add(PSK, { authorities: [''] });
  return new LocalKeeper({ keyring });
}

/** A server that says back what comes on its streams. */
async function startServer(maxConcurrentStreams: number): Promise<[SessionServer, number]> {
  const server = new SessionServer({ keeper: keeper(), limits: { maxConcurrentStreams, ...NEGOTIATIONS } });
  server.on('session', (session) =>
    session.on('stream', (stream) => {
      stream.respond(REPLY);
      stream.pipe(stream);
    }),
  );
  const { port } = (await server.listen({ port: 0, host: HOST, backlog: 1024 })) as AddressInfo;
  scope.defer(() => {
    for (const session of server.sessions) session.destroy();
    return server.close();
  });
  return [server, port];
}

interface Session {
  readonly session: MuxSession;
  readonly key: KeyInfo | undefined;
}

async function connect(port: number, sealed: boolean): Promise<Session> {
  const socket = await connectSocket({ port, host: HOST });
  const session = new MuxSession(socket, { role: 'client', keeper: sealed ? keeper() : undefined });
  scope.defer(() => session.destroy());
  const algorithm = ALGORITHM.PSK_X25519;
  return { session, key: sealed ? await session.negotiate({ algorithm, label: PSK.label }) : undefined };
}

async function open({ session, key }: Session, count: number): Promise<MuxStream[]> {
  const streams = Array.from({ length: count }, () => session.openStream(HEADERS, { key }));
  await Promise.all(streams.map((stream) => once(stream, 'reply')));
  return streams;
}

/** Says something on each stream, hears it again, and ends them all. */
function echo(streams: readonly MuxStream[]): Promise<unknown> {
  return Promise.all(
    streams.map(async (stream, index) => {
      const over = finished(stream);
      stream.end(`stream ${index}`);
      expect((await buffer(stream)).toString()).toBe(`stream ${index}`);
      await over;
    }),
  );
}

const countOf = ({ sessions }: SessionServer): number =>
  [...sessions].reduce((sum, { streamCount }) => sum + streamCount, 0);

test.each([
  ['in the clear', false],
  ['sealed', true],
] as const)(
  '10,000 streams of one session, %s, are open at once, cost little, all work, and leave nothing behind',
  async (_how, sealed) => {
    const count = 10_000;
    const [server, port] = await startServer(count);
    const client = await connect(port, sealed);
    await echo(await open(client, 100)); // what is made once is made now
    const before = heapInUse();

    const streams = await open(client, count);
    expect([client.session.streamCount, countOf(server)]).toEqual([count, count]);
    expect(client.session.canOpen).toBe(false);
    const each = (heapInUse() - before) / count;
    expect(each, `${Math.round(each)} bytes for both ends of a stream`).toBeLessThan(12 * KIB);

    await echo(streams);
    expect([client.session.streamCount, countOf(server)]).toEqual([0, 0]);
    expect(client.session.canOpen).toBe(true);
    streams.length = 0;
    const left = (heapInUse() - before) / KIB;
    expect(left, `${Math.round(left)} KiB left`).toBeLessThan(8 * KIB);
  },
);

test('so are 1,000 sessions with 10 streams each, every other one sealed', async () => {
  const [count, each] = [1_000, 10];
  const [server, port] = await startServer(each);
  const start = async (sealed: boolean): Promise<[Session, MuxStream[]]> => {
    const client = await connect(port, sealed);
    return [client, await open(client, each)];
  };
  const end = async (clients: [Session, MuxStream[]][]): Promise<void> => {
    await Promise.all(clients.map(([, streams]) => echo(streams)));
    const sessions = [...server.sessions, ...clients.map(([{ session }]) => session)];
    const closed = sessions.map(({ carrier }) => once(carrier, 'close'));
    await Promise.all(clients.map(([{ session }]) => session.close()));
    await Promise.all(closed);
  };
  await end([await start(true), await start(false)]);
  const before = heapInUse();

  const clients: [Session, MuxStream[]][] = [];
  // Not all at once: on a slow machine the last would have negotiated for too long.
  while (clients.length < count)
    clients.push(...(await Promise.all(Array.from({ length: 50 }, (_, index) => start(index % 2 === 0)))));
  expect([server.sessions.size, countOf(server)]).toEqual([count, count * each]);
  const cost = (heapInUse() - before) / count / KIB;
  expect(cost, `${Math.round(cost)} KiB for both ends of a session`).toBeLessThan(200);

  await end(clients);
  expect(server.sessions.size).toBe(0);
  clients.length = 0;
  await scope.close(); // it knows all clients
  const left = (heapInUse() - before) / KIB;
  expect(left, `${Math.round(left)} KiB left`).toBeLessThan(16 * KIB);
});
