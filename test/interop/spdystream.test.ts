import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { Client } from '@keymux/client';
import type { HeaderList } from '@keymux/frames';
import { type MuxSession, SessionServer } from '@keymux/streams';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { hashOf, payload, payloadHash } from '../support/payload.ts';
import { run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';

// Debian's golang-go and golang-github-docker-spdystream-dev; the tests are skipped where they are missing.
const LIBRARY = '/usr/share/gocode/src/github.com/docker/spdystream';
const SOURCE = fileURLToPath(new URL('spdystream/peer.go', import.meta.url));
const BULK = 5 * 2 ** 20 + 4321;
/** It knows no windows, so it needs the mode for such peers. */
const CONFIG = { peerFlowControl: 'none' } as const;

const hasGo = existsSync(LIBRARY) && (await run('go', ['version']).catch(() => undefined))?.code === 0;

const built = new Scope();
const scope = new Scope();
let program = '';
beforeAll(async () => {
  if (!hasGo) return;
  const file = await built.directory();
  program = file('peer');
  const env = { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOCACHE: file('cache') };
  const { code, stderr } = await run('go', ['build', '-o', program, SOURCE], { env });
  expect(code, stderr).toBe(0);
});
afterAll(() => built.close());
afterEach(() => scope.close());

describe.skipIf(!hasGo)("our client and the server of Go's spdystream", () => {
  async function start(): Promise<MuxSession> {
    const child = spawn(program, ['server'], { stdio: ['ignore', 'pipe', 'inherit'] });
    scope.defer(async () => {
      const exit = once(child, 'exit');
      child.kill();
      await exit;
    });
    const [port] = await once(child.stdout, 'data');
    const { session } = await Client.connect(`127.0.0.1:${String(port).trim()}`, { config: CONFIG });
    scope.defer(() => session.destroy());
    return session;
  }
  const ask = (word: string): HeaderList => [
    [':method', 'POST'],
    ['x-do', word],
    ['x-word', 'word'],
  ];

  test('exchange headers, also after the first', async () => {
    const session = await start();
    const stream = session.openStream(ask('echo'));
    const [reply, more] = await Promise.all([once(stream, 'reply'), once(stream, 'headers')]);
    expect(Object.fromEntries(reply[0])).toEqual({ ':status': '200', 'x-said': 'word' });
    expect(more[0]).toEqual([['x-more', 'later']]);
    stream.end();
    expect(await buffer(stream)).toHaveLength(0);
  });

  test('exchange bodies of several windows at the same time, and keep 100 streams apart', async () => {
    const session = await start();
    const bulk = session.openStream(ask('echo'));
    await once(bulk, 'reply'); // it drops what comes before it has replied
    payload(BULK).pipe(bulk);
    expect(await hashOf(bulk)).toEqual({ sha256: payloadHash(BULK), bytes: BULK });
    const bodies = Array.from({ length: 100 }, (_, index) => Buffer.alloc(10_000 + index, index));
    const echoes = bodies.map(async (body) => {
      const stream = session.openStream(ask('echo'));
      await once(stream, 'reply');
      stream.end(body);
      return (await buffer(stream)).equals(body);
    });
    expect(await Promise.all(echoes)).toEqual(bodies.map(() => true));
  });

  test('refuse, cancel, and answer PINGs', async () => {
    const session = await start();
    await expect(finished(session.openStream(ask('refuse')))).rejects.toMatchObject({ status: 3 });
    session.openStream(ask('echo')).destroy();
    expect(await session.ping()).toBeGreaterThanOrEqual(0);
    const [reply] = await once(session.openStream(ask('ping'), { fin: true }), 'reply');
    expect(reply).toEqual([['x-ping', 'true']]);
  });

  test('part with GOAWAY, either side beginning', async () => {
    const theirs = await start();
    const leaving = once(theirs, 'goaway');
    const stream = theirs.openStream(ask('leave'), { fin: true });
    expect(await buffer(stream)).toHaveLength(0);
    await leaving;
    expect(await theirs.closed).toBeUndefined();

    const ours = await start();
    await ours.ping();
    await ours.close();
    expect(await ours.closed).toBeUndefined();
  });
});

describe.skipIf(!hasGo)("the client of Go's spdystream and our server", () => {
  test('exchange all of it', async () => {
    const server = new SessionServer({ config: CONFIG });
    const ends: Promise<unknown>[] = [];
    server.on('session', (session) =>
      session.on('stream', (stream) => {
        const headers = Object.fromEntries(stream.headers);
        if (headers['x-do'] === 'refuse') return stream.reset(3);
        if (headers['x-word'] === undefined) ends.push(finished(stream).catch((error) => error.status));
        stream.respond([[':status', '200']]);
        return stream.pipe(stream);
      }),
    );
    const closed = once(server, 'session').then(([session]) => (session as MuxSession).closed);
    const { port } = (await server.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    scope.defer(() => server.close());
    const { code, stdout, stderr } = await run(program, ['client', `127.0.0.1:${port}`, String(BULK)]);
    expect(code, stderr).toBe(0);
    const seen = JSON.parse(stdout);
    expect(seen).toMatchObject({ ping: true, refused: 'Stream reset', same: 100 });
    expect(seen.got).toBe(seen.sent);
    expect(await Promise.all(ends)).toEqual([5]);
    await closed;
  });
});
