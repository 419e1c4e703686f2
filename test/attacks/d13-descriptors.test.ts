import { once } from 'node:events';
import { connect } from 'node:net';
import { Client } from '@keymux/client';
import { MuxSession } from '@keymux/streams';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ANNOUNCEMENT } from '../support/attacker.ts';
import { connectClient } from '../support/library.ts';
import { Scope } from '../support/scope.ts';
import { silentPort, tcpServer } from '../support/servers.ts';
import { type Bystander, expectUnharmed, Siege } from '../support/siege.ts';
import { Stranger } from '../support/stranger.ts';

const GROWTH = 32 * 2 ** 20;
/** Where the attackers come from; the bystanders come from 127.0.0.1. */
const ATTACKER = '127.0.0.2';

const shared = new Scope();
const scope = new Scope();
afterEach(() => scope.close());
afterAll(() => shared.close());

/** A proxy in a process of its own with these limits. */
async function proxy(
  limits: Record<string, number>,
  more: readonly string[] = [],
  descriptors?: number,
): Promise<Siege> {
  const args = Object.entries(limits).flatMap(([name, value]) => ['--limit', `${name}=${value}`]);
  const all = ['proxy', '--clear', '--allow', '127.0.0.1:*', ...args, ...more];
  return Siege.start(shared, all, {}, descriptors);
}

const echo = (where: Scope): Promise<number> => tcpServer(where, (socket) => void socket.pipe(socket));

/** Has a word echoed through a tunnel. */
async function ask(client: Client, port: number): Promise<void> {
  const tunnel = await client.tunnel('127.0.0.1', port);
  tunnel.write('word');
  const [answer] = (await once(tunnel, 'data')) as [Buffer];
  tunnel.destroy();
  if (answer.toString() !== 'word') throw new Error(`"${answer}" for "word"`);
}

/** Has words echoed in the session that it has had from the beginning. */
async function resident(siege: Siege, port: number): Promise<Bystander> {
  const client = await connectClient(shared, siege.address);
  return () => ask(client, port);
}

function newcomer(siege: Siege, port: number): Bystander {
  return async () => {
    const client = await Client.connect(siege.address);
    try {
      await ask(client, port);
    } finally {
      client.session.destroy();
    }
  };
}

/** Connections that begin sessions and keep them; those that the server lets in. */
async function crowd(siege: Siege, size: number, places: number, from = ATTACKER): Promise<Stranger[]> {
  const all = await Stranger.crowd(scope, siege.port, size, from);
  for (const stranger of all) stranger.send(ANNOUNCEMENT);
  // Each is either closed or hears what the server has to say first.
  const heard = (one: Stranger) => new Promise((resolve) => one.socket.once('data', resolve));
  await Promise.all(all.map((one) => Promise.race([one.closed, heard(one)])));
  const left = all.filter((stranger) => !stranger.over);
  expect(left).toHaveLength(places);
  return left;
}

/** A session from the attacker's address. */
async function attackingSession(siege: Siege): Promise<MuxSession> {
  const socket = connect({ port: siege.port, host: '127.0.0.1', localAddress: ATTACKER });
  scope.defer(() => socket.destroy());
  await once(socket, 'connect');
  return new MuxSession(socket, { role: 'client' });
}

/** Asks for tunnels at once, and keeps them; the statuses of the answers. */
async function tunnels(session: MuxSession, port: number, number: number): Promise<string[]> {
  const answers = Array.from({ length: number }, async () => {
    const stream = session.openStream([
      [':method', 'CONNECT'],
      [':path', `127.0.0.1:${port}`],
      [':version', 'HTTP/1.1'],
    ]);
    await once(stream, 'reply');
    const status = stream.replyHeaders?.find(([name]) => name === ':status')?.[1]?.slice(0, 3) ?? '';
    if (status !== '200') stream.destroy();
    return status;
  });
  return (await Promise.all(answers)).sort();
}

const statuses = (opened: number, refused: number): string[] => [
  ...Array.from({ length: opened }, () => '200'),
  ...Array.from({ length: refused }, () => '503'),
];

/** Waits until nobody is left but who has had his session from the beginning. */
async function cleared(siege: Siege): Promise<void> {
  await siege.until(({ streams }) => streams.length === 1);
}

describe('D13: what one client may have', () => {
  let siege: Siege;
  let bystanders: Bystander[];
  let port: number;
  beforeAll(async () => {
    port = await echo(shared);
    siege = await proxy({ 'connections-per-client': 10, 'tunnels-per-client': 8, 'dials-per-client': 6 });
    bystanders = [await resident(siege, port), newcomer(siege, port)];
  });
  afterEach(async () => {
    await scope.close();
    await cleared(siege);
  });

  test('connections: the others have theirs, and a place that is left is free again', async () => {
    const aftermath = await siege.during(bystanders, async () => {
      const inside = await crowd(siege, 40, 10);
      await crowd(siege, 5, 0);
      for (const stranger of inside.slice(0, 3)) stranger.socket.destroy();
      await siege.until(({ streams }) => streams.length <= 8 + 1);
      await crowd(siege, 5, 3);
    });
    // 37 were turned away: whoever runs the server learns of it, but not by a line for each.
    expect((await siege.server.atLeast(1, 'refused')).length).toBeLessThan(10);
    expectUnharmed(aftermath, { growth: GROWTH });
  });

  test('tunnels, in all of its sessions together', async () => {
    const aftermath = await siege.during(bystanders, async () => {
      const one = await attackingSession(siege);
      expect(await tunnels(one, port, 6)).toEqual(statuses(6, 0));
      const other = await attackingSession(siege);
      expect(await tunnels(other, port, 6)).toEqual(statuses(2, 4));
      one.destroy();
      await siege.until(({ streams }) => !streams.includes(6));
      expect(await tunnels(other, port, 6)).toEqual(statuses(6, 0));
    });
    expectUnharmed(aftermath, { growth: GROWTH });
  });

  test('attempts to connect that lead nowhere', async () => {
    const nowhere = await silentPort(scope);
    const aftermath = await siege.during(bystanders, async () => {
      const session = await attackingSession(siege);
      tunnels(session, nowhere, 6).catch(() => undefined); // nobody answers
      expect(await tunnels(session, nowhere, 1)).toEqual(statuses(0, 1));
      expect(await tunnels(await attackingSession(siege), port, 1)).toEqual(statuses(0, 1));
      session.destroy();
      await siege.until(({ streams }) => !streams.includes(6));
      expect(await tunnels(await attackingSession(siege), port, 1)).toEqual(statuses(1, 0));
    });
    expectUnharmed(aftermath, { growth: GROWTH });
  });
});

test('D13: behind a balancer each connection is a client', async () => {
  const siege = await proxy({ 'connections-per-client': 1, 'tunnels-per-client': 2 }, ['--behind-balancer']);
  const port = await echo(scope);
  await crowd(siege, 10, 10);
  for (let session = 0; session < 2; session++)
    expect(await tunnels(await attackingSession(siege), port, 4)).toEqual(statuses(2, 2));
});

/** `ulimit -n`: with fewer, Node does not even load the program. */
const DESCRIPTORS = 256;
/** Half of what is left beside 32. */
const HALF = 112;

describe(`D13: with ${DESCRIPTORS} descriptors`, () => {
  let siege: Siege;
  let residing: Bystander;
  let port: number;
  beforeAll(async () => {
    port = await echo(shared);
    siege = await proxy({ 'connections-per-client': 100 }, [], DESCRIPTORS);
    residing = await resident(siege, port);
  });
  afterEach(async () => {
    await scope.close();
    await cleared(siege);
  });

  test('one client gets its share of them, and nobody notices', async () => {
    const aftermath = await siege.during([residing, newcomer(siege, port)], async () => {
      await crowd(siege, 130, 100);
    });
    expectUnharmed(aftermath, { growth: GROWTH });
  });

  test('when all places are taken, what has begun goes on, and those who leave make room', async () => {
    const aftermath = await siege.during([residing], async () => {
      const inside = [
        ...(await crowd(siege, 100, 100)),
        ...(await crowd(siege, 30, HALF - 101, '127.0.0.3')),
      ];
      await expect(newcomer(siege, port)()).rejects.toThrow();
      for (const stranger of inside) stranger.socket.destroy();
      await cleared(siege);
      await newcomer(siege, port)();
    });
    expectUnharmed(aftermath, { growth: GROWTH });
  });

  test('tunnels have the other half: when they are taken, there is room to come in', async () => {
    const session = await attackingSession(siege);
    expect(await tunnels(session, port, HALF + 30)).toEqual(statuses(HALF, 30));
    await expect(newcomer(siege, port)()).rejects.toMatchObject({ status: 503 });
    session.destroy();
    await cleared(siege);
    await newcomer(siege, port)();
  });
});
