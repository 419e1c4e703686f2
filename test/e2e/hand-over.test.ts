import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { connectSocket, MuxSession, type MuxStream } from '@keymux/streams';
import { afterEach, expect, test } from 'vitest';
import { Movers } from '../support/movers.ts';
import { Scope } from '../support/scope.ts';

// Two real processes, this one as the relay between them, and a client of this process that notices nothing (spec 13).

const scope = new Scope();
afterEach(() => scope.close());

async function connect(port: number): Promise<MuxSession> {
  const keyring = new Keyring();
  keyring.add(new PreSharedKey(Buffer.alloc(32, 'a key file')), { label: 'shared', authorities: [''] });
  const keeper = new LocalKeeper({ keyring, anonymous: [''] });
  const session = new MuxSession(await connectSocket({ host: '127.0.0.1', port }), {
    role: 'client',
    keeper,
  });
  scope.defer(() => session.destroy());
  return session;
}

/** Sends `size` bytes, in pieces and with pauses, to what echoes them; resolves with whether they came back. */
async function echo(stream: MuxStream, size: number): Promise<boolean> {
  const [sent, received] = [createHash('sha256'), createHash('sha256')];
  const answer = (async () => {
    for await (const chunk of stream) received.update(chunk as Buffer);
  })();
  for (let at = 0; at < size; at += 8192) {
    const piece = randomBytes(Math.min(8192, size - at));
    sent.update(piece);
    if (!stream.write(piece)) await once(stream, 'drain');
    await new Promise(setImmediate);
  }
  stream.end();
  await answer;
  return sent.digest('hex') === received.digest('hex');
}

test('100 streams, clear and sealed, go on while their session moves back and forth, and lose nothing', async () => {
  const movers = await Movers.start(scope, 'echo');
  const session = await connect(movers.port);
  const key = await session.negotiate({ algorithm: 3, label: 'shared' });
  const streams = Array.from({ length: 100 }, (_, i) =>
    echo(session.openStream([[':path', `/${i}`]], i % 2 === 0 ? { key } : {}), 100_000),
  );
  const moves = await movers.moveUntil(Promise.all(streams));
  expect(moves).toBeGreaterThan(1);
  expect(await Promise.all(streams)).toEqual(streams.map(() => true));
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
  expect(await echo(session.openStream([], { key }), 10_000)).toBe(true);
  expect(await first.give()).toEqual(['given']);
  expect(await echo(session.openStream([], { key }), 10_000)).toBe(true);
  const next = await session.renegotiate(key);
  expect(next.generation).toBe(key.generation + 1);
  expect(await second.give()).toEqual(['given']);
  expect(await echo(session.openStream([], { key: next }), 10_000)).toBe(true);
  expect([await first.sessions(), await second.sessions()]).toEqual([1, 0]);
  await session.close();
});

test('a key of psk, which is never renegotiated, goes on in the other process', async () => {
  const movers = await Movers.start(scope, 'echo');
  const session = await connect(movers.port);
  const key = await session.negotiate({ algorithm: 1, label: 'shared' });
  expect(await movers.all[0].give()).toEqual(['given']);
  expect(await echo(session.openStream([], { key }), 10_000)).toBe(true);
  await session.close();
});
