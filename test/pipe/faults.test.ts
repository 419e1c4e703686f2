import { once } from 'node:events';
import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { LocalSpipedKeeper, readKeyFile } from '@keymux/keys';
import { parsePipeAddress, pipeStreams } from '@keymux/pipe';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Clock } from '../support/clock.ts';
import { Scope } from '../support/scope.ts';
import { closedPort, silentPort, tcpServer } from '../support/servers.ts';
import { allOf, dial, startMiddle, startPipe } from '../support/spiped.ts';
import { makeKey } from '../support/tunnel.ts';

const scope = new Scope();
afterEach(() => scope.close());

type Alter = Parameters<typeof startMiddle>[2];

let key: string;
beforeEach(async () => {
  key = await makeKey(scope);
});

/** A pair of pipes with somebody between them, and a target that tells what it gets of each connection. */
async function pair(alter: Alter) {
  const got: ReturnType<typeof allOf>[] = [];
  const targets: Socket[] = [];
  const port = await tcpServer(scope, (socket) => {
    targets.push(socket);
    got.push(allOf(socket));
  });
  const inner = await startPipe(scope, key, {
    role: 'server',
    target: parsePipeAddress(`[127.0.0.1]:${port}`),
  });
  let seen = 0;
  const middle = await startMiddle(scope, inner.address, (from, index, message) => {
    if (from === 'client') seen = index + 1;
    return alter(from, index, message);
  });
  const outer = await startPipe(scope, key, { role: 'client', target: parsePipeAddress(middle) });
  /** Waits until the client has sent so many messages. */
  const sent = (count: number) => expect.poll(() => seen).toBe(count);
  return { outer, inner, got, targets, sent };
}

const flip = (at: number) => (message: Buffer) => {
  message[at] = (message[at] as number) ^ 0x10;
  return [message];
};
const code = (reports: readonly { error?: Error }[]): unknown =>
  (reports[0]?.error as { code?: string })?.code;

describe('somebody between client and server', () => {
  test('who changes nothing, and sends every byte by itself, changes nothing', async () => {
    const { outer, got } = await pair((_from, _index, message) =>
      Array.from(message, (byte) => Buffer.of(byte)),
    );
    const socket = dial(scope, outer.address);
    socket.end('hello');
    await expect.poll(() => got.length).toBe(1);
    expect(await got[0]).toEqual({ text: 'hello', broken: false });
  });

  // Messages of the client: 0 its nonce, 1 its value, 2 and on its packets.
  const changes: [string, Alter][] = [
    ['the nonce of the client', (from, index, m) => (from === 'client' && index === 0 ? flip(3)(m) : [m])],
    ['the nonce of the server', (from, index, m) => (from === 'server' && index === 0 ? flip(3)(m) : [m])],
    ['y_C', (from, index, m) => (from === 'client' && index === 1 ? flip(200)(m) : [m])],
    ['h_C', (from, index, m) => (from === 'client' && index === 1 ? flip(260)(m) : [m])],
    ['y_S', (from, index, m) => (from === 'server' && index === 1 ? flip(200)(m) : [m])],
    ['h_S', (from, index, m) => (from === 'server' && index === 1 ? flip(287)(m) : [m])],
  ];
  test.each(changes)('who changes %s brings no handshake about, and no payload', async (_what, alter) => {
    const { outer, inner, got } = await pair(alter);
    const socket = dial(scope, outer.address);
    socket.write('secret');
    expect(await allOf(socket)).toEqual({ text: '', broken: true });
    expect(code(outer.ends)).toBe('ERR_KEYMUX_KEY_FAILURE');
    await expect.poll(() => inner.ends.map(({ error }) => error !== undefined)).toEqual([true]);
    for (const { text } of await Promise.all(got)) expect(text).toBe('');
  });

  // Packet 2 is the first, 3 has "one", 4 has "two".
  let kept: Buffer;
  const on = (wanted: number, change: (message: Buffer) => Buffer[]): Alter => {
    return (from, index, m) => (from === 'client' && index === wanted ? change(m) : [m]);
  };
  const keep = (m: Buffer): Buffer[] => {
    kept = m;
    return [];
  };
  const packets: [string, string, Alter][] = [
    ['changes a packet', 'first', on(3, flip(0))],
    ['changes padding', 'first', on(3, flip(900))],
    ['changes a length', 'first', on(3, flip(1027))],
    ['changes a tag', 'first', on(3, flip(1059))],
    [
      'repeats a packet',
      'firstone',
      (from, index, m) => {
        if (from === 'client' && index === 3) kept = m;
        return on(4, () => [kept])(from, index, m);
      },
    ],
    ['drops a packet', 'first', on(3, () => [])],
    [
      'exchanges two packets',
      'first',
      (from, index, m) => (index === 3 ? on(3, keep) : on(4, (next) => [next, kept]))(from, index, m),
    ],
    ['puts another packet in', 'firstone', on(4, () => [Buffer.alloc(1060)])],
    ['cuts inside a packet', 'firstone', on(4, (m) => [m.subarray(0, 1059)])],
  ];
  test.each(packets)('who %s ends the connection, and not as if it had ended', async (what, most, alter) => {
    const { outer, inner, got, targets, sent } = await pair(alter);
    // A program that gets bytes and the reset at once may take it for an end, so each is read before the next is sent.
    const read = (bytes: number) => expect.poll(() => targets[0]?.bytesRead).toBe(bytes);
    const socket = dial(scope, outer.address);
    socket.write('first');
    await read(5);
    socket.write('one');
    await (most === 'firstone' ? read(8) : sent(4));
    socket.write('two');
    if (what.startsWith('cuts')) socket.end();
    await expect.poll(() => code(inner.ends)).toBe('ERR_KEYMUX_KEY_FAILURE');
    expect(await got[0]).toEqual({ text: most, broken: true });
  });

  test('who cuts between two packets is not noticed: that is what the protocol cannot do', async () => {
    const { outer, inner, got } = await pair((from, index, m) =>
      from === 'client' && index === 3 ? null : [m],
    );
    const socket = dial(scope, outer.address);
    socket.write('one');
    await expect.poll(() => got.length).toBe(1);
    socket.write('two');
    expect(await got[0]).toEqual({ text: 'one', broken: false });
    expect(code(inner.ends)).toBeUndefined();
  });
});

describe('a side that breaks off', () => {
  test('the application on one side resets, and the other side is reset', async () => {
    const { outer, got, targets } = await pair((_from, _index, m) => [m]);
    const socket = dial(scope, outer.address);
    socket.write('one');
    await expect.poll(() => targets[0]?.bytesRead).toBe(3);
    socket.resetAndDestroy();
    expect((await got[0])?.broken).toBe(true);
  });

  test('nothing listens at the target of the server: the application is reset', async () => {
    const target = parsePipeAddress(`[127.0.0.1]:${await closedPort()}`);
    const inner = await startPipe(scope, key, { role: 'server', target });
    const outer = await startPipe(scope, key, { role: 'client', target: parsePipeAddress(inner.address) });
    expect(await allOf(dial(scope, outer.address))).toEqual({ text: '', broken: true });
    await expect.poll(() => code(inner.ends)).toBe('ECONNREFUSED');
  });

  test('a mirror, and two clients, come to no keys', async () => {
    const mirror = await tcpServer(scope, (socket) => socket.pipe(socket));
    const target = parsePipeAddress(`[127.0.0.1]:${mirror}`);
    const outer = await startPipe(scope, key, { role: 'client', target });
    expect(await allOf(dial(scope, outer.address))).toEqual({ text: '', broken: true });
    expect(code(outer.ends)).toBe('ERR_KEYMUX_KEY_FAILURE');
  });

  test('a peer that closes at once is told apart from one with another key', async () => {
    const port = await tcpServer(scope, (socket) => socket.end());
    const target = parsePipeAddress(`[127.0.0.1]:${port}`);
    const keeper = new LocalSpipedKeeper({ key: (await readKeyFile(key)).key });
    const plain = { input: new PassThrough(), output: new PassThrough() };
    await expect(pipeStreams(plain, { role: 'client', keeper, target })).rejects.toMatchObject({
      code: 'ERR_KEYMUX_CARRIER_ENDED',
    });
    expect([plain.input.destroyed, plain.output.destroyed]).toEqual([true, true]);
  });
});

describe('limits', () => {
  test('the target is not contacted before the key is proven', async () => {
    let contacts = 0;
    const port = await tcpServer(scope, () => contacts++);
    const target = parsePipeAddress(`[127.0.0.1]:${port}`);
    const { address, ends } = await startPipe(scope, key, { role: 'server', target });
    const socket = dial(scope, address);
    socket.write(Buffer.alloc(320)); // a nonce, and a value that nobody proves
    await allOf(socket);
    await expect.poll(() => ends.length).toBe(1);
    expect(contacts).toBe(0);
  });

  test('a handshake that is not finished in time is given up, byte by byte or not at all', async () => {
    const clock = Clock.install(scope);
    const target = { host: '127.0.0.1', port: await closedPort() };
    const { address, ends } = await startPipe(scope, key, { role: 'server', target, timeout: 5_000 });
    const socket = dial(scope, address);
    const over = allOf(socket);
    await once(socket, 'data'); // its nonce: the time runs
    socket.write('x');
    clock.pass(4_999);
    socket.write('x');
    expect(ends).toEqual([]);
    clock.pass(1);
    expect((await over).broken || socket.readableEnded).toBe(true);
    await expect.poll(() => code(ends)).toBe('ERR_KEYMUX_TIMEOUT');
  });

  test('a keeper that never answers holds no connection for ever', async () => {
    const clock = Clock.install(scope);
    const port = await tcpServer(scope, (socket) => socket.resume());
    const keeper = { start: () => new Promise<never>(() => undefined) };
    const plain = { input: new PassThrough(), output: new PassThrough() };
    const target = { host: '127.0.0.1', port };
    const done = pipeStreams(plain, { role: 'client', keeper, target });
    done.catch(() => undefined);
    await expect.poll(() => clock.pass(1_000)).toBeUndefined();
    for (let passed = 0; passed < 12 && !plain.output.destroyed; passed++) {
      clock.pass(1_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await expect(done).rejects.toMatchObject({ code: 'ERR_KEYMUX_TIMEOUT' });
  });

  test('a target that does not answer is given up', async () => {
    const port = await silentPort(scope);
    const clock = Clock.install(scope);
    const target = { host: '127.0.0.1', port };
    const { address, server, ends } = await startPipe(scope, key, { role: 'client', target });
    const begun = once(server, 'connection');
    const over = allOf(dial(scope, address));
    await begun;
    clock.pass(5_000);
    expect((await over).broken).toBe(true);
    expect(code(ends)).toBe('ERR_KEYMUX_TIMEOUT');
  });

  test('more connections than may be are closed at once, and there is room again when one has ended', async () => {
    const { inner, got } = await pair((_from, _index, m) => [m]);
    const { address, server } = await startPipe(scope, key, {
      role: 'client',
      target: parsePipeAddress(inner.address),
      maxConnections: 2,
    });
    let [taken, refused, ended] = [0, 0, 0];
    server.on('connection', () => taken++);
    server.on('refused', () => refused++);
    server.on('end', () => ended++);
    const sockets = [dial(scope, address), dial(scope, address)];
    await expect.poll(() => got.length).toBe(2);
    expect((await allOf(dial(scope, address))).text).toBe('');
    expect([taken, refused]).toEqual([2, 1]);
    sockets[0]?.resetAndDestroy();
    await expect.poll(() => ended).toBe(1);
    dial(scope, address);
    await expect.poll(() => taken).toBe(3);
    expect(refused).toBe(1);
  });

  test('close() takes no more and lets what is open end', async () => {
    const { outer, got, targets } = await pair((_from, _index, m) => [m]);
    const socket = dial(scope, outer.address);
    socket.write('one');
    await expect.poll(() => got.length).toBe(1);
    let closed = false;
    const closing = outer.server.close().then(() => {
      closed = true;
    });
    await expect(once(dial(scope, outer.address), 'connect')).rejects.toThrow('ECONNREFUSED');
    socket.end(' and two');
    expect(await got[0]).toEqual({ text: 'one and two', broken: false });
    expect(closed).toBe(false);
    targets[0]?.end('answer');
    expect(await allOf(socket)).toEqual({ text: 'answer', broken: false });
    await closing;
  });

  test('a side that does not read holds the other back', async () => {
    const port = await tcpServer(scope, (socket) => socket.pause());
    const target = parsePipeAddress(`[127.0.0.1]:${port}`);
    const inner = await startPipe(scope, key, { role: 'server', target });
    const outer = await startPipe(scope, key, { role: 'client', target: parsePipeAddress(inner.address) });
    const socket = dial(scope, outer.address);
    const block = Buffer.alloc(2 ** 20);
    let written = 0;
    // Sockets of loopback take some megabytes; then nothing moves.
    while (written < 64 && (socket.write(block) || (await drains(socket)))) written++;
    expect(written).toBeLessThan(64);
  });
});

/** Whether the socket is drained while a second passes in which nothing else happens. */
async function drains(socket: Socket): Promise<boolean> {
  const stop = AbortSignal.timeout(1_000);
  return once(socket, 'drain', { signal: stop }).then(
    () => true,
    () => false,
  );
}
