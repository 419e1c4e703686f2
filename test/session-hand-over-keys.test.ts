import { randomBytes } from 'node:crypto';
import { ANONYMOUS_LABEL, KeyRegistry, Keyring, LocalKeeper, MovableSha256 } from '@keymux/keys';
import { Session } from '@keymux/session';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LABEL, Link, Side } from './support/moving-keys.ts';
import { recordNonces } from './support/nonces.ts';
import { Scope } from './support/scope.ts';

const GET: [string, string][] = [[':method', 'GET']];
const POST: [string, string][] = [[':method', 'POST']];
const OK: [string, string][] = [[':status', '200']];

const scope = new Scope();
/** Every key and nonce that was sealed with in a test. */
let used: string[];
beforeEach(() => {
  used = recordNonces(scope);
});
afterEach(() => scope.close());

/** Neither side has failed, both have had many owners, and no nonce came twice. */
function expectHealthy({ client, server }: Link): void {
  expect([client.session.error, server.session.error]).toEqual([undefined, undefined]);
  expect([client.moves, server.moves].every((moves) => moves > 5)).toBe(true);
  expect(used.length).toBeGreaterThan(2);
  expect(new Set(used).size).toBe(used.length);
}

describe.each([1, 2, 3, 5, 6])('ALG %i', (algorithm) => {
  test.each(['client', 'server'] as const)('begun by the %s', async (initiator) => {
    const link = new Link();
    const { client, server } = link;
    await link.settle();
    const stream = client.session.open(POST);
    client.session.send(stream, Buffer.from('clear '));
    await link.settle();
    const asks = algorithm === 5 ? ANONYMOUS_LABEL : LABEL;
    const keyId = link[initiator].keys.negotiate({ algorithm, label: asks, authority: '', now: 0 });
    await link.settle();
    client.session.switchKey(stream, keyId);
    client.session.send(stream, Buffer.from('and sealed'));
    await link.settle();
    if (algorithm !== 1) {
      expect(client.keys.renegotiate(keyId, 0)).toBe('begun');
      client.session.keysProgressed(0);
      await link.settle();
      expect(server.keys.renegotiate(keyId, 0)).toBe('begun');
      server.session.keysProgressed(0);
      await link.settle();
      expect(client.keys.sender(keyId)?.info).toMatchObject({ generation: 2 });
      expect(server.keys.exporter(keyId)?.use((bytes) => Buffer.from(bytes).toString('hex'))).toBe(
        client.keys.exporter(keyId)?.use((bytes) => Buffer.from(bytes).toString('hex')),
      );
    }
    server.session.reply(stream, OK, { keyId });
    server.session.end(stream);
    client.session.end(stream);
    client.session.ping(0);
    await link.settle();
    expect(server.text(stream)).toBe('clear and sealed');
    expect(client.event('pong')).toBeDefined();
    expect([client.session.streamCount, server.session.streamCount]).toEqual([0, 0]);
    expectHealthy(link);
  });
});

test('the key of a peer that has yet to prove itself: the next owner believes it no earlier', async () => {
  const link = new Link();
  const { client, server } = link;
  client.keys.negotiate({ algorithm: 3, label: LABEL, authority: 'host', now: 0 });
  // What the client seals arrives after the server has changed hands several times.
  for (let rounds = 0; server.event('key') === undefined; rounds++) {
    expect(rounds).toBeLessThan(1_000);
    client.carry(server);
    server.carry(client);
    await new Promise(setImmediate);
  }
  link.delivers = false;
  await link.settle();
  expect(server.unprovenMoves).toBeGreaterThan(2);
  expect(server.keys.info(1)).toMatchObject({ level: 'none' });
  expect(server.keys.sender(1)).toBeUndefined();
  client.session.open(GET, { keyId: 1, fin: true });
  link.delivers = true;
  await link.settle();
  expect(server.keys.sender(1)?.info).toMatchObject({ level: 'authenticated', authority: 'host' });
  expect(server.event('stream')).toMatchObject({ key: { level: 'authenticated' } });
  expectHealthy(link);
});

test('early data, and the generation behind it', async () => {
  const link = new Link();
  const { client, server } = link;
  link.delivers = false;
  const keyId = client.keys.negotiate({ algorithm: 1, label: LABEL, authority: '', now: 0 });
  await link.settle();
  const stream = client.session.open(GET, { keyId, fin: true });
  await link.settle();
  link.delivers = true;
  await link.settle();
  expect(server.event('stream')).toMatchObject({ id: stream, key: { early: true } });
  server.session.reply(stream, OK, { fin: true });
  await link.settle();
  expect(client.event('reply')?.key).toMatchObject({ generation: 1, early: false });
  expectHealthy(link);
});

test('a key is retired, and its ID is never used again', async () => {
  const link = new Link();
  const { client, server } = link;
  const first = client.keys.negotiate({ algorithm: 3, label: LABEL, authority: 'host', now: 0 });
  await link.settle();
  const stream = client.session.open(POST, { keyId: first });
  await link.settle();
  client.session.retireKey(first);
  await link.settle();
  server.session.reply(stream, OK, { fin: true });
  client.session.end(stream);
  await link.settle();
  expect(client.event('key-retired')).toMatchObject({ keyId: first });
  expect(server.event('key-retired')).toMatchObject({ keyId: first });
  expect(client.keys.negotiate({ algorithm: 3, label: LABEL, authority: 'host', now: 0 })).toBe(first + 2);
  await link.settle();
  expect(server.keys.sender(first)).toBeUndefined();
  expectHealthy(link);
});

test('a run in progress is not handed over, and the session goes on as it was', async () => {
  const link = new Link();
  const { client } = link;
  client.keys.negotiate({ algorithm: 3, label: LABEL, authority: '', now: 0 });
  client.session.keysProgressed(0);
  expect(client.session.handOverObstacle).toBe('a negotiation is in progress');
  expect(() => client.session.freeze({ id: randomBytes(16), now: 0 })).toThrow(
    /a negotiation is in progress/,
  );
  await link.settle();
  expect(client.keys.sender(1)?.info.level).toBe('authenticated');
  expectHealthy(link);
});

test('a message of a run is known again by the next owner, so that nobody can repeat it', async () => {
  const link = new Link();
  const { client, server } = link;
  const keyId = client.keys.negotiate({ algorithm: 3, label: LABEL, authority: 'host', now: 0 });
  await link.settle();
  const heard: Parameters<KeyRegistry['receive']>[] = [];
  const listen = (): void => {
    const { keys } = server;
    const receive = keys.receive.bind(keys);
    keys.receive = (...call) => {
      heard.push(call);
      receive(...call);
    };
  };
  listen();
  client.keys.renegotiate(keyId, 0);
  client.session.keysProgressed(0);
  client.carry(server);
  await new Promise(setImmediate);
  client.carry(server);
  expect(heard).toHaveLength(1);
  await link.settle();
  client.session.open(GET, { keyId, fin: true });
  await link.settle();
  expect(server.keys.sender(keyId)).toMatchObject({ generation: 1 });
  expect(server.moves).toBeGreaterThan(5);
  server.keys.receive(...(heard[0] as Parameters<KeyRegistry['receive']>));
  expect(server.keys.poll()).toMatchObject({ type: 'failed', error: { reason: 'unexpected' } });
});

test('keys of the other side are refused', () => {
  const side = new Side('client');
  const blob = side.give();
  const keeper = new LocalKeeper({ keyring: new Keyring() });
  expect(() =>
    Session.thaw(blob, {
      loadKeys: (reader) => KeyRegistry.load(reader, { role: 'server', keeper }),
      createHash: () => new MovableSha256(),
      now: 0,
    }),
  ).toThrow(/keys of the client, not of the server/);
});
