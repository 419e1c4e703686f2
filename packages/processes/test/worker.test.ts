import type { ChildProcess } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { type AddressInfo, connect, createServer, Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { Channel } from '@keymux/hand-over';
import { KeeperServer } from '@keymux/keeper';
import { Keyring, LocalKeeper } from '@keymux/keys';
import type { Movable } from '@keymux/streams';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Port, portPair, runWorker, type WorkerService } from '../src/index.ts';

/** A worker in this process, with an admin that has nothing to do but to bring it to its keeper. */
let admin: Port & { close: () => void };
let over: Promise<void>;
let hears: EventEmitter;
/** What it has said on the channel of hand-overs. */
let said: { type: string; name: string; reason?: string }[];
let sessions: Movable[];
let closed: { within?: number } | undefined;
let keepers: KeeperServer;

beforeEach(async () => {
  [said, sessions, closed] = [[], [], undefined];
  keepers = new KeeperServer({ keeper: new LocalKeeper({ keyring: new Keyring() }) });
  const pair = portPair();
  admin = Object.assign(pair[0], { close: pair.close });
  hears = Object.assign(new EventEmitter(), {
    connected: true,
    send: (message: (typeof said)[number]) => said.push(message),
  });
  const service: Partial<WorkerService> = {
    takes: { thing: () => undefined },
    movable: () => sessions,
    stopListening: () => Promise.resolve(),
    close: async (options) => {
      closed = options ?? {};
    },
  };
  const begun = new Promise<void>((resolve) => {
    admin.receive(async (message) => {
      const { type, id } = message as { type: string; id: number };
      if (type === 'ready') resolve();
      if (type !== 'wants-link') return;
      const [near, far] = await connection();
      keepers.serve(near, { name: 'worker' });
      admin.send({ type: 'link', id, found: true }, far);
    });
  });
  over = runWorker(pair[1], {
    channel: new Channel(hears as ChildProcess),
    explain: (error) => ({ text: String(error), exitCode: 1 }),
    create: async () => service as WorkerService,
  });
  admin.send({ type: 'begin', settings: {} });
  await begun;
});

afterEach(async () => {
  admin.close();
  await keepers.close();
});

async function connection(): Promise<[Socket, Socket]> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const far = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [near] = (await once(server, 'connection')) as [Socket];
  server.close();
  return [near, far];
}

/** A session that stays: nobody takes it. */
function session(): Movable {
  const sockets = [new Socket()];
  return {
    kind: 'thing',
    sockets,
    ready: () => Promise.resolve(),
    handOver: () => new Uint8Array(0),
    stay: () => undefined,
  };
}

async function turns(): Promise<void> {
  for (let index = 0; index < 10; index++) await turn();
}

test('that retires offers its sessions a few hundred at a time, each once, and then drains those that stay', async () => {
  sessions = Array.from({ length: 600 }, session);
  admin.send({ type: 'retire' });
  const offered = new Set<string>();
  let most = 0;
  while (closed === undefined) {
    await turns();
    const open = said.filter(({ name }) => !offered.has(name));
    most = Math.max(most, open.length);
    for (const { name } of open) {
      offered.add(name);
      hears.emit('message', { type: 'hand-over.refused', name, reason: 'no room' });
    }
  }
  await over;
  expect(most).toBe(256);
  expect(said.filter(({ type }) => type === 'hand-over.offer')).toHaveLength(600);
  expect(closed).toEqual({ within: Number.POSITIVE_INFINITY });
});

test('takes sessions of others', async () => {
  const name = '0123456789abcdef0123456789abcdef';
  hears.emit('message', { type: 'hand-over.offer', name, version: 1, kind: 'thing' });
  expect(said).toMatchObject([{ type: 'hand-over.ready', name }]);
  hears.emit('message', { type: 'hand-over.withdrawn', name });
});

test.each(['retire', 'drain'])('that is told to %s takes no session any more', async (type) => {
  admin.send({ type });
  await over;
  const name = '0123456789abcdef0123456789abcdef';
  hears.emit('message', { type: 'hand-over.offer', name, version: 1, kind: 'thing' });
  expect(said).toEqual([{ type: 'hand-over.refused', name, reason: 'it is ending' }]);
});
