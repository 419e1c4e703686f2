import { type Duplex, Duplex as DuplexStream, duplexPair, PassThrough } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import { encodeRequest, encodeResponse, MuxSession, type MuxStream, WindowPool } from '../src/index.ts';

describe('what windows may grow by (spec 7.3)', () => {
  const limits = { windowGrowth: 100, windowGrowthPerClient: 60 };

  it('is bounded for each client, whatever its sessions, and for all', () => {
    const pool = new WindowPool(limits);
    const [a, again, b, c] = [pool.share('a'), pool.share('a'), pool.share('b'), pool.share('c')];
    expect([a.take(50), again.take(50), b.take(50), c.take(1)]).toEqual([50, 10, 40, 0]);
    a.give(20);
    expect([again.take(50), c.take(50)]).toEqual([20, 0]);
    expect(pool.taken).toBe(100);
  });

  it('is given back when the session is closed, once', () => {
    const pool = new WindowPool(limits);
    const [a, b] = [pool.share('a'), pool.share('a')];
    a.take(30);
    b.take(20);
    a.close();
    a.give(30);
    a.close();
    expect(pool.taken).toBe(20);
    expect(pool.share('a').take(100)).toBe(40);
  });

  it('counts what was promised elsewhere, even if it is more than there is', () => {
    const pool = new WindowPool(limits);
    const share = pool.share('a');
    share.adopt(150);
    expect([share.take(1), pool.share('b').take(1)]).toEqual([0, 0]);
    share.give(150);
    expect(share.take(1)).toBe(1);
  });

  it('can be set lower than what is taken, and to nothing', () => {
    const pool = new WindowPool(limits);
    const share = pool.share('a');
    share.take(60);
    pool.reconfigure({ windowGrowth: 0, windowGrowthPerClient: 60 });
    share.give(10);
    expect([share.take(1), pool.taken]).toEqual([0, 50]);
  });
});

/** A pair of carriers that are far apart. */
function farApart(ms: number): [Duplex, Duplex] {
  const [near, far] = duplexPair();
  const [there, back] = [late(ms), late(ms)];
  far.pipe(there);
  back.pipe(far);
  return [near, DuplexStream.from({ readable: there, writable: back })];
}

/** Passes chunks on later. They wait side by side. */
function late(ms: number): PassThrough {
  const out = new PassThrough({ highWaterMark: 2 ** 26 });
  const write = out.write.bind(out) as (chunk: Buffer) => boolean;
  out.write = ((chunk: Buffer) => {
    setTimeout(write, ms, Buffer.from(chunk));
    return true;
  }) as typeof out.write;
  return out;
}

describe('a session over a long path', () => {
  it('takes of its share, and gives back what nobody reads any more', async () => {
    const MIB = 2 ** 20;
    const sizes = [8 * MIB, 8 * MIB, MIB / 2, MIB / 2, 8 * MIB];
    const pool = new WindowPool({ windowGrowth: 4 * MIB, windowGrowthPerClient: 4 * MIB });
    const [near, far] = farApart(10);
    const client = new MuxSession(near, { role: 'client', windowShare: pool.share('') });
    const server = new MuxSession(far, { role: 'server' });
    server.on('stream', (stream) => {
      stream.respond(encodeResponse(200, 'OK'));
      stream.end(Buffer.alloc(sizes.shift() ?? 0));
    });
    const ask = (): MuxStream =>
      client.openStream(
        encodeRequest({ method: 'GET', path: '/', host: 'a.test', scheme: 'http', headers: [] }),
        { fin: true },
      );
    for await (const _chunk of ask()) if (pool.taken > 0) expect(pool.taken).toBeLessThanOrEqual(4 * MIB);
    expect(pool.taken).toBe(0);
    // The next begins with the window of the first; nobody reads it.
    const stream = ask();
    stream.on('readable', () => undefined);
    expect(pool.taken).toBeGreaterThan(0);
    await vi.waitUntil(() => stream.readableLength > 0, { timeout: 60_000 });
    stream.destroy();
    expect(pool.taken).toBe(0);
    // One that is over counts until it is read.
    const unread = ask();
    await vi.waitUntil(() => client.streamCount === 0, { timeout: 60_000 });
    expect(pool.taken).toBeGreaterThan(0);
    for await (const _chunk of unread);
    expect(pool.taken).toBe(0);
    // Even if its session is over too. What is on its way then is gone.
    const left = ask();
    await vi.waitUntil(() => client.streamCount === 0, { timeout: 60_000 });
    const ofLeft = pool.taken;
    expect(ofLeft).toBeGreaterThan(0);
    ask();
    client.destroy();
    await client.closed;
    expect(pool.taken).toBe(ofLeft);
    for await (const _chunk of left);
    expect(pool.taken).toBe(0);
    server.destroy();
  });
});
