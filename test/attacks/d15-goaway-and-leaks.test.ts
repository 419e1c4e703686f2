import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Client } from '@keymux/client';
import { encodeControl, RST } from '@keymux/frames';
import { ALGORITHM, type KeyInfo } from '@keymux/keys';
import { Origin } from '@keymux/origin';
import { type MuxSession, type MuxStream, StreamResetError } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { Attacker } from '../support/attacker.ts';
import { clearRequest } from '../support/forge.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, failureOf, Keys } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Both sides of a session, in some state. */
interface Stage {
  readonly client: Client;
  readonly server: MuxSession;
  key(): Promise<KeyInfo>;
  open(method: string, path: string, key?: KeyInfo): MuxStream;
}

/** What brings a session to a state in which something is open. Whatever it starts may fail when the session ends. */
const STATES: readonly (readonly [string, (stage: Stage) => unknown])[] = [
  ['just begun', () => undefined],
  ['with a request that waits for its answer', ({ open }) => open('GET', '/never').end()],
  ['with a body on its way', ({ open }) => open('POST', '/never').write(Buffer.alloc(500_000))],
  ['with an answer that nobody reads', ({ open }) => open('GET', '/large').end()],
  ['with a key being negotiated', ({ key }) => void key().catch(() => undefined)],
  ['with a sealed request', async ({ key, open }) => open('GET', '/never', await key()).end()],
  [
    'with a stream on its way to a key',
    async ({ key, open }) => {
      const made = await key();
      const stream = open('POST', '/never');
      stream.write('clear');
      stream.switchKey(made);
      stream.write('sealed');
    },
  ],
  [
    'with a key on its way to another generation',
    async ({ key, client }) => void client.session.renegotiate(await key()).catch(() => undefined),
  ],
  ['with a PING on its way', ({ client }) => void client.session.ping().catch(() => undefined)],
  [
    'that the client is leaving',
    ({ client, open }) => {
      open('GET', '/never').end();
      void client.session.close();
    },
  ],
  [
    'that the server is leaving',
    async ({ server, open }) => {
      open('GET', '/never').end();
      await once(server, 'stream');
      void server.close();
    },
  ],
];

const ENDS: readonly (readonly [string, (stage: Stage) => unknown])[] = [
  ['ended by the client', ({ client }) => client.session.destroy()],
  ['ended by the server', ({ server }) => server.destroy()],
  ['cut off by the client', ({ client }) => client.session.carrier.destroy()],
  ['cut off by the server', ({ server }) => server.carrier.destroy()],
];

const ALL = STATES.flatMap(([state, bring]) =>
  ENDS.map(([end, finish]) => [state, end, bring, finish] as const),
);

/** An origin that answers `/large` with more than any window holds, and nothing else while its client is there. */
async function origin(keys: Keys): Promise<Origin> {
  const made = new Origin({
    keeper: keys.keeper(),
    hosts: [
      {
        name: ALPHA,
        handler: async ({ path, body }) => {
          if (path === '/large') return { status: 200, body: Buffer.alloc(1_000_000) };
          body.resume();
          await once(body, 'close');
          await new Promise<void>((resolve) => gone.push(resolve));
          return { status: 204 };
        },
      },
    ],
  });
  scope.defer(() => made.close());
  return made;
}

/** Handlers that wait for the end of their session. */
const gone: (() => void)[] = [];

/** Brings a session to a state and ends it; what is left are these references, which hold nothing. */
async function played(
  host: Origin,
  keys: Keys,
  port: number,
  bring: (stage: Stage) => unknown,
  finish: (stage: Stage) => unknown,
): Promise<WeakRef<object>[]> {
  const accepted = once(host, 'session') as Promise<[MuxSession]>;
  const client = await Client.connect(`127.0.0.1:${port}`, { keeper: keys.keeper() });
  const [server] = await accepted;
  const streams: MuxStream[] = [];
  server.on('stream', (stream) => streams.push(stream));
  const stage: Stage = {
    client,
    server,
    key: () => client.negotiate({ algorithm: ALGORITHM.PSK_X25519, label: keys.of(ALPHA), authority: ALPHA }),
    open: (method, path, key) => {
      const stream = client.session.openStream(clearRequest(method, ALPHA, path), { key });
      streams.push(stream);
      return stream;
    },
  };
  await bring(stage);
  for (let turns = 0; turns < 5; turns++) await setImmediate();
  await finish(stage);
  await Promise.all([client.session.closed, server.closed]);
  await Promise.all([client.session.carrier, server.carrier].map(over));
  for (const resolve of gone.splice(0)) resolve();
  expect([client.session.streamCount, server.streamCount]).toEqual([0, 0]);
  for (const stream of streams) expect(stream.destroyed).toBe(true);
  return [client.session, server, ...streams].map((object) => new WeakRef<object>(object));
}

/** The carrier is closed, whether or not that was an error. */
async function over(carrier: Duplex): Promise<void> {
  if (!carrier.closed) await new Promise((resolve) => carrier.once('close', resolve));
}

/** Connections that are open. A timer that is left would hold its session. */
function sockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
}

describe('D15: what a session leaves behind', () => {
  test('nothing, in whatever state it ends, and whoever ends it', async () => {
    const keys = new Keys();
    const host = await origin(keys);
    const { port } = (await host.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    const before = sockets();
    const left = new Map<string, WeakRef<object>[]>();
    for (const [state, end, bring, finish] of ALL)
      left.set(`${state}, ${end}`, await played(host, keys, port, bring, finish));
    let held: string[] = [];
    for (let turns = 0; turns < 20; turns++) {
      await setImmediate();
      collectGarbage();
      held = [...left]
        .filter(([, refs]) => refs.some((ref) => ref.deref() !== undefined))
        .map(([name]) => name);
      if (held.length === 0) break;
    }
    expect(held).toEqual([]);
    expect(sockets()).toBe(before);
  });
});

const goaway = (lastGoodId: number, status = 0): Uint8Array =>
  encodeControl({ type: 'goaway', lastGoodId, status });

describe('D15: a GOAWAY that takes streams back, or gives them back', () => {
  test('what it disowns is refused once, and nothing is sent again, whatever the next GOAWAY says', async () => {
    let meet: (attacker: Attacker) => void = () => undefined;
    const met = new Promise<Attacker>((resolve) => {
      meet = resolve;
    });
    const port = await Attacker.listen(scope, (attacker) => meet(attacker));
    const client = await Client.connect(`127.0.0.1:${port}`);
    scope.defer(() => client.session.destroy());
    const asked = ['GET', 'POST', 'GET'].map((method) =>
      failureOf(client.request({ method, host: ALPHA, path: '/', ...(method === 'POST' && { body: 'x' }) })),
    );
    const attacker = await met;
    await attacker.until(({ opened }) => opened.length === 3);
    attacker.send(goaway(3));
    expect(await asked[2]).toMatchObject({ status: RST.REFUSED_STREAM, origin: 'remote' });
    attacker.send(goaway(5), encodeControl({ type: 'ping', id: 2 }));
    await attacker.until(({ pongs }) => pongs === 1);
    expect(client.session.streamCount).toBe(2);
    expect(client.session.canOpen).toBe(false);
    attacker.send(goaway(1));
    const second = await asked[1];
    expect(second).toBeInstanceOf(StreamResetError);
    expect(second).toMatchObject({ status: RST.REFUSED_STREAM });
    attacker.end();
    expect(await asked[0]).toBeInstanceOf(Error); // whether it was acted on, nobody knows
    await client.session.closed;
    expect(attacker.opened).toEqual([1, 3, 5]);
  });
});
