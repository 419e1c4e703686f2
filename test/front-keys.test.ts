import { createHash } from 'node:crypto';
import { encodeControl, encodeSealedHead } from '@keymux/frames';
import { KeyRegistry, Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { type FrontLink, FrontSession, Session, type SessionEvent } from '@keymux/session';
import { describe, expect, test } from 'vitest';

/** A client, a front and two hosts, with the real key registry, over carriers and links in memory. */

const ALPHA = 'alpha.test';
const BETA = 'beta.test';
const PSK_X25519 = 3;
const POST: [string, string][] = [[':method', 'POST']];
const OK: [string, string][] = [[':status', '200']];
const KEYS = {
  [ALPHA]: new PreSharedKey(Buffer.alloc(32, 'a')),
  [BETA]: new PreSharedKey(Buffer.alloc(32, 'b')),
};
type Name = keyof typeof KEYS;

class Side {
  readonly keys: KeyRegistry;
  readonly session: Session;
  readonly events: SessionEvent[] = [];
  /** What it has not read. */
  readonly unread: Uint8Array[] = [];

  constructor(role: 'client' | 'server', names: readonly Name[], sessionWindow: number) {
    const keyring = new Keyring();
    for (const name of names) keyring.add(KEYS[name], { authorities: [name] });
    const link = role === 'server';
    this.keys = new KeyRegistry({ role, keeper: new LocalKeeper({ keyring }) });
    const createSha256 = () => createHash('sha256');
    const config = { algorithms: 8, sessionWindow, streamWindow: 300_000 };
    this.session = new Session({ role, link, keys: this.keys, createHash: createSha256, config, now: 0 });
    this.keys.onProgress = () => this.session.keysProgressed(0);
  }

  read(): boolean {
    if (!this.session.wantsInput || this.unread.length === 0) return false;
    this.session.receive(this.unread.shift() as Uint8Array, 0);
    return true;
  }

  poll(): void {
    for (let event = this.session.nextEvent(); event; event = this.session.nextEvent())
      this.events.push(event);
  }

  all<T extends SessionEvent['type']>(type: T): Extract<SessionEvent, { type: T }>[] {
    return this.events.filter((event): event is Extract<SessionEvent, { type: T }> => event.type === type);
  }

  text(id: number): string {
    return this.all('data')
      .map((event) => (event.id === id ? Buffer.from(event.payload).toString() : ''))
      .join('');
  }
}

class Street {
  readonly client: Side;
  readonly hosts: Record<Name, Side>;
  readonly links = new Map<string, FrontLink>();
  readonly front: FrontSession;
  readonly #size: number;
  readonly #toFront: Uint8Array[] = [];

  /**
   * @param size of the pieces in which bytes arrive
   * @param window session window of each key
   */
  constructor(size = 100_000, window = 65_536) {
    this.#size = size;
    this.client = new Side('client', [ALPHA, BETA], window);
    const host = (name: Name): Side => new Side('server', [name], window);
    this.hosts = { [ALPHA]: host(ALPHA), [BETA]: host(BETA) };
    this.front = new FrontSession({
      algorithms: 8,
      createHash: () => createHash('sha256'),
      client: { address: '192.0.2.1', port: 4000 },
      config: { keyWindow: window, streamWindow: 300_000 },
      connect: (authority, link) => {
        this.links.set(authority, link);
        const host = this.hosts[authority as Name];
        let greeted = false;
        return {
          buffered: 0,
          write: (parts) => {
            // FRONT_HELLO is read before the session begins.
            for (const part of greeted ? parts : parts.slice(1)) host.unread.push(...this.#cut(part));
            greeted = true;
          },
          end: () => undefined,
          destroy: () => undefined,
        };
      },
      now: 0,
    });
  }

  /** Carries until all are quiet and no keeper is at work. */
  async settle(): Promise<void> {
    for (let idle = 0; idle < 5; ) {
      idle = this.#carry() ? 0 : idle + 1;
      await new Promise(setImmediate);
    }
  }

  #carry(): boolean {
    const { client, hosts, front, links } = this;
    let moved = false;
    for (const piece of this.#outputOf(client)) this.#toFront.push(piece);
    for (let piece = this.#toFront.shift(); piece !== undefined; piece = this.#toFront.shift()) {
      front.receive(piece, 0);
      moved = true;
    }
    for (const [name, link] of links) {
      for (const piece of this.#outputOf(hosts[name as Name])) {
        front.linkReceive(link, piece, 0);
        moved = true;
      }
    }
    for (const part of front.output() ?? []) client.unread.push(...this.#cut(part));
    for (const side of [client, ...Object.values(hosts)]) {
      while (side.read()) moved = true;
      side.poll();
    }
    return moved;
  }

  *#outputOf({ session }: Side): Generator<Uint8Array> {
    for (let output = session.output(); output !== undefined; output = session.output())
      yield* this.#cut(Buffer.concat(output));
  }

  /** Copies, since the engines own what they receive. */
  *#cut(bytes: Uint8Array): Generator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += this.#size)
      yield Uint8Array.from(bytes.subarray(at, at + this.#size));
  }

  async key(authority: Name): Promise<number> {
    const { label } = KEYS[authority];
    const id = this.client.keys.negotiate({ algorithm: PSK_X25519, label, authority, now: 0 });
    this.client.session.keysProgressed(0);
    await this.settle();
    return id;
  }

  /** Sends a text each way under a key. */
  async exchange(keyId: number, host: Side): Promise<void> {
    const id = this.client.session.open(POST, { keyId });
    this.client.session.send(id, Buffer.from('question'));
    this.client.session.end(id);
    await this.settle();
    expect(host.text(id)).toBe('question');
    host.session.reply(id, OK);
    host.session.send(id, Buffer.from('answer'));
    host.session.end(id);
    await this.settle();
    expect(this.client.text(id)).toBe('answer');
  }

  expectHealthy(): void {
    const { client, hosts, front } = this;
    const all = [client.session, hosts[ALPHA].session, hosts[BETA].session, front];
    expect(all.map(({ error }) => error)).toEqual(all.map(() => undefined));
    expect(client.all('key-gone')).toEqual([]);
  }
}

describe.each([1, 7, 100_000])('in pieces of %i bytes', (size) => {
  test('each host has its own key, and streams of both go side by side', async () => {
    const street = new Street(size);
    const [a, b] = [await street.key(ALPHA), await street.key(BETA)];
    expect([a, b]).toEqual([1, 3]);
    await street.exchange(a, street.hosts[ALPHA]);
    await street.exchange(b, street.hosts[BETA]);
    street.expectHealthy();
    expect(street.hosts[ALPHA].all('stream')).toHaveLength(1);
    expect(street.hosts[BETA].all('stream')).toMatchObject([{ key: { authority: BETA } }]);
  });

  test.each(['the client', 'the host', 'both at once'])(
    'a key is renegotiated by %s, and streams live on',
    async (who) => {
      const street = new Street(size);
      const { client, hosts } = street;
      const [a, b] = [await street.key(ALPHA), await street.key(BETA)];
      const id = client.session.open(POST, { keyId: a });
      client.session.send(id, Buffer.from('before '));
      await street.settle();
      for (const side of who === 'both at once'
        ? [client, hosts[ALPHA]]
        : who === 'the host'
          ? [hosts[ALPHA]]
          : [client]) {
        expect(side.keys.renegotiate(a, 0)).toBe('begun');
        side.session.keysProgressed(0);
      }
      client.session.send(id, Buffer.from('meanwhile '));
      await street.settle();
      client.session.send(id, Buffer.from('after'));
      await street.settle();
      street.expectHealthy();
      expect(hosts[ALPHA].text(id)).toBe('before meanwhile after');
      expect(client.keys.sender(a)?.generation).toBe(1);
      expect(hosts[ALPHA].keys.sender(a)?.generation).toBe(1);
      await street.exchange(b, hosts[BETA]);
      await street.exchange(a, hosts[ALPHA]);
    },
  );

  test('a key is retired, and its successor takes over', async () => {
    const street = new Street(size);
    const { client, hosts } = street;
    const first = await street.key(ALPHA);
    await street.exchange(first, hosts[ALPHA]);
    const second = await street.key(ALPHA);
    client.session.retireKey(first);
    await street.settle();
    await street.exchange(second, hosts[ALPHA]);
    street.expectHealthy();
    expect(client.keys.info(first)).toBeUndefined();
    expect(street.links.size).toBe(1);
  });
});

describe('windows', () => {
  const MORE = Buffer.alloc(65_536 + 1);

  test('each key has one: what waits for one host does not wait for the other', async () => {
    const street = new Street();
    const { client, hosts } = street;
    const [a, b] = [await street.key(ALPHA), await street.key(BETA)];
    // Host alpha stops reading: nothing that was sent to it comes back as window.
    const streams = [a, a, b].map((keyId) => client.session.open(POST, { keyId }));
    await street.settle();
    const stopped = hosts[ALPHA];
    stopped.read = () => false;
    for (const id of streams) client.session.send(id, MORE.subarray(0, 40_000));
    await street.settle();
    const sealed = stopped.unread.reduce((sum, { length }) => sum + length, 0);
    expect(sealed).toBeGreaterThan(65_536);
    expect(sealed).toBeLessThan(65_536 + 1_000);
    expect(hosts[BETA].text(streams[2] as number)).toHaveLength(40_000);
    for (let i = 0; i < 4; i++) client.session.send(streams[2] as number, MORE.subarray(0, 5_000));
    await street.settle();
    expect(hosts[BETA].text(streams[2] as number)).toHaveLength(60_000);
    street.expectHealthy();
  });

  test('and the host that goes on reading gets the rest', async () => {
    const street = new Street();
    const { client, hosts } = street;
    const a = await street.key(ALPHA);
    const ids = [client.session.open(POST, { keyId: a }), client.session.open(POST, { keyId: a })];
    for (const id of ids) client.session.send(id, MORE.subarray(0, 60_000));
    await street.settle();
    expect(ids.map((id) => hosts[ALPHA].text(id).length)).toEqual([60_000, 60_000]);
    street.expectHealthy();
  });

  test('both sides open that of a key when they can seal under it', async () => {
    const street = new Street(100_000, 200_000);
    const { client, hosts } = street;
    const a = await street.key(ALPHA);
    await street.exchange(a, hosts[ALPHA]);
    const id = client.session.open(POST, { keyId: a });
    await street.settle();
    for (const [from, to] of [
      [client, hosts[ALPHA]],
      [hosts[ALPHA], client],
    ] as const) {
      if (from !== client) from.session.reply(id, OK);
      await street.settle();
      const read = to.read;
      to.read = () => false;
      from.session.send(id, Buffer.alloc(250_000));
      await street.settle();
      expect(to.unread.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(199_000);
      to.read = read;
      await street.settle();
      expect(to.text(id)).toHaveLength(250_000);
    }
    street.expectHealthy();
  });

  test.each([
    [{ type: 'window-update', streamId: 0, delta: 0x7fff_ffff }, 'ERR_KEYMUX_FLOW_CONTROL'],
    [{ type: 'ping', id: 2 }, 'ERR_KEYMUX_KEY_FAILURE'],
    [{ type: 'settings', clear: false, entries: [] }, 'ERR_KEYMUX_KEY_FAILURE'],
  ] as const)('a host that seals %o ends the session of the client', async (frame, code) => {
    const street = new Street();
    const a = await street.key(ALPHA);
    await street.exchange(a, street.hosts[ALPHA]);
    const key = street.hosts[ALPHA].keys.sender(a);
    if (key === undefined) throw new Error('no key');
    const plain = encodeControl(frame);
    const head = encodeSealedHead(a, 0, plain.length + 16);
    const envelope = Buffer.concat([head, ...key.seal(head, [plain])]);
    street.front.linkReceive(street.links.get(ALPHA) as FrontLink, envelope, 0);
    await street.settle();
    expect(street.client.session.error?.code).toBe(code);
  });
});

test('a stream cannot be moved from the key of one host to that of the other', async () => {
  const street = new Street();
  const { client, hosts } = street;
  const [a, b] = [await street.key(ALPHA), await street.key(BETA)];
  const id = client.session.open(POST, { keyId: a });
  client.session.send(id, Buffer.from('for alpha'));
  await street.settle();
  client.session.switchKey(id, b);
  client.session.send(id, Buffer.from('for whom?'));
  await street.settle();
  expect(hosts[BETA].all('data')).toEqual([]);
  expect(hosts[ALPHA].text(id)).toBe('for alpha');
});

describe('what a host says of its own key', () => {
  test('GOAWAY: no new streams under it; those that crossed it are refused, open ones end', async () => {
    const street = new Street();
    const { client, hosts } = street;
    const [a, b] = [await street.key(ALPHA), await street.key(BETA)];
    const open = client.session.open(POST, { keyId: a });
    await street.settle();
    hosts[ALPHA].session.goAway();
    const crossing = client.session.open(POST, { keyId: a, fin: true });
    await street.settle();
    expect(client.all('key-leaving')).toEqual([{ type: 'key-leaving', keyId: a }]);
    expect(client.all('reset')).toMatchObject([{ id: crossing, status: 3, origin: 'remote' }]);
    expect(() => client.session.open(POST, { keyId: a })).toThrow(/takes no new streams under key 1/);
    expect(client.session.canOpen).toBe(true);
    client.session.send(open, Buffer.from('still'));
    client.session.end(open);
    hosts[ALPHA].session.reply(open, OK, { fin: true });
    await street.settle();
    expect(hosts[ALPHA].text(open)).toBe('still');
    expect(hosts[ALPHA].session.over).toBe(true);
    await street.exchange(b, hosts[BETA]);
    street.expectHealthy();
  });

  test('its end: KEY_GONE ends the key and its streams, and frees what they held', async () => {
    const street = new Street();
    const { client, hosts, front, links } = street;
    const [a, b] = [await street.key(ALPHA), await street.key(BETA)];
    const lost = client.session.open(POST, { keyId: a });
    client.session.send(lost, Buffer.from('x'));
    await street.settle();
    const other = client.session.open(POST, { keyId: b });
    const second = client.session.open(POST, { keyId: a });
    await street.settle();
    front.linkEnded(links.get(ALPHA) as FrontLink, 0);
    client.session.reset(lost); // waits to be sealed when its key goes
    client.session.receive(Uint8Array.from(Buffer.concat(front.output() ?? [])), 0);
    await street.settle();
    expect(client.all('key-gone')).toMatchObject([{ keyId: a, error: { code: 'ERR_KEYMUX_HOST_GONE' } }]);
    expect(client.all('reset').map(({ id, origin }) => [id, origin])).toEqual([
      [lost, 'local'],
      [second, 'remote'],
    ]);
    expect(client.session.streamCount).toBe(1);
    hosts[BETA].session.reply(other, OK, { fin: true });
    expect(client.keys.info(a)).toBeUndefined();
    await street.exchange(b, hosts[BETA]);
    expect(client.session.error).toBeUndefined();
  });

  test('its end in the middle of a run: the run is over, the session goes on', async () => {
    const street = new Street();
    const b = await street.key(BETA);
    const { client, front, links, hosts } = street;
    hosts[ALPHA].read = () => false;
    const id = await street.key(ALPHA);
    expect(client.keys.info(id)).toBeUndefined();
    front.linkEnded(links.get(ALPHA) as FrontLink, 0);
    await street.settle();
    expect(client.all('key-gone')).toMatchObject([{ keyId: id }]);
    expect(client.keys.nextDeadline()).toBeUndefined();
    await street.exchange(b, hosts[BETA]);
  });
});
