import type { ChildProcess } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { type AddressInfo, connect, createServer, Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { Channel, give, Taker } from '@keymux/hand-over';
import { KeeperServer } from '@keymux/keeper';
import { Keyring, LocalKeeper } from '@keymux/keys';
import type { Movable } from '@keymux/streams';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Port, portPair, runWorker, type WorkerService } from '../src/index.ts';

/** A worker in this process, with an admin that has nothing to do but to bring it to its keeper. */
let admin: Port & { close: () => void };
let over: Promise<void>;
let hears: EventEmitter;
/** Who gives it sessions, or takes them from it. */
let other: EventEmitter & { send(message: object): void };
/** What the acceptor gives its new sessions by. */
let pass: (movable: Movable) => Promise<void>;
/** What it has said on the channel of hand-overs. */
let said: { type: string; name: string; reason?: string }[];
let sessions: Movable[];
let closed: { within?: number } | undefined;
let keepers: KeeperServer;

beforeEach(() => start());

async function start({ accepts = false } = {}): Promise<void> {
  [said, sessions, closed] = [[], [], undefined];
  keepers = new KeeperServer({ keeper: new LocalKeeper({ keyring: new Keyring() }) });
  const pair = portPair();
  admin = Object.assign(pair[0], { close: pair.close });
  hears = Object.assign(new EventEmitter(), {
    connected: true,
    send: (message: (typeof said)[number]) => {
      said.push(message);
      other.emit('message', message);
    },
  });
  other = Object.assign(new EventEmitter(), {
    connected: true,
    send: (message: object) => hears.emit('message', message),
  });
  const service: Partial<WorkerService> = {
    takes: { thing: () => void sessions.push(session()) },
    movable: () => sessions,
    handOn: (by) => {
      pass = by;
    },
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
    accepts,
  });
  admin.send({ type: 'begin', settings: {} });
  await begun;
}

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

/** A session. One with a socket that is none stays: it never comes to its state. */
function session(sockets = [new Socket()]): Movable {
  return {
    kind: 'thing',
    sockets,
    ready: () => Promise.resolve(),
    handOver: () => new Uint8Array(0),
    stay: () => undefined,
  };
}

/** Whether a promise has settled after some turns. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let is = false;
  void promise.finally(() => {
    is = true;
  });
  await turns();
  return is;
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

describe('a session that is on its way', () => {
  /** Keeps messages of a type back until it is called. */
  const keepBack = (end: { send(message: object): unknown }, type: string): (() => void) => {
    const { send } = end;
    const kept: object[] = [];
    end.send = (message) =>
      (message as { type: string }).type === type ? kept.push(message) : send(message);
    return () => {
      for (const message of kept) send(message);
    };
  };

  test.each(['retire', 'drain'])(
    'to a worker that is told to %s has the worker wait, and close it too',
    async (type) => {
      const comes = keepBack(other, 'hand-over.state');
      const given = give(session([]), new Channel(other as unknown as ChildProcess));
      await turns();
      expect(said.map(({ type }) => type)).toEqual(['hand-over.ready']);
      admin.send({ type });
      expect(await settled(over)).toBe(false);
      other.on('message', ({ type, name }) => {
        if (type === 'hand-over.offer') other.send({ type: 'hand-over.refused', name, reason: 'no' });
      });
      closed = undefined;
      comes();
      await given;
      await over;
      expect(closed).toBeDefined();
      // One that retires gives it on, as it does with all others; here nobody takes it.
      const offers = said.filter(({ type }) => type === 'hand-over.offer');
      expect(offers).toHaveLength(type === 'retire' ? 1 : 0);
    },
  );

  test('and never comes ends with that: the worker does not wait for it any longer', async () => {
    keepBack(other, 'hand-over.state');
    const given = give(session([]), new Channel(other as unknown as ChildProcess));
    await turns();
    admin.send({ type: 'drain' });
    expect(await settled(over)).toBe(false);
    other.emit('disconnect');
    await expect(given).rejects.toMatchObject({ lost: true });
    await over;
  });

  test.each(['retire', 'drain'])(
    'from an acceptor that is told to %s has the acceptor wait',
    async (type) => {
      admin.close();
      await start({ accepts: true });
      const taker = new Taker(new Channel(other as unknown as ChildProcess), { thing: () => undefined });
      const arrives = keepBack(other, 'hand-over.taken');
      const passed = pass(session([]));
      await turns();
      admin.send({ type });
      expect(await settled(over)).toBe(false);
      arrives();
      await Promise.all([passed, over, taker.over()]);
    },
  );
});
