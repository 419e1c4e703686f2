import { createHash } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { Duplex, duplexPair } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import { StateReader, StateWriter } from '@keymux/frames';
import { Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { describe, expect, it } from 'vitest';
import {
  connectSocket,
  encodeRequest,
  encodeResponse,
  MuxSession,
  MuxStream,
  SessionServer,
} from '../src/index.ts';
import { IDLE_HOST } from './support.ts';

const KEY = new Uint8Array(32).fill(7);
const GET = encodeRequest({ method: 'GET', path: '/', host: 'a.test', scheme: 'http', headers: [] });
const OK = encodeResponse(200, 'OK');
/** Of a stream in the clear. */
const OPTIONS = { id: 1, ours: true, headers: GET, payloadOutside: false, key: undefined };

function keeper(): { keeper: LocalKeeper; label: string } {
  const keyring = new Keyring();
  const label = keyring.add(new PreSharedKey(KEY), { authorities: ['', 'a.test'] });
  return { keeper: new LocalKeeper({ keyring }), label };
}

/** Two sessions over a pair of streams in memory. */
function pair(onStream: (stream: MuxStream) => void) {
  const [left, right] = duplexPair();
  const { label, keeper: ours } = keeper();
  const client = new MuxSession(left, { role: 'client', keeper: ours });
  const server = new MuxSession(right, { role: 'server', keeper: keeper().keeper });
  server.on('stream', onStream);
  return { client, server, label };
}

/** A carrier that is never full, and done with what it was given when it is told so. */
function carrierOf(held: ((error?: Error) => void)[]): Duplex {
  return new Duplex({
    writableHighWaterMark: 1_000_000,
    read: () => undefined,
    write: (_chunk, _encoding, taken) => void held.push(taken),
    writev: (_chunks, taken) => void held.push(taken),
  });
}

async function takeAll(held: (() => void)[]): Promise<void> {
  for (let i = 0; i < 9; i++) {
    for (const taken of held.splice(0)) taken();
    await turn();
  }
}

describe('a stream', () => {
  it('does not lose an answer of headers only, given later', async () => {
    const { client } = pair((stream) => {
      // In a later turn than the end of the request, when Node would have closed an ordinary Duplex.
      stream.once('end', () => setImmediate(() => stream.respond(OK, { fin: true })));
      stream.resume();
    });
    const stream = client.openStream(GET, { fin: true });
    expect(await text(stream)).toBe('');
    expect(stream.replyHeaders).toEqual(OK);
    expect(stream.errored).toBeNull();
  });

  it('gives a clear buffer back only when the carrier has taken it, whatever follows', async () => {
    const held: (() => void)[] = [];
    const client = new MuxSession(carrierOf(held), { role: 'client' });
    const stream = client.openStream(GET);
    const events: string[] = [];
    stream.write(Buffer.alloc(20_000), () => events.push('written'));
    for (let i = 0; i < 3; i++) await turn();
    stream.sendHeaders([['x-trailer', '1']]);
    for (let i = 0; i < 3; i++) await turn();
    stream.end(() => events.push('ended'));
    for (let i = 0; i < 3; i++) await turn();
    expect(events).toEqual([]);
    await takeAll(held);
    expect(events).toEqual(['written', 'ended']);
    client.destroy();
  });

  it('gives a clear buffer back only when the carrier has taken it, although its session is done with the stream', async () => {
    const stream = new MuxStream(IDLE_HOST, OPTIONS);
    let written = false;
    stream.write('x', () => {
      written = true;
    });
    const taken = stream.receiveDrain();
    stream.detach(undefined);
    await turn();
    expect(written).toBe(false);
    taken?.();
    await turn();
    expect(written).toBe(true);
  });

  it.each([true, false])(
    'that one process has ended is finished in the next when all is sent: %s',
    async (sent) => {
      const giver = new MuxStream(IDLE_HOST, OPTIONS);
      giver.end();
      await turn();
      if (sent) giver.receiveDrain()?.();
      const writer = new StateWriter();
      giver.handOver(writer, new Error('handed over'));
      const taker = MuxStream.takeOver(IDLE_HOST, new StateReader(writer.finish()));
      await turn();
      expect(taker.writableFinished).toBe(sent);
      expect(taker.inheritsOutput).toBe(!sent);
      taker.receiveDrain()?.();
      await turn();
      expect(taker.writableFinished).toBe(true);
      expect(taker.inheritsOutput).toBe(false);
      taker.destroy();
    },
  );

  it('gives no buffer back that its carrier has failed to write, as somebody may still have it', async () => {
    const held: ((error?: Error) => void)[] = [];
    const client = new MuxSession(carrierOf(held), { role: 'client' });
    const stream = client.openStream(GET);
    const written = new Promise<Error | null | undefined>((resolve) =>
      stream.write(Buffer.alloc(20_000), resolve),
    );
    for (let i = 0; i < 3; i++) await turn();
    for (const taken of held) taken(new Error('cut'));
    expect(await written).toMatchObject({ code: 'ERR_KEYMUX_STREAM_RESET' });
  });

  it('shares a write to the carrier with all that others write in one turn of the event loop', async () => {
    const held: (() => void)[] = [];
    const client = new MuxSession(carrierOf(held), { role: 'client' });
    const streams = [1, 2, 3].map(() => client.openStream(GET));
    await takeAll(held);
    // Each in a callback of its own, as what is read from several sockets.
    await Promise.all(streams.map((stream) => turn().then(() => stream.write('x'))));
    expect(held).toHaveLength(0);
    await turn();
    expect(held).toHaveLength(1);
    client.destroy();
  });

  it('of a session inside another one waits for the end of a turn once, not twice', async () => {
    const held: (() => void)[] = [];
    const outer = new MuxSession(carrierOf(held), { role: 'client' });
    const inner = new MuxSession(outer.openStream(GET), { role: 'client' });
    const stream = inner.openStream(GET);
    await takeAll(held);
    stream.write('x');
    await Promise.resolve();
    expect(held).toHaveLength(0);
    await turn();
    expect(held).toHaveLength(1);
    outer.destroy();
  });

  it('gives a clear buffer back only when the kernel has taken it', async () => {
    // Over TCP: a carrier in memory passes buffers on, and is never done with them.
    let received: Promise<Buffer> | undefined;
    await using server = new SessionServer();
    server.on('session', (session) => {
      session.on('stream', (stream) => {
        received = buffer(stream);
        stream.respond(OK, { fin: true });
      });
    });
    const { port } = (await server.listen({ port: 0, host: '127.0.0.1' })) as AddressInfo;
    const client = new MuxSession(await connectSocket({ port, host: '127.0.0.1' }), { role: 'client' });
    const stream = client.openStream(GET);
    const chunk = Buffer.alloc(100_000, 'a');
    for (let i = 0; i < 8; i++) {
      chunk.fill('a'.charCodeAt(0) + i);
      await new Promise<void>((resolve, reject) =>
        stream.write(chunk, (error) => (error ? reject(error) : resolve())),
      );
    }
    await new Promise<void>((resolve) => stream.end(resolve));
    const expected = createHash('sha256');
    for (let i = 0; i < 8; i++) expected.update(Buffer.alloc(100_000, 'a'.charCodeAt(0) + i));
    const digest = createHash('sha256')
      .update((await received) as Buffer)
      .digest('hex');
    expect(digest).toBe(expected.digest('hex'));
    await client.close();
  });

  it('answers under the key of the request, and says so, although what comes now is sealed', async () => {
    let answered: MuxStream | undefined;
    const { client, label } = pair((stream) => {
      stream.on('data', () => undefined);
      stream.once('switched', () => {
        stream.respond(OK);
        answered = stream;
        stream.end('clear');
      });
    });
    const key = await client.negotiate({ algorithm: 2, label });
    const stream = client.openStream(GET);
    stream.write('clear');
    stream.switchKey(key);
    stream.end('sealed');
    expect(await text(stream)).toBe('clear');
    expect(stream.security.received.level).toBe('none');
    expect(answered?.security.sent.level).toBe('none');
    expect(answered?.security.received.level).toBe('none');
    expect(answered?.security.receiving.level).toBe('authenticated');
  });

  it('is not broken by a peer that resets it before it is answered', async () => {
    const { client, server } = pair((stream) => {
      stream.once('close', () => stream.respond(OK));
    });
    const stream = client.openStream(GET);
    await new Promise(setImmediate);
    stream.destroy();
    await new Promise(setImmediate);
    expect(server.takesStreams).toBe(true);
  });
});

describe('a session', () => {
  it('fails a negotiation that the peer leaves unanswered by hanging up', async () => {
    const [left, right] = duplexPair();
    const { keeper: ours, label } = keeper();
    const client = new MuxSession(left, { role: 'client', keeper: ours });
    const negotiation = client.negotiate({ algorithm: 2, label });
    right.resume().end();
    await expect(negotiation).rejects.toMatchObject({ code: 'ERR_KEYMUX_CARRIER_ENDED' });
    expect(await client.closed).toMatchObject({ code: 'ERR_KEYMUX_CARRIER_ENDED' });
  });

  it('does not negotiate as a server before the client has announced itself', async () => {
    const { server, label } = pair(() => undefined);
    await expect(server.negotiate({ algorithm: 2, label })).rejects.toMatchObject({
      code: 'ERR_KEYMUX_NOT_ANNOUNCED',
    });
  });
});
