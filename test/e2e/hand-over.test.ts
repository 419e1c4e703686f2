import { createHash, randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import type { HeaderList } from '@keymux/frames';
import { Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { connectSocket, encodeRequest, MuxSession, type MuxStream } from '@keymux/streams';
import { afterEach, expect, test } from 'vitest';
import { type Mover, Movers } from '../support/movers.ts';
import { Scope } from '../support/scope.ts';
import { silentPort, tcpServer } from '../support/servers.ts';

// Two real processes, this one as the relay between them, and a client of this process that notices nothing (spec 13).

const scope = new Scope();
afterEach(() => scope.close());

async function connect(port: number): Promise<MuxSession> {
  const keyring = new Keyring();
  keyring.add(new PreSharedKey(Buffer.alloc(32, 'a key file')), {
    label: 'shared',
    authorities: ['', 'host.test'],
  });
  const keeper = new LocalKeeper({ keyring, anonymous: [''] });
  const session = new MuxSession(await connectSocket({ host: '127.0.0.1', port }), {
    role: 'client',
    keeper,
  });
  scope.defer(() => session.destroy());
  return session;
}

/** Sends to what echoes, in pieces and with pauses, until `stop` is set; resolves with whether all came back. */
async function echo(stream: MuxStream, stop: { set: boolean }): Promise<boolean> {
  const [sent, received] = [createHash('sha256'), createHash('sha256')];
  const answer = collect(stream, (chunk) => received.update(chunk));
  do {
    const piece = randomBytes(2048);
    sent.update(piece);
    if (!stream.write(piece)) await once(stream, 'drain');
    await setTimeout(100);
  } while (!stop.set);
  stream.end();
  await answer;
  return sent.digest('hex') === received.digest('hex');
}

/** All that comes until the end. (An async iterator, as of `stream/consumers`, would end the other direction too.) */
async function collect(stream: Duplex, take: (chunk: Buffer) => void): Promise<void> {
  stream.on('data', take).resume();
  await once(stream, 'end');
}

async function read(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await collect(stream, (chunk) => chunks.push(chunk));
  return Buffer.concat(chunks);
}

/** Moves all sessions back and forth while the streams are at work. */
async function moveWhileEchoing(movers: Movers, streams: readonly MuxStream[], moves: number): Promise<void> {
  const stop = { set: false };
  const echoed = streams.map((stream) => echo(stream, stop));
  for (let move = 0; move < moves; move++)
    expect(await (movers.all[move % 2] as Mover).give()).toEqual(['given']);
  stop.set = true;
  expect(await Promise.all(echoed)).toEqual(streams.map(() => true));
}

const AT_ONCE = { set: true };

test('100 streams, clear and sealed, go on while their session moves back and forth, and lose nothing', async () => {
  const movers = await Movers.start(scope, 'echo');
  const session = await connect(movers.port);
  const key = await session.negotiate({ algorithm: 3, label: 'shared' });
  const streams = Array.from({ length: 100 }, (_, i) =>
    session.openStream([[':path', `/${i}`]], i % 2 === 0 ? { key } : {}),
  );
  await moveWhileEchoing(movers, streams, 6);
  await session.close();
});

test.each([
  ['spiped', 2, 'shared'],
  ['psk-x25519', 3, 'shared'],
  ['anonymous', 5, 'anonymous'],
  ['hybrid', 6, 'shared'],
])('keys of %s go on in the other process, and are renegotiated there', async (_name, algorithm, label) => {
  const movers = await Movers.start(scope, 'echo');
  const [first, second] = movers.all;
  const session = await connect(movers.port);
  const key = await session.confirmed(await session.negotiate({ algorithm, label }));
  expect(await echo(session.openStream([], { key }), AT_ONCE)).toBe(true);
  expect(await first.give()).toEqual(['given']);
  expect(await echo(session.openStream([], { key }), AT_ONCE)).toBe(true);
  const next = await session.renegotiate(key);
  expect(next.generation).toBe(key.generation + 1);
  expect(await second.give()).toEqual(['given']);
  expect(await echo(session.openStream([], { key: next }), AT_ONCE)).toBe(true);
  expect([await first.sessions(), await second.sessions()]).toEqual([1, 0]);
  await session.close();
});

test('a key of psk, which is never renegotiated, goes on in the other process', async () => {
  const movers = await Movers.start(scope, 'echo');
  const session = await connect(movers.port);
  const key = await session.negotiate({ algorithm: 1, label: 'shared' });
  expect(await movers.all[0].give()).toEqual(['given']);
  expect(await echo(session.openStream([], { key }), AT_ONCE)).toBe(true);
  await session.close();
});

/** Opens a tunnel through the proxy. */
async function tunnel(
  session: MuxSession,
  port: number,
  options: Parameters<MuxSession['openStream']>[1] = {},
): Promise<MuxStream> {
  const path = `127.0.0.1:${port}`;
  const stream = session.openStream(
    encodeRequest({ method: 'CONNECT', path, host: path, scheme: '', headers: [] }),
    options,
  );
  await once(stream, 'reply');
  return stream;
}

test('tunnels of a proxy, clear and sealed, go on with their destinations while they move back and forth', async () => {
  const movers = await Movers.start(scope, 'proxy');
  const session = await connect(movers.port);
  const key = await session.negotiate({ algorithm: 3, label: 'shared' });
  const port = await tcpServer(scope, (socket) => socket.pipe(socket));
  const tunnels = await Promise.all(
    Array.from({ length: 30 }, (_, i) =>
      tunnel(session, port, [{}, { key }, { key, payloadOutside: true }][i % 3]),
    ),
  );
  await moveWhileEchoing(movers, tunnels, 6);
  await session.close();
});

test('a tunnel whose sides both stand still keeps what waits in either direction, however often it moves', async () => {
  const movers = await Movers.start(scope, 'proxy');
  const [first, second] = movers.all;
  const session = await connect(movers.port);
  const SIZE = 8 * 1024 * 1024;
  const payload = { up: randomBytes(SIZE), down: randomBytes(SIZE) };
  const destination = new EventEmitter();
  const port = await tcpServer(scope, (socket) => {
    socket.pause();
    socket.write(payload.down);
    destination.emit('socket', socket);
  });
  const connected = once(destination, 'socket') as Promise<[Socket]>;
  const stream = await tunnel(session, port);
  stream.end(payload.up);
  const [socket] = await connected;
  for (const mover of [first, second, first, second, first]) expect(await mover.give()).toEqual(['given']);
  const received = Promise.all([read(stream), read(socket)]);
  socket.end('.');
  const [down, up] = await received;
  expect(up.equals(payload.up)).toBe(true);
  expect(down.equals(Buffer.concat([payload.down, Buffer.from('.')]))).toBe(true);
  await session.close();
});

test.each(['the client', 'the destination'])('a tunnel that %s has ended stays half open', async (who) => {
  const movers = await Movers.start(scope, 'proxy');
  const session = await connect(movers.port);
  const destination = new EventEmitter();
  const port = await tcpServer(scope, (socket) => void destination.emit('socket', socket));
  const connected = once(destination, 'socket') as Promise<[Socket]>;
  const stream = await tunnel(session, port);
  const [socket] = await connected;
  const [ended, open] = who === 'the client' ? [stream, socket] : [socket, stream];
  ended.end('the end');
  expect((await read(open)).toString()).toBe('the end');
  expect(await movers.all[0].give()).toEqual(['given']);
  const rest = read(ended);
  open.end('goes on');
  expect((await rest).toString()).toBe('goes on');
  await session.close();
});

test('a CONNECT that is not answered yet is carried out in the other process', async () => {
  const movers = await Movers.start(scope, 'proxy');
  const session = await connect(movers.port);
  const port = await silentPort(scope);
  const path = `127.0.0.1:${port}`;
  const stream = session.openStream(
    encodeRequest({ method: 'CONNECT', path, host: path, scheme: '', headers: [] }),
  );
  await session.ping(); // it has been heard
  expect(await movers.all[0].give()).toEqual(['given']);
  const [, second] = movers.all;
  expect(await second.sessions()).toBe(1);
  expect(stream.replyHeaders).toBeUndefined();
  const [headers] = (await once(stream, 'reply')) as [HeaderList];
  expect(new Map(headers).get(':status')).toMatch(/^50[24]/);
});

function ask(session: MuxSession, path: string, body: string): Promise<{ process: string; body: string }> {
  const stream = session.openStream(
    encodeRequest({ method: 'POST', path, host: 'host.test', scheme: 'http', headers: [] }),
  );
  const reply = once(stream, 'reply') as Promise<[HeaderList]>;
  stream.end(body);
  return Promise.all([reply, read(stream)]).then(([[headers], answer]) => ({
    process: new Map(headers).get('x-process') ?? '',
    body: answer.toString(),
  }));
}

test('an origin lets requests end that it answers, and gives away those that come meanwhile', async () => {
  const movers = await Movers.start(scope, 'origin');
  const [first, second] = movers.all;
  const session = await connect(movers.port);
  const slow = ask(session, '/slow', 'one');
  await session.ping();
  const given = first.give();
  await movers.accepted();
  const waiting = ask(session, '/', 'two');
  await session.ping();
  expect(await first.sessions()).toBe(1);
  await first.order('answer');
  expect(await given).toEqual(['given']);
  expect(await slow).toEqual({ process: String(first.child.pid), body: 'one' });
  expect(await waiting).toEqual({ process: String(second.child.pid), body: 'two' });
  await session.close();
});

test('an origin whose handler does not end in time keeps the session, and answers what has waited', async () => {
  const movers = await Movers.start(scope, 'origin');
  const [first, second] = movers.all;
  const session = await connect(movers.port);
  const slow = ask(session, '/slow', 'one');
  await session.ping();
  const given = first.give({ timeout: 500 });
  await movers.accepted();
  const waiting = ask(session, '/', 'two');
  expect(await given).toEqual([
    expect.stringMatching(/^kept: .* longer than 500 ms; it goes on where it was$/),
  ]);
  expect(await waiting).toEqual({ process: String(first.child.pid), body: 'two' });
  await first.order('answer');
  expect((await slow).body).toBe('one');
  expect(await second.sessions()).toBe(0);
  expect(await first.give()).toEqual(['given']);
  expect((await ask(session, '/', 'three')).process).toBe(String(second.child.pid));
  await session.close();
});
