import { generateKeyPairSync } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import type { Movable } from '@keymux/streams';
import { expect, test } from 'vitest';
import { Channel, give } from '../src/index.ts';

/** A taker that takes everything, in this process. */
class Taker extends EventEmitter {
  readonly connected = true;
  readonly sent: string[] = [];

  send(
    message: { type: string; name: string; last?: boolean },
    _handle: unknown,
    _options: unknown,
    done: () => void,
  ) {
    const { type, name } = message;
    this.sent.push(type);
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
