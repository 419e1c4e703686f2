import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { connectSocket, lend } from '../src/index.ts';

const open: { destroy(): void }[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
});

/** A socket that we have connected, and its other end. */
async function pair(): Promise<{ ours: Socket; theirs: Socket }> {
  const server = createServer({ noDelay: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const connected = once(server, 'connection');
  const ours = await connectSocket({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  const [theirs] = (await connected) as [Socket];
  server.close();
  open.push(ours, theirs);
  return { ours, theirs };
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

describe('a socket that we connect', () => {
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
    let told = (): void => undefined;
    lend(ours, (chunk, lent) => {
      expect(lent).toBe(true);
      seen.push(chunk);
      told();
    });
    for (const text of ['first', 'other']) {
      theirs.write(text);
      await new Promise<void>((resolve) => {
        told = resolve;
      });
    }
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
