import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import type { ClientOptions } from '@keymux/client';
import { ALGORITHM, type KeyInfo, Keyring, LocalKeeper, type LocalKeeperOptions } from '@keymux/keys';
import { Origin, type OriginOptions } from '@keymux/origin';
import { ConnectProxy, type ProxyOptions } from '@keymux/proxy';
import { encodeResponse, type MuxStream } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { clearRequest } from '../support/forge.ts';
import { bodyOf, connectClient } from '../support/library.ts';
import { Middle, type Wire } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, codeOf, failureOf, Keys } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const { PSK } = ALGORITHM;
/** A keeper that remembers, as far as first messages of these tests go back. */
const LONG_UP = { replaysKnownSince: 0 };

interface Effect {
  readonly method: string;
  readonly early: boolean;
}

interface ServerOptions {
  readonly keys: Keys;
  readonly keeper?: Partial<LocalKeeperOptions>;
  /** What the key is called here, if not by its default label. */
  readonly label?: string;
  readonly origin?: Partial<OriginOptions>;
  /** Whether handlers put requests off that may be replays. */
  readonly tooEarly?: boolean;
}

/** An origin whose requests have effects, behind somebody who keeps what passes. */
async function serve({ keys, keeper = LONG_UP, label, origin: options, tooEarly = false }: ServerOptions) {
  const effects: Effect[] = [];
  const keyring = new Keyring();
  keyring.add(keys.alpha, { authorities: [ALPHA], ...(label === undefined ? {} : { label }) });
  const origin = new Origin({
    keeper: new LocalKeeper({ keyring, ...keeper }),
    hosts: [
      {
        name: ALPHA,
        handler: ({ method, security: { early } }) => {
          if (tooEarly && early) return { status: 425 };
          effects.push({ method, early });
          return { status: 200, body: 'done' };
        },
      },
    ],
    ...options,
  });
  const { port } = (await origin.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(() => origin.close());
  const middle = await Middle.start(scope, port);
  const connectTo = async (client: ClientOptions = {}) => {
    const own = new Keyring();
    const name = own.add(keys.alpha, { authorities: [ALPHA], ...(label === undefined ? {} : { label }) });
    const made = await connectClient(scope, middle.address, {
      keeper: new LocalKeeper({ keyring: own }),
      ...client,
    });
    const key = await made.negotiate({ algorithm: PSK, label: name, authority: ALPHA, early: true });
    return { client: made, key };
  };
  return { origin, port, middle, effects, connect: connectTo };
}

const generations = (wire: Wire): number[] => wire.sent('up', 'sealed').map(({ bytes }) => Number(bytes[9]));

/** Sends a client's bytes once more, and waits until the server has hung up. */
async function replay(wire: Wire, port: number): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => undefined);
  const sent = wire.seen.filter(({ way }) => way === 'up').map(({ bytes }) => bytes);
  socket.end(Buffer.concat(sent));
  await once(socket.resume(), 'close');
}

/** A GET that has arrived as early data. */
async function earlyGet(server: Awaited<ReturnType<typeof serve>>) {
  const { client, key } = await server.connect();
  expect(key).toMatchObject({ early: true, generation: 0 });
  const answer = await client.request({ host: ALPHA, path: '/', key });
  expect(await bodyOf(answer)).toBe('done');
  expect(server.effects).toEqual([{ method: 'GET', early: true }]);
  return { client, answer };
}

describe('C12: the first flight, sent again', () => {
  test('to the same server: the effect count stays 1', async () => {
    const server = await serve({ keys: new Keys() });
    await earlyGet(server);
    for (let again = 0; again < 3; again++) await replay(server.middle.wire, server.port);
    expect(server.effects).toHaveLength(1);
  });

  test('to a sister server that knows the key under a label of its own: it has no effect', async () => {
    const keys = new Keys();
    const paris = await serve({ keys, label: `${keys.alpha.label}.paris` });
    const rome = await serve({ keys, label: `${keys.alpha.label}.rome` });
    await earlyGet(paris);
    await replay(paris.middle.wire, rome.port);
    expect(rome.effects).toEqual([]);
  });

  test('to a sister server with the same label: safe methods once, and marked', async () => {
    const keys = new Keys();
    const [one, other] = [await serve({ keys }), await serve({ keys })];
    await earlyGet(one);
    for (let again = 0; again < 3; again++) await replay(one.middle.wire, other.port);
    expect(other.effects).toEqual([{ method: 'GET', early: true }]);
  });

  test('to the same server, started again: it has no effect', async () => {
    const keys = new Keys();
    const before = await serve({ keys });
    await earlyGet(before);
    const after = await serve({ keys, keeper: {} });
    await replay(before.middle.wire, after.port);
    expect(after.effects).toEqual([]);
  });
});

describe('C12: what may travel early', () => {
  test('a POST waits for the server’s randomness', async () => {
    const server = await serve({ keys: new Keys() });
    const { client, key } = await server.connect();
    await bodyOf(await client.request({ host: ALPHA, path: '/', method: 'POST', body: 'x', key }));
    expect(server.effects).toEqual([{ method: 'POST', early: false }]);
    expect(new Set(generations(server.middle.wire))).toEqual(new Set([1]));
  });

  test('a client that does not wait is refused', async () => {
    const server = await serve({ keys: new Keys() });
    const { client, key } = await server.connect({ earlyMethods: ['POST'] });
    const stream = client.session.openStream(clearRequest('POST', ALPHA, '/'), { key, fin: true });
    const [error] = await once(stream, 'error');
    expect(error).toMatchObject({ code: 'ERR_KEYMUX_STREAM_RESET', status: 3 });
    expect(server.effects).toEqual([]);
  });

  test('other methods only where both sides say so', async () => {
    const server = await serve({ keys: new Keys(), origin: { earlyMethods: ['POST'] } });
    const { client, key } = await server.connect({ earlyMethods: ['POST'] });
    await bodyOf(await client.request({ host: ALPHA, path: '/', method: 'POST', body: 'x', key }));
    await bodyOf(await client.request({ host: ALPHA, path: '/', key }));
    expect(server.effects).toEqual([
      { method: 'POST', early: true },
      { method: 'GET', early: false },
    ]);
  });

  test('what the origin does not take early comes again, once, and is not early then', async () => {
    const server = await serve({ keys: new Keys(), origin: { earlyMethods: [] } });
    const { client, key } = await server.connect();
    expect((await client.request({ host: ALPHA, path: '/', key })).status).toBe(200);
    expect(server.effects).toEqual([{ method: 'GET', early: false }]);
  });

  test('a server that was started just now takes nothing early', async () => {
    const server = await serve({ keys: new Keys(), keeper: {} });
    const { client, key } = await server.connect();
    expect((await client.request({ host: ALPHA, path: '/', key })).status).toBe(200);
    expect(server.effects).toEqual([{ method: 'GET', early: false }]);
    expect(generations(server.middle.wire)[0]).toBe(0);
  });

  test('a handler puts a request off with 425', async () => {
    const server = await serve({ keys: new Keys(), tooEarly: true });
    const { client, key } = await server.connect();
    expect((await client.request({ host: ALPHA, path: '/', key })).status).toBe(200);
    expect(server.effects).toEqual([{ method: 'GET', early: false }]);
  });

  test('a request whose key is not confirmed fails with the session', async () => {
    const server = await serve({ keys: new Keys() });
    const { client, key } = await server.connect();
    const asked = failureOf(client.request({ host: ALPHA, path: '/', method: 'DELETE', key }));
    client.session.destroy();
    expect(codeOf(await asked)).toBeDefined();
    expect(server.effects).toEqual([]);
  });
});

describe('C12: CONNECT', () => {
  async function proxied(options: Partial<ProxyOptions> = {}, client: ClientOptions = {}) {
    const keys = new Keys();
    const keeper = keys.keeper(LONG_UP);
    const proxy = new ConnectProxy({ keeper, allow: ['127.0.0.1:1-65535'], ...options });
    const connected: string[] = [];
    proxy.on('connect', ({ status }) => connected.push(String(status)));
    const { port } = (await proxy.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    scope.defer(() => proxy.close());
    const middle = await Middle.start(scope, port);
    const hop = await connectClient(scope, middle.address, { keeper: keys.keeper(), ...client });
    const key = await hop.negotiate({ algorithm: PSK, label: keys.of(''), early: true });
    const { port: behind } = await serve({ keys });
    return { hop, key, behind, middle, connected };
  }

  test('never travels early, unless both sides say so', async () => {
    const { hop, key, behind, middle } = await proxied();
    (await hop.tunnel('127.0.0.1', behind, { key })).destroy();
    expect(new Set(generations(middle.wire))).toEqual(new Set([1]));
  });

  test('is refused early, whatever the client does', async () => {
    const { hop, key, behind, connected } = await proxied();
    const place = `127.0.0.1:${behind}`;
    const stream = hop.session.openStream(clearRequest('CONNECT', place, place).slice(0, 2), { key });
    const [error] = await once(stream, 'error');
    expect(error).toMatchObject({ status: 3 });
    expect(connected).toEqual([]);
  });

  test('goes early where both say so', async () => {
    const { hop, key, behind, middle, connected } = await proxied(
      { earlyConnect: true },
      { earlyMethods: ['CONNECT'] },
    );
    (await hop.tunnel('127.0.0.1', behind, { key })).destroy();
    expect(generations(middle.wire)[0]).toBe(0);
    expect(connected).toEqual(['200']);
  });
});

test('C12: the first answer moves the stream to a key with the server’s randomness in it', async () => {
  const server = await serve({ keys: new Keys(), origin: { earlyMethods: ['POST'] } });
  const accepted = once(server.origin, 'session').then(([session]) => {
    session.removeAllListeners('stream');
    return once(session, 'stream');
  });
  const { client, key } = await server.connect();
  const near = client.session.openStream(clearRequest('POST', ALPHA, '/'), { key });
  near.write('early');
  const [far] = (await accepted) as [MuxStream];
  await once(far, 'data');
  const { wire } = server.middle;
  expect(generations(wire)).toEqual(generations(wire).map(() => 0));
  const before = generations(wire).length;
  far.respond(encodeResponse(200, 'OK'));
  await once(near, 'reply');
  expect(near.security.receiving.key).toMatchObject({
    generation: 1,
    early: false,
  } satisfies Partial<KeyInfo>);
  near.end('late');
  await once(far.resume(), 'end');
  expect(generations(wire).slice(before)).not.toContain(0);
  expect(generations(wire).slice(before)).toContain(1);
  expect(wire.sent('down', 'sealed').map(({ bytes }) => bytes[9])).not.toContain(0);
  expect(far.security.early).toBe(true); // its head was, and so is what it asked for
});
