import { createHash } from 'node:crypto';
import { type Keeper, KeyRegistry, Keyring, LocalKeeper, PreSharedKey, type Step } from '@keymux/keys';
import { type Role, Session, type SessionEvent } from '@keymux/session';
import { describe, expect, test } from 'vitest';
import { WatchedKeeper } from './support/keepers.ts';

/** The session engine with the real key registry while keys are renegotiated, with keepers and a carrier that the test can stop. */

const POST: [string, string][] = [[':method', 'POST']];
const OK: [string, string][] = [[':status', '200']];

class Side {
  readonly keeper: WatchedKeeper;
  readonly keys: KeyRegistry;
  readonly session: Session;
  readonly #held: (() => void)[] = [];
  /** Whether the keeper waits for `release`. */
  holding = false;
  readonly #events: SessionEvent[] = [];

  constructor(role: Role) {
    const keyring = new Keyring();
    keyring.add(new PreSharedKey(Buffer.alloc(32, 'a key file')), {
      label: 'shared',
      authorities: ['', 'host'],
    });
    this.keeper = new WatchedKeeper(new LocalKeeper({ keyring }));
    this.keys = new KeyRegistry({ role, keeper: this.#slow(this.keeper) });
    const config = { algorithms: 0b1000 };
    this.session = new Session({
      role,
      keys: this.keys,
      createHash: () => createHash('sha256'),
      config,
      now: 0,
    });
    this.keys.onProgress = () => this.session.keysProgressed(0);
  }

  #slow(real: Keeper): Keeper {
    const later = async (step: () => Promise<Step>): Promise<Step> => {
      if (this.holding) await new Promise<void>((resolve) => this.#held.push(resolve));
      return step();
    };
    return {
      algorithms: real.algorithms,
      start: (context, offer) => later(() => real.start(context, offer)),
      accept: (context, first) => later(() => real.accept(context, first)),
      receive: (run, frame) => later(() => real.receive(run, frame)),
      abandon: (run) => real.abandon(run),
    };
  }

  /** Lets the keeper finish one step. */
  release(): void {
    this.#held.shift()?.();
  }

  output(): Buffer {
    const parts: Uint8Array[] = [];
    for (let out = this.session.output(); out !== undefined; out = this.session.output()) parts.push(...out);
    return Buffer.concat(parts);
  }

  receive(bytes: Uint8Array): void {
    expect(this.session.wantsInput).toBe(true);
    if (bytes.length > 0) this.session.receive(Uint8Array.from(bytes), 0);
  }

  text(id: number): string {
    for (let event = this.session.nextEvent(); event; event = this.session.nextEvent())
      this.#events.push(event);
    return this.#events
      .map((event) => (event.type === 'data' && event.id === id ? Buffer.from(event.payload).toString() : ''))
      .join('');
  }
}

class Link {
  readonly client = new Side('client');
  readonly server = new Side('server');
  readonly #sent = { client: '', server: '' };
  keyId = 0;
  id = 0;

  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 4; ) {
      const [up, down] = [this.client.output(), this.server.output()];
      this.server.receive(up);
      this.client.receive(down);
      quiet = up.length + down.length > 0 ? 0 : quiet + 1;
      await this.turn();
    }
  }

  /** A turn of the event loop, and what keepers do in threads. */
  async turn(): Promise<void> {
    await Promise.all([this.client.keeper.idle(), this.server.keeper.idle()]);
    await new Promise(setImmediate);
  }

  /** A key, and a stream under it that both sides write to. */
  async establish(algorithm: number, authority = ''): Promise<void> {
    this.keyId = this.client.keys.negotiate({ algorithm, label: 'shared', authority, now: 0 });
    await this.settle();
    this.id = this.client.session.open(POST, { keyId: this.keyId });
    await this.settle();
    this.server.session.reply(this.id, OK);
    await this.settle();
    this.say();
    await this.settle();
    this.heard();
  }

  /** Each side says something. */
  say(): void {
    for (const name of ['client', 'server'] as const) {
      const word = `${name} ${this.#sent[name].length} `;
      this.#sent[name] += word;
      this[name].session.send(this.id, Buffer.from(word));
    }
  }

  /** All that was said has come, and both sides are well. */
  heard(): void {
    expect([this.client.session.error, this.server.session.error]).toEqual([undefined, undefined]);
    expect(this.server.text(this.id)).toBe(this.#sent.client);
    expect(this.client.text(this.id)).toBe(this.#sent.server);
  }

  generations(): unknown[] {
    const { client, server, keyId } = this;
    return [client, server].flatMap(({ keys }) => [
      keys.sender(keyId)?.generation,
      keys.info(keyId)?.generation,
    ]);
  }
}

describe.each([
  ['psk-x25519', 3, 1, 1],
  ['spiped', 2, 2, 2],
] as const)('%s', (_, algorithm, initiatorSteps, responderSteps) => {
  for (const initiator of ['client', 'server'] as const) {
    for (const authority of ['', 'host']) {
      test(`S4: no stream waits while keepers work on the ${initiator}'s renegotiation of a key of "${authority}"`, async () => {
        const link = new Link();
        await link.establish(algorithm, authority);
        for (const side of [link.client, link.server]) side.holding = true;
        link[initiator].keys.renegotiate(link.keyId, 0);
        for (let step = 0; step < initiatorSteps + responderSteps + 2; step++) {
          link.say();
          await link.settle();
          link.heard();
          for (const side of [link.client, link.server]) side.release();
        }
        await link.settle();
        expect(link.generations()).toEqual([1, 1, 1, 1]);
        link.say();
        await link.settle();
        link.heard();
      });
    }
  }

  test('S4: a side whose answer is not on the carrier goes on reading, or both could wait for each other', async () => {
    const link = new Link();
    await link.establish(algorithm);
    link.client.keys.renegotiate(link.keyId, 0);
    await link.turn();
    const first = link.client.output();
    expect(first.length).toBeGreaterThan(0);
    link.server.receive(first);
    for (let turn = 0; turn < 3; turn++) {
      await link.turn();
      link.say();
      link.server.receive(link.client.output());
    }
    expect(link.server.session.wantsInput).toBe(true);
    await link.settle();
    link.heard();
    expect(link.generations()).toEqual([1, 1, 1, 1]);
  });

  test('S4: both at once, over and over, while both write', async () => {
    const link = new Link();
    await link.establish(algorithm);
    for (let generation = 1; generation <= 20; generation++) {
      for (const side of [link.client, link.server]) side.keys.renegotiate(link.keyId, 0);
      link.say();
      await link.settle();
      expect(link.generations()).toEqual([generation, generation, generation, generation]);
    }
    link.heard();
  });

  test('H4: what was sealed under the generation before does not open any more', async () => {
    const link = new Link();
    await link.establish(algorithm, 'host');
    const old = link.client.keys.sender(link.keyId);
    link.client.keys.renegotiate(link.keyId, 0);
    await link.settle();
    expect(link.generations()).toEqual([1, 1, 1, 1]);
    const head = Buffer.from([0x80, 3, 0, 0x53, 0, 0, 0, 26, link.keyId, 0]);
    expect(() => old?.seal(head, [new Uint8Array(8)])).toThrow();
    link.server.receive(Buffer.concat([head, Buffer.alloc(24)]));
    expect(link.server.session.error?.code).toBe('ERR_KEYMUX_KEY_FAILURE');
  });

  test('C2: who swallows the last envelopes of a generation ends the session', async () => {
    const link = new Link();
    await link.establish(algorithm, 'host');
    link.say();
    link.client.output(); // swallowed
    link.client.keys.renegotiate(link.keyId, 0);
    for (let turn = 0; turn < 10; turn++) {
      if (link.server.session.error !== undefined || link.client.session.error !== undefined) break;
      link.server.receive(link.client.output());
      await link.turn();
      link.client.receive(link.server.output());
      await link.turn();
    }
    expect(link.server.session.error?.code).toBe('ERR_KEYMUX_KEY_FAILURE');
  });
});
