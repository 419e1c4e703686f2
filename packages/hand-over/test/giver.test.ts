import { generateKeyPairSync } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { type AddressInfo, connect, createServer, Socket } from 'node:net';
import type { Movable } from '@keymux/streams';
import { expect, test } from 'vitest';
import { Channel, give } from '../src/index.ts';

/** A taker that takes everything, in this process. */
class Taker extends EventEmitter {
  readonly connected = true;
  readonly sent: string[] = [];
  /** What becomes of each socket instead of coming here. */
  onSocket: (() => void) | undefined;

  send(
    message: { type: string; name: string; last?: boolean },
    _handle: unknown,
    _options: unknown,
    done: (error?: Error) => void,
  ) {
    const { type, name } = message;
    this.sent.push(type);
    if (type === 'hand-over.socket') {
      this.onSocket?.();
      setImmediate(() => done(new Error('write EINVAL')));
      return true;
    }
    const { publicKey } = generateKeyPairSync('x25519');
    const key = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64');
    if (type === 'hand-over.offer')
      setImmediate(() => this.emit('message', { type: 'hand-over.ready', name, key }));
    if (type === 'hand-over.state' && message.last)
      setImmediate(() => this.emit('message', { type: 'hand-over.taken', name }));
    done();
    return true;
  }
}

/** A connection of this process, as a proxy has them. */
async function connected(): Promise<Socket> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [[far]] = (await Promise.all([once(server, 'connection'), once(socket, 'connect')])) as [
    [Socket],
    unknown,
  ];
  socket.once('close', () => far.destroy());
  server.close();
  return socket;
}

function movableOf(sockets: readonly Socket[]): Movable & { stayed: boolean } {
  return {
    ...{ kind: 'session', sockets, stayed: false },
    ready: async (signal) => signal.throwIfAborted(),
    handOver: () => Buffer.from('state'),
    stay() {
      this.stayed = true;
    },
  };
}

test('a connection that closes before it is its turn to be sent is not waited for', async () => {
  const socket = await connected();
  const sockets = [socket];
  const taker = new Taker();
  taker.onSocket = () => {
    socket.once('close', () => sockets.pop());
    socket.destroy();
  };
  await give(movableOf(sockets), new Channel(taker as unknown as NodeJS.Process));
  expect(taker.sent).toEqual(['hand-over.offer', 'hand-over.socket', 'hand-over.state']);
});

test('a session whose connection cannot be sent stays, at once', async () => {
  const socket = await connected();
  const movable = movableOf([socket]);
  const taker = new Taker();
  const given = give(movable, new Channel(taker as unknown as NodeJS.Process));
  await expect(given).rejects.toMatchObject({
    lost: false,
    message: expect.stringContaining('a connection could not be sent'),
  });
  expect(movable.stayed).toBe(true);
  socket.destroy();
});

test('a connection that closes while sockets are sent ahead is waited for until it is gone', async () => {
  const socket = new Socket();
  const sockets = [socket];
  socket.once('close', () => sockets.pop());
  socket.destroy(); // its owner hears of that later
  let asked = 0;
  const movable: Movable = {
    kind: 'session',
    get sockets() {
      if (++asked > 100) throw new Error('asked without end');
      return sockets;
    },
    ready: () => Promise.resolve(),
    handOver: () => Buffer.from('state'),
    stay: () => undefined,
  };
  const taker = new Taker();
  await give(movable, new Channel(taker as unknown as NodeJS.Process));
  expect(taker.sent).toEqual(['hand-over.offer', 'hand-over.state']);
});
