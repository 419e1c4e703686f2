import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { connectCarrier, parseAddress } from '@keymux/client';
import type { HeaderList } from '@keymux/frames';
import { MuxSession, type MuxStream, SessionServer } from '@keymux/streams';
import { connection, type PeerConnection, type PeerStream } from 'spdy-transport';
import { afterEach, describe, expect, test } from 'vitest';
import { hashOf, payload, payloadHash } from '../support/payload.ts';
import { Scope } from '../support/scope.ts';
import { PEER_CARRIERS, type PeerCarrier } from './peer-carriers.ts';

/** Several windows of either side: ours is 256 KiB for a stream, the peer's 1 MiB, the session's 64 KiB at first. */
const BULK = 5 * 2 ** 20 + 4321;
const SUM = { sha256: payloadHash(BULK), bytes: BULK };
const OPTIONS = { protocol: 'spdy', isServer: true } as const;

const scope = new Scope();
afterEach(() => scope.close());

/** Our client, and npm's spdy-transport as the server. */
async function toPeer(carrier: PeerCarrier): Promise<{ ours: MuxSession; peer: PeerConnection }> {
  let peer: PeerConnection | undefined;
  const address = await carrier.listen(scope, (socket) => {
    socket.on('error', () => undefined);
    peer = started(connection.create(socket, OPTIONS));
  });
  const ours = new MuxSession(await connectCarrier(parseAddress(address)), { role: 'client' });
  scope.defer(() => ours.destroy());
  await ours.ping(); // the peer has accepted by then
  return { ours, peer: peer as unknown as PeerConnection };
}

/** Our server, and npm's spdy-transport as the client. */
async function fromPeer(carrier: PeerCarrier): Promise<{ ours: MuxSession; peer: PeerConnection }> {
  const server = new SessionServer();
  const { port } = (await server.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(async () => {
    for (const session of server.sessions) session.destroy();
    await server.close();
  });
  const accepted = once(server, 'session');
  const socket = await carrier.dial(port);
  socket.on('error', () => undefined);
  const peer = started(connection.create(socket, { ...OPTIONS, isServer: false }));
  const [ours] = (await accepted) as [MuxSession];
  return { ours, peer };
}

function started(peer: PeerConnection): PeerConnection {
  peer.on('error', () => undefined);
  peer.start(3.1);
  return peer;
}

const REQUEST: HeaderList = [
  [':method', 'POST'],
  [':path', '/form?a=1'],
  [':host', 'peer.example'],
  [':version', 'HTTP/1.1'],
  [':scheme', 'http'],
  ['x-word', 'word'],
];

const OK: HeaderList = [
  [':status', '200'],
  [':version', 'HTTP/1.1'],
];

async function ask(
  peer: PeerConnection,
  headers: Record<string, string> = {},
  method = 'POST',
): Promise<PeerStream> {
  return new Promise((resolve, reject) => {
    const request = { method, path: '/form?a=1', host: 'peer.example', headers };
    peer.request(request, (error, stream) => (error === null ? resolve(stream) : reject(error)));
  });
}

for (const carrier of PEER_CARRIERS) {
  describe(`our client and the server of spdy-transport, over ${carrier.name}`, () => {
    test('exchange headers', async () => {
      const { ours, peer } = await toPeer(carrier);
      const asked = once(peer, 'stream');
      const near = ours.openStream(REQUEST);
      const [far] = (await asked) as [PeerStream];
      expect(far).toMatchObject({ method: 'POST', path: '/form?a=1', host: 'peer.example' });
      expect(far.headers).toMatchObject({ 'x-word': 'word' });
      far.respond(203, { 'x-answer': 'yes', 'set-cookie': 'a=1' });
      const [reply] = await once(near, 'reply');
      expect(Object.fromEntries(reply)).toMatchObject({
        ':status': '203 Non-Authoritative Information',
        'x-answer': 'yes',
        'set-cookie': 'a=1',
      });
      const trailers = once(near, 'headers');
      far.sendHeaders({ 'x-trailer': 'late' });
      expect(Object.fromEntries((await trailers)[0])).toMatchObject({ 'x-trailer': 'late' });
      const theirs = once(far, 'headers');
      near.sendHeaders([['x-more', 'of ours']]);
      expect((await theirs)[0]).toMatchObject({ 'x-more': 'of ours' });
      near.end();
      far.end();
      expect(await text(near)).toBe('');
    });

    test('exchange bodies of several windows at the same time', async () => {
      const { ours, peer } = await toPeer(carrier);
      const received = new Promise((resolve) => {
        peer.on('stream', (far: PeerStream) => {
          far.respond(200, {});
          payload(BULK).pipe(far);
          resolve(hashOfPeer(far));
        });
      });
      const near = ours.openStream(REQUEST);
      payload(BULK).pipe(near);
      expect(await Promise.all([hashOf(near), received])).toEqual([SUM, SUM]);
    });

    test('keep 100 streams apart', async () => {
      const { ours, peer } = await toPeer(carrier);
      peer.on('stream', (far: PeerStream) => {
        far.respond(200, {});
        far.pipe(far);
      });
      const bodies = Array.from({ length: 100 }, (_, index) => Buffer.alloc(1_000 + 700 * index, index));
      const streams = bodies.map(() => ours.openStream(REQUEST));
      expect(ours.streamCount).toBe(100);
      const echoes = streams.map((stream) => buffer(stream));
      for (const [index, stream] of streams.entries()) stream.end(bodies[index]);
      expect(
        (await Promise.all(echoes)).map((echo, index) => echo.equals(bodies[index] as Buffer)),
      ).not.toContain(false);
    });

    test('reset single streams, either way', async () => {
      const { ours, peer } = await toPeer(carrier);
      const asked = once(peer, 'stream');
      const first = ours.openStream(REQUEST);
      const [far] = (await asked) as [PeerStream];
      const aborted = once(far, 'close');
      first.destroy();
      expect(String((await aborted)[0])).toContain('CANCEL');

      peer.once('stream', (stream: PeerStream) => stream.abort('REFUSED_STREAM'));
      await expect(finished(ours.openStream(REQUEST))).rejects.toMatchObject({ status: 3, origin: 'remote' });

      peer.on('stream', (stream: PeerStream) => stream.respond(200, {}) ?? stream.pipe(stream));
      const third = ours.openStream(REQUEST);
      third.end('unharmed');
      expect(await text(third)).toBe('unharmed');
    });

    test('answer PINGs', async () => {
      const { ours, peer } = await toPeer(carrier);
      await new Promise((resolve, reject) =>
        peer.ping((error) => (error ? reject(error) : resolve(undefined))),
      );
      expect(await ours.ping()).toBeGreaterThanOrEqual(0);
    });

    test('part with GOAWAY when the open streams have ended, the server beginning', async () => {
      const { ours, peer } = await toPeer(carrier);
      const asked = once(peer, 'stream');
      const near = ours.openStream(REQUEST);
      const [far] = (await asked) as [PeerStream];
      far.respond(200, {});
      const leaving = once(ours, 'goaway');
      peer.end();
      expect(await leaving).toEqual([0]);
      expect(ours.canOpen).toBe(false);
      far.end('last words'); // it would drop them if the stream ended with them
      expect(await text(near.iterator({ destroyOnReturn: false }) as never)).toBe('last words');
      near.end();
      expect(await ours.closed).toBeUndefined();
    });

    test('part with GOAWAY, the client beginning', async () => {
      const { ours, peer } = await toPeer(carrier);
      const closed = once(peer, 'close');
      await ours.close();
      expect(await ours.closed).toBeUndefined();
      await closed;
    });
  });

  describe(`the client of spdy-transport and our server, over ${carrier.name}`, () => {
    test('exchange headers', async () => {
      const { ours, peer } = await fromPeer(carrier);
      const asked = once(ours, 'stream');
      const near = await ask(peer, { 'x-word': 'word', cookie: 'a=1' });
      const [far] = (await asked) as [MuxStream];
      expect(Object.fromEntries(far.headers)).toMatchObject({
        ':method': 'POST',
        ':path': '/form?a=1',
        ':host': 'peer.example',
        'x-word': 'word',
        cookie: 'a=1',
      });
      const answered = once(near, 'response');
      far.respond([
        [':status', '203 Non-Authoritative'],
        [':version', 'HTTP/1.1'],
        ['x-answer', 'yes'],
      ]);
      const [status, headers] = await answered;
      expect(status).toBe(203);
      expect(headers).toMatchObject({ 'x-answer': 'yes' });
      const trailers = once(near, 'headers');
      far.sendHeaders([['x-trailer', 'late']]);
      expect((await trailers)[0]).toMatchObject({ 'x-trailer': 'late' });
      far.end();
      near.end();
      expect(await text(far)).toBe('');
    });

    test('exchange bodies of several windows at the same time', async () => {
      const { ours, peer } = await fromPeer(carrier);
      const received = new Promise((resolve) => {
        ours.on('stream', (far) => {
          far.respond(OK);
          payload(BULK).pipe(far);
          resolve(hashOf(far));
        });
      });
      const near = await ask(peer);
      payload(BULK).pipe(near);
      expect(await Promise.all([hashOfPeer(near), received])).toEqual([SUM, SUM]);
    });

    test('keep 100 streams apart', async () => {
      const { ours, peer } = await fromPeer(carrier);
      ours.on('stream', (far) => {
        far.respond(OK);
        far.pipe(far);
      });
      const bodies = Array.from({ length: 100 }, (_, index) => Buffer.alloc(1_000 + 700 * index, index));
      const streams = await Promise.all(bodies.map(() => ask(peer)));
      const echoes = streams.map((stream) => buffer(stream));
      for (const [index, stream] of streams.entries()) stream.end(bodies[index]);
      expect(
        (await Promise.all(echoes)).map((echo, index) => echo.equals(bodies[index] as Buffer)),
      ).not.toContain(false);
    });

    test('end a request with its headers', async () => {
      const { ours, peer } = await fromPeer(carrier);
      ours.on('stream', async (far) => {
        far.respond(OK);
        far.end(`body of ${(await hashOf(far)).bytes}`);
      });
      const near = await ask(peer, {}, 'GET');
      expect(await text(near)).toBe('body of 0');
    });

    test('reset single streams, either way', async () => {
      const { ours, peer } = await fromPeer(carrier);
      const asked = once(ours, 'stream');
      const first = await ask(peer);
      const [far] = (await asked) as [MuxStream];
      const ended = finished(far);
      first.abort('CANCEL');
      await expect(ended).rejects.toMatchObject({ status: 5, origin: 'remote' });

      ours.once('stream', (stream) => stream.reset(3));
      const refused = await ask(peer);
      expect(String((await once(refused, 'error'))[0])).toContain('REFUSED_STREAM');

      ours.on('stream', (stream) => {
        stream.respond(OK);
        stream.pipe(stream);
      });
      const third = await ask(peer);
      third.end('unharmed');
      expect(await text(third)).toBe('unharmed');
    });

    test('answer PINGs', async () => {
      const { ours, peer } = await fromPeer(carrier);
      await new Promise((resolve, reject) =>
        peer.ping((error) => (error ? reject(error) : resolve(undefined))),
      );
      expect(await ours.ping()).toBeGreaterThanOrEqual(0);
    });

    test('part with GOAWAY when the open streams have ended, the server beginning', async () => {
      const { ours, peer } = await fromPeer(carrier);
      const asked = once(ours, 'stream');
      const near = await ask(peer, {}, 'GET');
      const [far] = (await asked) as [MuxStream];
      far.respond(OK);
      const closed = Promise.all([ours.close(), once(peer, 'close')]);
      // It drops what it has not sent or handled when a stream or the connection ends, so everything comes one after the other.
      far.write('last words');
      expect(String((await once(near, 'data'))[0])).toBe('last words');
      far.end();
      await closed;
      expect(await ours.closed).toBeUndefined();
    });
  });
}

/** As `hashOf`, for the older streams that this peer is made of. */
async function hashOfPeer(stream: PeerStream): Promise<{ sha256: string; bytes: number }> {
  return hashOf(stream.pipe(new PassThrough()));
}
