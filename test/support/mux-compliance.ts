import { once } from 'node:events';
import { buffer, text } from 'node:stream/consumers';
import { finished, pipeline } from 'node:stream/promises';
import { ALGORITHM, Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import type { KeyInfo } from '@keymux/session';
import type { MuxSession, MuxStream } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import type { Connect, SessionPair, SideOptions } from './carriers.ts';
import { hashOf, payload, payloadHash } from './payload.ts';
import { Scope } from './scope.ts';

const MIB = 2 ** 20;
const HEADERS = [
  [':method', 'POST'],
  [':path', '/'],
] as const;
const REPLY = [[':status', '200 OK']] as const;
const STATUS = { CANCEL: 5, INTERNAL_ERROR: 6 };

function keyed(): SideOptions & { label: string } {
  const keyring = new Keyring();
  const key = new PreSharedKey(Buffer.alloc(32, 'compliance'));
  const label = keyring.add(key, { authorities: [''] });
  return { keeper: new LocalKeeper({ keyring }), label };
}

/** What every carrier must let a session do. */
export function muxCompliance(carrier: string, connect: Connect): void {
  const scope = new Scope();
  afterEach(() => scope.close());
  const start = async (): Promise<SessionPair & { label: string }> => {
    const [near, far] = [keyed(), keyed()];
    return { ...(await connect(scope, near, far)), label: near.label };
  };
  /** Answers every stream with what comes on it. */
  const echo = (server: MuxSession): void => {
    server.on('stream', (stream) => {
      stream.respond(REPLY);
      stream.pipe(stream);
    });
  };
  const negotiate = (pair: SessionPair & { label: string }, algorithm: number = ALGORITHM.SPIPED) =>
    pair.client.negotiate({ algorithm, label: pair.label });

  describe(`a session over ${carrier}`, () => {
    test('opens a stream, answers it, and carries headers and bodies both ways', async () => {
      const { client, server } = await start();
      server.on('stream', async (stream) => {
        stream.respond([...REPLY, ['x-asked', String(stream.headers.length)]]);
        stream.end(`you said: ${await text(stream.iterator({ destroyOnReturn: false }) as never)}`);
      });
      const stream = client.openStream(HEADERS);
      stream.end('hello');
      expect(await text(stream)).toBe('you said: hello');
      expect(stream.replyHeaders).toEqual([...REPLY, ['x-asked', '2']]);
      expect(stream.security.level).toBe('none');
    });

    test('carries big bodies both ways at the same time', async () => {
      const { client, server } = await start();
      const bytes = 6 * MIB + 12_345;
      const received = new Promise((resolve) => {
        server.on('stream', (stream) => {
          stream.respond(REPLY);
          payload(bytes).pipe(stream);
          resolve(hashOf(stream));
        });
      });
      const stream = client.openStream(HEADERS);
      payload(bytes).pipe(stream);
      const expected = { sha256: payloadHash(bytes), bytes };
      expect(await Promise.all([hashOf(stream), received])).toEqual([expected, expected]);
    });

    test('keeps 100 streams at a time apart, clear and sealed ones side by side', async () => {
      const pair = await start();
      echo(pair.server);
      const key = await negotiate(pair);
      const bodies = Array.from({ length: 100 }, (_, index) => Buffer.alloc(1_000 + 500 * index, index));
      const streams = bodies.map((_, index) => pair.client.openStream(HEADERS, index % 2 ? { key } : {}));
      expect(pair.client.streamCount).toBe(100);
      const answers = streams.map((stream) => buffer(stream));
      for (const [index, stream] of streams.entries()) stream.end(bodies[index]);
      for (const [index, answer] of (await Promise.all(answers)).entries())
        expect(answer.equals(bodies[index] as Buffer)).toBe(true);
      const levels = streams.map(({ security }) => security.level);
      expect(levels).toEqual(bodies.map((_, index) => (index % 2 ? 'authenticated' : 'none')));
    });

    test('half-closes in either order', async () => {
      const { client, server } = await start();
      const accepted = once(server, 'stream');
      const stream = client.openStream(HEADERS);
      const [far] = (await accepted) as [MuxStream];
      far.respond(REPLY);
      far.end('server first');
      expect(await text(stream.iterator({ destroyOnReturn: false }) as never)).toBe('server first');
      stream.end('client later');
      expect(await text(far)).toBe('client later');
      await Promise.all([finished(stream), finished(far)]);
      expect([client.streamCount, server.streamCount]).toEqual([0, 0]);
    });

    test('resets one stream, either way, and no other', async () => {
      const { client, server } = await start();
      const streams: MuxStream[] = [];
      server.on('stream', (stream) => {
        stream.respond(REPLY);
        streams.push(stream);
      });
      const [first, second, third] = [1, 2, 3].map(() => client.openStream(HEADERS));
      await Promise.all([first, second, third].map((stream) => once(stream as MuxStream, 'reply')));
      const farEnd = finished(streams[0] as MuxStream);
      first?.destroy();
      await expect(farEnd).rejects.toMatchObject({ status: STATUS.CANCEL, origin: 'remote' });
      const nearEnd = finished(second as MuxStream);
      streams[1]?.destroy(new Error('failed'));
      await expect(nearEnd).rejects.toMatchObject({ status: STATUS.INTERNAL_ERROR, origin: 'remote' });
      streams[2]?.pipe(streams[2]);
      third?.end('untouched');
      expect(await text(third as MuxStream)).toBe('untouched');
    });

    test('carries headers after the first, and PINGs', async () => {
      const { client, server } = await start();
      server.on('stream', (stream) => {
        stream.respond(REPLY);
        stream.once('headers', (headers) => {
          stream.write('body');
          stream.sendHeaders([...headers, ['x-trailer', 'after it']]);
          stream.end();
        });
      });
      const stream = client.openStream(HEADERS);
      stream.sendHeaders([['x-more', 'later']]);
      const trailers = once(stream, 'headers');
      expect(await text(stream.iterator({ destroyOnReturn: false }) as never)).toBe('body');
      expect((await trailers)[0]).toEqual([
        ['x-more', 'later'],
        ['x-trailer', 'after it'],
      ]);
      expect(() => stream.sendHeaders([['Upper', 'case']])).toThrow('upper-case');
      stream.end();
      for (const side of [client, server]) expect(await side.ping()).toBeGreaterThanOrEqual(0);
    });

    test('carries streams that want no answer, from either side, and says what they belong to', async () => {
      const { client, server } = await start();
      const asked = once(server, 'stream');
      const request = client.openStream(HEADERS, { priority: 0 });
      const [far] = (await asked) as [MuxStream];
      expect(far).toMatchObject({ priority: 0, associatedId: 0, unidirectional: false });
      const pushed = once(client, 'stream');
      const push = server.openStream(HEADERS, { unidirectional: true, associatedWith: far, priority: 7 });
      push.end('pushed');
      const [near] = (await pushed) as [MuxStream];
      expect(near).toMatchObject({ associatedId: request.id, unidirectional: true, priority: 7 });
      expect(await text(near)).toBe('pushed');
      await finished(push);
      expect([client.streamCount, server.streamCount]).toEqual([1, 1]);
    });

    test('refuses streams of the server that nobody at the client takes', async () => {
      const { client, server } = await start();
      await client.ping();
      const push = server.openStream(HEADERS, { unidirectional: true });
      await expect(finished(push)).rejects.toMatchObject({ status: 3, origin: 'remote' });
    });

    test('holds a writer back whose reader does not read, and no other', async () => {
      const { client, server } = await start();
      const accepted = once(server, 'stream');
      const stalled = client.openStream(HEADERS);
      const [unread] = (await accepted) as [MuxStream];
      unread.respond(REPLY);
      echo(server);
      const bytes = 8 * MIB;
      const sending = pipeline(payload(bytes), stalled);
      let taken = 0;
      const count = (chunk: Buffer): void => {
        taken += chunk.length;
      };
      for (let round = 0; round < 3; round++) {
        const other = client.openStream(HEADERS);
        payload(2 * MIB).pipe(other);
        expect(await hashOf(other)).toEqual({ sha256: payloadHash(2 * MIB), bytes: 2 * MIB });
      }
      expect(unread.readableLength).toBeLessThanOrEqual(256 * 1024);
      unread.on('data', count);
      await Promise.all([sending, once(unread, 'end')]);
      expect(taken).toBe(bytes);
    });

    test.each([
      ['psk', ALGORITHM.PSK, false],
      ['spiped', ALGORITHM.SPIPED, true],
    ])('negotiates by %s', async (_name, algorithm, forwardSecrecy) => {
      const pair = await start();
      echo(pair.server);
      const key = await negotiate(pair, algorithm);
      expect(key).toMatchObject({ keyId: 1, algorithm, forwardSecrecy, level: 'authenticated' });
      const stream = pair.client.openStream(HEADERS, { key });
      stream.end('sealed');
      expect(await text(stream)).toBe('sealed');
      expect(stream.security).toMatchObject({ level: 'authenticated', early: false });
    });

    test('lets the server start a negotiation, under an even ID', async () => {
      const { client, server, label } = await start();
      if (server.peerAlgorithms === undefined) await once(server, 'announced');
      const key = await server.negotiate({ algorithm: ALGORITHM.SPIPED, label });
      expect(key.keyId).toBe(2);
      server.on('stream', (stream) => {
        stream.respond(REPLY, { key });
        stream.end('sealed answer');
      });
      const stream = client.openStream(HEADERS, { fin: true });
      expect(await text(stream)).toBe('sealed answer');
      expect(stream.security.received).toMatchObject({ level: 'authenticated', key: { keyId: 2 } });
      expect(stream.security.level).toBe('none');
    });

    test('switches a running stream from clear to sealed, both ways under load, and loses no byte', async () => {
      const pair = await start();
      const { client, server } = pair;
      const bytes = 5 * MIB;
      const accepted = once(server, 'stream');
      const near = client.openStream(HEADERS);
      const [far] = (await accepted) as [MuxStream];
      far.respond(REPLY);
      const hashes = [hashOf(near), hashOf(far)];
      const switched = [once(near, 'switched'), once(far, 'switched')];
      const [nearBody, farBody] = [payload(bytes), payload(bytes)];
      // Half a MiB goes in the clear, and more of it while the key is being made.
      for (const [stream, body] of [
        [near, nearBody],
        [far, farBody],
      ] as const)
        stream.write(await firstBytes(body, MIB / 2));
      const key = await negotiate(pair);
      near.switchKey(key);
      nearBody.pipe(near);
      // The server may seal once an envelope of the client has opened. Until then it goes on in the clear.
      far.write(await firstBytes(farBody, MIB / 4));
      const [theirs] = (await once(far, 'switched')) as [KeyInfo];
      far.switchKey(theirs);
      farBody.pipe(far);
      const expected = { sha256: payloadHash(bytes), bytes };
      expect(await Promise.all(hashes)).toEqual([expected, expected]);
      await Promise.all(switched);
      for (const { security } of [near, far]) {
        expect(security.receiving.key?.keyId).toBe(1);
        expect(security.level).toBe('none'); // what came in the clear stays what it was
      }
    });

    test('drains: open streams end properly, new ones are refused, nothing is left', async () => {
      const { client, server } = await start();
      echo(server);
      const stream = client.openStream(HEADERS);
      stream.write('before, ');
      await once(stream, 'data').then(([chunk]) => expect(String(chunk)).toBe('before, '));
      const closed = Promise.all([server.close(), once(client, 'goaway')]);
      await once(client, 'goaway');
      expect(client.canOpen).toBe(false);
      expect(() => client.openStream(HEADERS)).toThrow(
        expect.objectContaining({ code: 'ERR_KEYMUX_GOING_AWAY' }) as Error,
      );
      stream.end('after');
      expect(await text(stream)).toBe('after');
      await closed;
      expect(await Promise.all([client.closed, server.closed])).toEqual([undefined, undefined]);
    });

    test('fails every open stream when the carrier is cut', async () => {
      const { client, server } = await start();
      echo(server);
      const stream = client.openStream(HEADERS);
      await once(stream, 'reply');
      const ended = finished(stream);
      server.carrier.destroy();
      await expect(ended).rejects.toThrow();
      expect(await client.closed).toBeInstanceOf(Error);
      expect(await server.closed).toBeInstanceOf(Error);
    });
  });
}

async function firstBytes(stream: NodeJS.ReadableStream, bytes: number): Promise<Buffer> {
  for (;;) {
    const chunk = stream.read(bytes) as Buffer | null;
    if (chunk !== null) return chunk;
    await once(stream, 'readable');
  }
}
