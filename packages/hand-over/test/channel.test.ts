import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { type AddressInfo, connect, createServer, Socket } from 'node:net';
import { handleOf } from '@keymux/streams';
import { beforeEach, expect, test } from 'vitest';
import { Channel, type Message } from '../src/index.ts';

const NAME = '0123456789abcdef0123456789abcdef';
const SOCKET = { type: 'hand-over.socket', name: NAME, place: 0 };

/** What comes along as it is; nobody may forget to close it. */
class Handle {
  closed = false;
  close(): void {
    this.closed = true;
  }
}

let port: EventEmitter;
let heard: [Message, object | undefined][];

beforeEach(() => {
  port = new EventEmitter();
  heard = [];
  const channel = new Channel(port as ChildProcess);
  channel.on('message', (message, handle) => heard.push([message, handle]));
});

test('a handle beside what announces it belongs to who listens', () => {
  const handle = new Handle();
  port.emit('message', SOCKET, handle);
  expect(heard).toEqual([[SOCKET, handle]]);
  expect(handle.closed).toBe(false);
});

test.each([
  ['has a field too many', { ...SOCKET, more: 1 }],
  ['has a name that is none', { ...SOCKET, name: '../x' }],
  ['has no place', { type: SOCKET.type, name: NAME }],
  ['is unknown', { type: 'hand-over.else', name: NAME }],
])('a handle beside a message that %s is closed, and nobody hears of it', (_what, message) => {
  const handle = new Handle();
  port.emit('message', message, handle);
  expect(heard).toEqual([]);
  expect(handle.closed).toBe(true);
});

test('a handle beside a message that has none is closed, and does not reach who listens', () => {
  const handle = new Handle();
  const message = { type: 'hand-over.taken', name: NAME };
  port.emit('message', message, handle);
  expect(heard).toEqual([[message, undefined]]);
  expect(handle.closed).toBe(true);
});

test('a socket, which would be read from, is destroyed and counts as no handle', () => {
  const socket = new Socket();
  port.emit('message', SOCKET, socket);
  expect(heard).toEqual([[SOCKET, undefined]]);
  expect(socket.destroyed).toBe(true);
});

test('what is said beside hand-overs is left to others, with its handles', () => {
  const handle = new Handle();
  const socket = new Socket();
  port.emit('message', { type: 'listen' }, handle);
  port.emit('message', 'hand-over.socket', socket);
  expect(heard).toEqual([]);
  expect([handle.closed, socket.destroyed]).toEqual([false, false]);
});

test('a handle that is closed while it waits for its turn is not sent, which whoever sends it is told', async () => {
  const child = spawn(process.execPath, ['-e', 'process.on("message", (_, handle) => handle.close())'], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const server = createServer().listen(0, '127.0.0.1');
  try {
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const sockets = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')] as const;
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    const channel = new Channel(child);
    const sent = sockets.map(
      (socket) =>
        new Promise((resolve) =>
          channel.send(SOCKET as Message, handleOf(socket), (error) => resolve(!error)),
        ),
    );
    sockets[1].destroy();
    expect(await Promise.all(sent)).toEqual([true, false]);
    sockets[0].destroy();
  } finally {
    child.kill('SIGKILL');
    server.close();
  }
});
