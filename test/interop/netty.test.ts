import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { Client } from '@keymux/client';
import type { HeaderList } from '@keymux/frames';
import { type MuxSession, type MuxStream, SessionServer } from '@keymux/streams';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { hashOf, payload, payloadHash } from '../support/payload.ts';
import { run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';

// Debian's libnetty-java and a Java 17 to run it; the tests are skipped where one is missing.
const JARS = ['buffer', 'codec', 'codec-http', 'common', 'handler', 'resolver', 'transport'];
const PATH = JARS.map((name) => `/usr/share/java/netty-${name}.jar`);
const SOURCE = fileURLToPath(new URL('netty/Peer.java', import.meta.url));
const BULK = 5 * 2 ** 20 + 4321;

const javac = ['-m', 'jdk.compiler/com.sun.tools.javac.Main']; // what a runtime without `javac` has as well
const hasNetty =
  PATH.every((file) => existsSync(file)) &&
  (await run('java', [...javac, '--version']).catch(() => undefined))?.code === 0;

const built = new Scope();
const scope = new Scope();
let java: string[] = [];
beforeAll(async () => {
  if (!hasNetty) return;
  const out = (await built.directory())('classes');
  java = ['-XX:TieredStopAtLevel=1', '-cp', [out, ...PATH].join(':'), 'Peer'];
  const { code, stderr } = await run('java', [...javac, '-cp', PATH.join(':'), '-d', out, SOURCE]);
  expect(code, stderr).toBe(0);
});
afterAll(() => built.close());
afterEach(() => scope.close());

describe.skipIf(!hasNetty)('our client and a server of Netty', () => {
  async function start(): Promise<MuxSession> {
    const child = spawn('java', [...java, 'server'], { stdio: ['ignore', 'pipe', 'inherit'] });
    scope.defer(async () => {
      const exit = once(child, 'exit');
      child.kill();
      await exit;
    });
    const [port] = await once(child.stdout, 'data');
    const { session } = await Client.connect(`127.0.0.1:${String(port).trim()}`);
    scope.defer(() => session.destroy());
    return session;
  }
  const ask = (word: string): HeaderList => [
    [':method', 'POST'],
    ['x-do', word],
    ['x-word', 'word'],
    ['x-several', 'one'],
    ['x-several', 'two'],
  ];

  test('do all that SPDY/3.1 has', async () => {
    const session = await start();

    const stream = session.openStream(ask('echo'), { priority: 5 });
    const [reply] = await once(stream, 'reply');
    expect(reply).toEqual([
      [':status', '200'],
      [':version', 'HTTP/1.1'],
      ['x-said', 'word'],
      ['x-priority', '5'],
      ['x-several', 'one'],
      ['x-several', 'two'],
    ]);
    stream.write('body');
    expect(String((await once(stream, 'data'))[0])).toBe('body');
    const trailers = once(stream, 'headers');
    stream.sendHeaders([['x-more', 'later']]);
    expect((await trailers)[0]).toEqual([['x-trailer', 'later']]);
    stream.end();
    await finished(stream.resume());

    const bulk = session.openStream(ask('echo'));
    payload(BULK).pipe(bulk);
    expect(await hashOf(bulk)).toEqual({ sha256: payloadHash(BULK), bytes: BULK });

    const bodies = Array.from({ length: 100 }, (_, index) => Buffer.alloc(10_000 + index, index));
    const echoes = bodies.map(async (body) => {
      const stream = session.openStream(ask('echo'));
      stream.end(body);
      return (await buffer(stream)).equals(body);
    });
    expect(await Promise.all(echoes)).toEqual(bodies.map(() => true));

    await expect(finished(session.openStream(ask('refuse')))).rejects.toMatchObject({ status: 3 });
    const cancelled = session.openStream(ask('echo'));
    await once(cancelled, 'reply');
    cancelled.destroy();
    expect(await session.ping()).toBeGreaterThanOrEqual(0);
    await once(session.openStream(ask('ping'), { fin: true }), 'reply');

    const bare = session.openStream(ask('bare'), { fin: true });
    const [none, more] = await Promise.all([once(bare, 'reply'), once(bare, 'headers')]);
    expect([none[0], more[0]]).toEqual([[], []]);
    bare.destroy();

    const pushed = once(session, 'stream');
    const request = session.openStream(ask('push'));
    const [push] = (await pushed) as [MuxStream];
    expect(push).toMatchObject({ associatedId: request.id, unidirectional: true, priority: 7 });
    expect(await text(push)).toBe('pushed');
    request.end();
    expect(await text(request)).toBe('');

    const leaving = once(session, 'goaway');
    expect(await text(session.openStream(ask('leave'), { fin: true }))).toBe('last words');
    await leaving;
    expect(await session.closed).toBeUndefined();
  });

  test('part with GOAWAY, ours beginning', async () => {
    const session = await start();
    const stream = session.openStream(ask('echo'));
    await once(stream, 'reply');
    const closed = session.close();
    stream.end('still answered');
    expect(await text(stream)).toBe('still answered');
    await closed;
    expect(await session.closed).toBeUndefined();
  });
});

describe.skipIf(!hasNetty)('a client of Netty and our server', () => {
  test('do all that SPDY/3.1 has', async () => {
    const server = new SessionServer();
    const cancelled: Promise<number>[] = [];
    server.on('session', (session) =>
      session.on('stream', async (stream) => {
        const word = Object.fromEntries(stream.headers)['x-do'];
        if (word === 'refuse') return stream.reset(3);
        if (word === 'cancel') cancelled.push(finished(stream).catch((error) => error.status));
        stream.respond([
          [':status', '200'],
          [':version', 'HTTP/1.1'],
          ['x-said', stream.headers.length === 0 ? 'nothing' : String(word)],
        ]);
        if (word === 'leave') session.close();
        if (word === 'trailers') {
          const [more] = await once(stream, 'headers');
          stream.sendHeaders([['x-trailer', String(Object.fromEntries(more)['x-more'])]]);
        }
        return stream.pipe(stream);
      }),
    );
    const closed = once(server, 'session').then(([session]) => (session as MuxSession).closed);
    const { port } = (await server.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    scope.defer(() => server.close());
    const { code, stdout, stderr } = await run('java', [...java, 'client', String(port), String(BULK)]);
    expect(code, stderr).toBe(0);
    const seen = { ping: 1, refused: 'reset 3', said: 'trailers', trailer: 'later', bare: 'nothing' };
    expect(JSON.parse(stdout)).toMatchObject({ ...seen, bulk: true, same: 100, goaway: 211 });
    expect(await Promise.all(cancelled)).toEqual([5]);
    expect(await closed).toBeUndefined();
  });
});
