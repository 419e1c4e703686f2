import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { CarrierServer, connectSocket, lend } from '../src/index.ts';

const open: { destroy(): void }[] = [];
const servers: CarrierServer[] = [];
afterEach(async () => {
  for (const socket of open.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) await server.close();
});

interface Pair {
  readonly ours: Socket;
  readonly theirs: Socket;
}

/** A socket that we have connected, and its other end. */
async function connected(): Promise<Pair> {
  const server = createServer({ noDelay: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const ours = await connectSocket({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  const [theirs] = (await accepted) as [Socket];
  server.close();
  open.push(ours, theirs);
  return { ours, theirs };
}

/** A carrier that our server has accepted, whose first byte was a plus sign and was read, and its other end. */
async function accepted(): Promise<Pair & { server: CarrierServer }> {
  const server = new CarrierServer({});
  servers.push(server);
  const { port } = (await server.listen({ port: 0, host: '127.0.0.1' })) as AddressInfo;
  const carrier = once(server, 'carrier');
  const theirs = connect({ port, host: '127.0.0.1', noDelay: true });
  theirs.on('error', () => undefined).write('+');
  const [ours] = (await carrier) as [Socket];
  open.push(ours, theirs);
  ours.read();
  return { ours, theirs, server };
}

/** Resolves when that many bytes have come, with their pieces. */
function pieces(of: (take: (chunk: Uint8Array) => void) => void, length: number): Promise<Uint8Array[]> {
  const found: Uint8Array[] = [];
  let left = length;
  return new Promise((resolve) =>
    of((chunk) => {
      found.push(chunk);
      left -= chunk.length;
      if (left === 0) resolve(found);
    }),
  );
}

/** What `socket` brings when the other end has written `text`. */
const whatCameOf = (socket: Socket, theirs: Socket, text: string): Promise<unknown> => {
  theirs.write(text);
  return once(socket, 'data');
};

describe.each([
  ['connect', connected],
  ['accept', accepted],
])('a socket that we %s', (_how, pair) => {
  test('is a socket like any other: what it brings is the reader’s own', async () => {
    const { ours, theirs } = await pair();
    const first = whatCameOf(ours, theirs, 'first');
    const [chunk] = (await first) as [Buffer];
    await whatCameOf(ours, theirs, 'other');
    expect(chunk.toString()).toBe('first');
  });

  test('lends what it reads if that is asked for: the next read overwrites it', async () => {
    const { ours, theirs } = await pair();
    const seen: Uint8Array[] = [];
    const lents: unknown[] = [];
    let told = (): void => undefined;
    lend(ours, (chunk, lent) => {
      lents.push(lent);
      seen.push(chunk);
      told();
    });
    for (const text of ['first', 'other']) {
      theirs.write(text);
      await new Promise<void>((resolve) => {
        told = resolve;
      });
    }
    expect(lents).toEqual([true, true]);
    expect(seen.map((chunk) => Buffer.from(chunk).toString())).toEqual(['other', 'other']);
  });

  test('keeps what comes while it is paused, in order, in memory of its own', async () => {
    const { ours, theirs } = await pair();
    const all = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => i % 251));
    theirs.end(all);
    let count = 0;
    const got = await pieces((take) => {
      lend(ours, (chunk) => {
        take(Uint8Array.from(chunk));
        if (count++ % 2 === 0) {
          ours.pause();
          setImmediate(() => ours.resume());
        }
      });
    }, all.length);
    expect(Buffer.concat(got).equals(all)).toBe(true);
    if (!ours.readableEnded) await once(ours, 'end');
  });

  test('reads more at once from what brings much, while that is wanted', async () => {
    const { ours, theirs } = await pair();
    let much = true;
    let most = 0;
    const sizes: number[] = [];
    const all = 8 * 1024 * 1024;
    theirs.write(new Uint8Array(all));
    await pieces((take) => {
      lend(
        ours,
        (chunk) => {
          take(Uint8Array.from(chunk));
          sizes.push(chunk.length);
          most = Math.max(most, chunk.length);
          if (most > 64 * 1024) much = false;
        },
        () => much,
      );
    }, all);
    expect(sizes[0]).toBeLessThanOrEqual(64 * 1024);
    expect(most).toBeGreaterThan(64 * 1024);
    expect(Math.max(...sizes.slice(sizes.indexOf(most) + 1))).toBeLessThanOrEqual(64 * 1024);
  });

  test('hands out what was put back before it was lent', async () => {
    const { ours, theirs } = await pair();
    ours.unshift(Buffer.from('before '));
    const got = pieces((take) => lend(ours, (chunk) => take(Uint8Array.from(chunk))), 'before after'.length);
    theirs.write('after');
    expect(Buffer.concat(await got).toString()).toBe('before after');
  });
});

describe('a connection that our server has accepted', () => {
  const told = async (server: CarrierServer): Promise<() => string[]> => {
    const seen: string[] = [];
    server.once('close', () => seen.push('close'));
    void server.close().then(() => seen.push('closed'));
    await turn();
    return () => seen;
  };

  test('is waited for by the server', async () => {
    const { ours, server } = await accepted();
    const seen = await told(server);
    expect(seen()).toEqual([]);
    ours.destroy();
    await once(server, 'close');
    await turn();
    expect(seen()).toEqual(['close', 'closed']);
  });

  test('still takes what we write after the peer has ended', async () => {
    const { ours, theirs } = await accepted();
    theirs.end();
    await once(ours.resume(), 'end');
    expect(ours.writable).toBe(true);
    ours.end('last words');
    expect(String((await once(theirs, 'data'))[0])).toBe('last words');
  });

  test('fails like any other when the peer resets it', async () => {
    const { ours, theirs } = await accepted();
    const failed = once(ours.resume(), 'error');
    theirs.resetAndDestroy();
    expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET' });
  });
});
