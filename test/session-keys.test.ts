import { createHash } from 'node:crypto';
import { KeyRegistry, Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { type Role, Session, type SessionEvent } from '@keymux/session';
import { describe, expect, test } from 'vitest';
import { WatchedKeeper } from './support/keepers.ts';

/** The session engine with the real key registry, over a carrier in memory. */

const FILE = Buffer.alloc(32, 'a key file');
const label = 'shared';
const GET: [string, string][] = [[':method', 'GET']];
const POST: [string, string][] = [[':method', 'POST']];
const OK: [string, string][] = [[':status', '200']];

class Side {
  readonly keeper: WatchedKeeper;
  readonly keys: KeyRegistry;
  readonly session: Session;
  readonly events: SessionEvent[] = [];

  constructor(role: Role, file: Uint8Array) {
    const keyring = new Keyring();
    keyring.add(new PreSharedKey(file), { label: 'shared', authorities: ['', 'host'] });
    this.keeper = new WatchedKeeper(new LocalKeeper({ keyring, replaysKnownSince: 0 }));
    this.keys = new KeyRegistry({ role, keeper: this.keeper });
    this.session = new Session({
      role,
      keys: this.keys,
      createHash: () => createHash('sha256'),
      config: { algorithms: 6 },
      now: 0,
    });
    this.keys.onProgress = () => this.session.keysProgressed(0);
  }

  /** Gives the peer what this side has to say, in pieces of `size` bytes, as far as it wants to read. */
  carry(to: Side, size: number, unread: Uint8Array[], delivers: boolean): boolean {
    for (let output = this.session.output(); output !== undefined; output = this.session.output()) {
      const bytes = Buffer.concat(output);
      for (let at = 0; at < bytes.length; at += size)
        unread.push(Uint8Array.from(bytes.subarray(at, at + size)));
    }
    let moved = false;
    while (delivers && to.session.wantsInput && unread.length > 0) {
      to.session.receive(unread.shift() as Uint8Array, 0);
      moved = true;
    }
    for (let event = to.session.nextEvent(); event; event = to.session.nextEvent()) to.events.push(event);
    return moved;
  }

  event<T extends SessionEvent['type']>(type: T): Extract<SessionEvent, { type: T }> | undefined {
    return this.events.find((event): event is Extract<SessionEvent, { type: T }> => event.type === type);
  }

  text(id: number): string {
    return this.events
      .map((event) => (event.type === 'data' && event.id === id ? Buffer.from(event.payload).toString() : ''))
      .join('');
  }
}

class Link {
  readonly client: Side;
  readonly server: Side;
  readonly #toServer: Uint8Array[] = [];
  readonly #toClient: Uint8Array[] = [];
  readonly #size: number;
  /** Whether what is sent arrives, or waits on the way. */
  delivers = true;

  constructor(size: number, serverFile: Uint8Array = FILE) {
    this.#size = size;
    this.client = new Side('client', FILE);
    this.server = new Side('server', serverFile);
  }

  /** Carries until both are quiet and no keeper is at work. */
  async settle(): Promise<void> {
    for (let idle = 0; idle < 5; ) {
      const moved = [
        this.client.carry(this.server, this.#size, this.#toServer, this.delivers),
        this.server.carry(this.client, this.#size, this.#toClient, this.delivers),
      ];
      idle = moved.includes(true) ? 0 : idle + 1;
      await Promise.all([this.client.keeper.idle(), this.server.keeper.idle()]);
      await new Promise(setImmediate);
    }
  }

  expectHealthy(): void {
    expect([this.client.session.error, this.server.session.error]).toEqual([undefined, undefined]);
  }
}

describe.each([1, 7, 100_000])('in pieces of %i bytes', (size) => {
  test.each([
    [1, 'client'],
    [1, 'server'],
    [2, 'client'],
    [2, 'server'],
  ] as const)(
    'ALG %i, begun by the %s: session frames and streams go sealed',
    async (algorithm, initiator) => {
      const link = new Link(size);
      const { client, server } = link;
      await link.settle();
      const clear = client.session.open(POST);
      client.session.send(clear, Buffer.from('clear '));
      await link.settle();
      const keyId = link[initiator].keys.negotiate({ algorithm, label, authority: '', now: 0 });
      await link.settle();
      link.expectHealthy();
      expect(client.keys.sender(keyId)?.info.level).toBe('authenticated');
      expect(server.keys.sender(keyId)?.info.level).toBe('authenticated');
      client.session.switchKey(clear, keyId);
      client.session.send(clear, Buffer.from('and sealed'));
      client.session.end(clear);
      const sealed = client.session.open(POST, { keyId, fin: true });
      await link.settle();
      expect(server.text(clear)).toBe('clear and sealed');
      server.session.reply(clear, OK, { keyId, fin: true });
      server.session.reply(sealed, OK, { fin: true });
      client.session.ping();
      await link.settle();
      link.expectHealthy();
      expect(client.event('pong')).toBeDefined();
      expect([client.session.streamCount, server.session.streamCount]).toEqual([0, 0]);
    },
  );

  test('ALG 1 with early data: GET is taken and marked, POST refused, both sealed', async () => {
    const link = new Link(size);
    const { client, server } = link;
    link.delivers = false;
    const keyId = client.keys.negotiate({ algorithm: 1, label, authority: '', now: 0 });
    await link.settle();
    expect(client.keys.sender(keyId)?.info).toMatchObject({ early: true, generation: 0 });
    const safe = client.session.open(GET, { keyId, fin: true });
    const unsafe = client.session.open(POST, { keyId, fin: true });
    await link.settle();
    link.delivers = true;
    await link.settle();
    expect(server.event('stream')).toMatchObject({ id: safe, key: { early: true } });
    expect(client.event('reset')).toMatchObject({ id: unsafe, status: 3, origin: 'remote' });
    server.session.reply(safe, OK, { fin: true });
    client.session.ping();
    await link.settle();
    expect(client.event('reply')?.key).toMatchObject({ generation: 1, early: false });
    link.expectHealthy();
    expect([client.session.streamCount, server.session.streamCount]).toEqual([0, 0]);
  });
});

test('a new key replaces an old one under load, and the old is retired', async () => {
  const link = new Link(1000);
  const { client, server } = link;
  const first = client.keys.negotiate({ algorithm: 1, label, authority: '', now: 0 });
  await link.settle();
  const id = client.session.open(POST, { keyId: first });
  client.session.send(id, Buffer.from('a'));
  await link.settle();
  const second = client.keys.negotiate({ algorithm: 2, label, authority: '', now: 0 });
  client.session.send(id, Buffer.from('b'));
  await link.settle();
  client.session.retireKey(first);
  await link.settle();
  expect(client.keys.sender(first)).toBeDefined();
  expect(() => client.session.open(POST, { keyId: first })).toThrow(/being retired/);
  client.session.switchKey(id, second);
  client.session.send(id, Buffer.from('c'));
  client.session.end(id);
  await link.settle();
  server.session.reply(id, OK, { keyId: second, fin: true });
  await link.settle();
  expect(server.text(id)).toBe('abc');
  link.expectHealthy();
  expect([client.event('key-retired'), server.event('key-retired')]).toMatchObject([
    { keyId: 1 },
    { keyId: 1 },
  ]);
  expect(client.keys.info(first)).toBeUndefined();
  client.session.ping();
  await link.settle();
  expect(client.event('pong')).toBeDefined();
  link.expectHealthy();
});

test('different key files under one label: both sides end, and neither says why', async () => {
  for (const algorithm of [1, 2]) {
    const link = new Link(1000, Buffer.alloc(32, 'another'));
    link.client.keys.negotiate({ algorithm, label, authority: '', now: 0 });
    await link.settle();
    const errors = [link.client.session.error, link.server.session.error].map((error) => error?.code);
    expect(errors.toSorted()).toEqual(['ERR_KEYMUX_KEY_FAILURE', 'ERR_KEYMUX_PEER_GONE']);
  }
});
