import { type Duplex, duplexPair } from 'node:stream';
import {
  ALGORITHM,
  ANONYMOUS_LABEL,
  type Keeper,
  Keyring,
  LocalKeeper,
  type LocalKeeperOptions,
  PreSharedKey,
  type RunContext,
  SHARED_KEY_PREFERENCE,
  type Step,
} from '@keymux/keys';
import { MuxSession } from '@keymux/streams';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../src/index.ts';

const { PSK, SPIPED, PSK_X25519, ANONYMOUS, HYBRID } = ALGORITHM;
const FILE = Buffer.alloc(32, 'a shared key');
const { label } = new PreSharedKey(FILE);

const open: { destroy(): void }[] = [];
afterEach(() => {
  for (const session of open.splice(0)) session.destroy();
});

describe('a client that names several algorithms', () => {
  it.each([
    { ours: [PSK_X25519, HYBRID, SPIPED], theirs: [PSK, PSK_X25519, SPIPED, HYBRID], taken: PSK_X25519 },
    { ours: [PSK_X25519, HYBRID, SPIPED], theirs: [SPIPED, HYBRID], taken: HYBRID },
    { ours: [PSK_X25519, SPIPED, HYBRID], theirs: [SPIPED, HYBRID], taken: SPIPED },
    { ours: [PSK_X25519, SPIPED], theirs: [PSK, SPIPED], taken: SPIPED },
  ])(
    'takes the best that both sides allow: $ours and $theirs give $taken',
    async ({ ours, theirs, taken }) => {
      const { client } = pair({ algorithms: theirs });
      const key = await client.negotiate({ algorithm: ours, label });
      expect(key).toMatchObject({ algorithm: taken, level: 'authenticated' });
      expect(key.keyId).toBe(taken === ours[0] ? 1 : 3); // one REJECT is enough to know them all
    },
  );

  it('never takes one that it has not named, says which side lacks what, and the session goes on', async () => {
    const { client } = pair({ algorithms: [PSK] });
    const failed = client.negotiate({ algorithm: SHARED_KEY_PREFERENCE, label });
    await expect(failed).rejects.toMatchObject({
      code: 'ERR_KEYMUX_NEGOTIATION_REJECTED',
      reason: 2,
      algorithms: [PSK],
      message: expect.stringMatching(
        /the peer does not allow psk-x25519; it would accept psk, this side psk-x25519, hybrid, spiped\. Allow one of the same/,
      ),
    });
    expect(await client.negotiate({ algorithm: PSK, label })).toMatchObject({ algorithm: PSK });
  });

  it('offers all that it has named in every attempt, so that nobody can shorten the list', async () => {
    const offers: number[] = [];
    const { client } = pair({
      accept: (_context, first) => {
        offers.push(new DataView(first.buffer, first.byteOffset).getUint32(12));
        return reject(offers.length === 1 ? [SPIPED, HYBRID] : [SPIPED]);
      },
    });
    await expect(client.negotiate({ algorithm: SHARED_KEY_PREFERENCE, label })).rejects.toThrow(/hybrid/);
    expect(offers).toEqual([0b1001100, 0b1001100, 0b1001100]);
  });

  it.each([
    { what: 'the one it has just rejected', lists: [[PSK_X25519]], attempts: 1 },
    { what: 'one by one what was rejected', lists: [[HYBRID], [PSK_X25519, HYBRID]], attempts: 2 },
    { what: 'nothing', lists: [[]], attempts: 1 },
    { what: 'what does not exist', lists: [[4, 9, 200]], attempts: 1 },
  ])('gives up on a peer that names $what', async ({ lists, attempts }) => {
    let asked = 0;
    const { client } = pair({ accept: () => reject(lists[asked++] ?? [], 1) });
    await expect(client.negotiate({ algorithm: SHARED_KEY_PREFERENCE, label })).rejects.toMatchObject({
      reason: 1,
      message: expect.stringContaining('the peer does not know psk-x25519'),
    });
    expect(asked).toBe(attempts);
  });

  it.each([3, 4, 77])('does not go on after reason %i', async (reason) => {
    let asked = 0;
    const { client } = pair({
      accept: () => {
        asked++;
        return reject([SPIPED], reason);
      },
    });
    const negotiated = client.negotiate({ algorithm: SHARED_KEY_PREFERENCE, label });
    await expect(negotiated).rejects.toMatchObject({ reason });
    expect(asked).toBe(1);
  });

  it('may not put an anonymous key in the place of one that proves the peer', async () => {
    const { client } = pair({ anonymous: [''] });
    for (const algorithm of [[PSK_X25519, ANONYMOUS], [ANONYMOUS, PSK_X25519], []]) {
      await expect(client.negotiate({ algorithm, label })).rejects.toMatchObject({
        code: 'ERR_KEYMUX_ARGUMENT',
      });
    }
  });

  it('can be prompted only with what it has announced', async () => {
    const { client, server } = pair({}, { algorithms: [SPIPED] });
    const announced = new Promise<number>((resolve) => server.once('announced', resolve));
    expect(await announced).toBe(1 << SPIPED);
    const key = await server.negotiate({ algorithm: SHARED_KEY_PREFERENCE, label });
    expect(key).toMatchObject({ keyId: 2, algorithm: SPIPED });
    await expect(server.negotiate({ algorithm: [PSK_X25519, HYBRID], label })).rejects.toMatchObject({
      code: 'ERR_KEYMUX_NOT_ANNOUNCED',
      message: expect.stringContaining('psk-x25519, hybrid'),
    });
    expect(client.session.canOpen).toBe(true);
  });
});

describe('C18: an anonymous key', () => {
  const passive = async () => {
    const { client, server } = pair({ anonymous: [''] }, { anonymous: [''] });
    server.on('stream', (stream) => stream.respond([[':status', '200']], { fin: true }));
    return { client, key: await client.negotiate({ algorithm: ANONYMOUS, label: ANONYMOUS_LABEL }) };
  };

  it('satisfies who asks for no more than passive', async () => {
    const { client, key } = await passive();
    expect(key).toMatchObject({ level: 'passive', peer: 'anonymous' });
    for (const level of [undefined, 'none', 'passive'] as const) {
      const answer = await client.request({ host: 'a', path: '/', key, ...(level ? { level } : {}) });
      expect(answer.security.level).toBe('passive');
    }
  });

  it('never satisfies who requires authenticated', async () => {
    const { client, key } = await passive();
    await expect(client.request({ host: 'a', path: '/', key, level: 'authenticated' })).rejects.toMatchObject(
      { code: 'ERR_KEYMUX_LEVEL' },
    );
  });

  it('is not made with a server that does not allow it, and the error says so', async () => {
    const { client } = pair({}, { anonymous: [''] });
    await expect(client.negotiate({ algorithm: ANONYMOUS, label: ANONYMOUS_LABEL })).rejects.toThrow(
      /the peer does not allow anonymous; it would accept psk, spiped, psk-x25519, hybrid/,
    );
  });
});

function pair(
  server: Partial<LocalKeeperOptions> | Pick<Keeper, 'accept'>,
  client: Partial<LocalKeeperOptions> = {},
) {
  const [near, far] = duplexPair() as [Duplex, Duplex];
  const real = keeper('accept' in server ? {} : server);
  const theirs = 'accept' in server ? scripted(real, server.accept) : real;
  const sessions = {
    client: new Client(near, { keeper: keeper(client) }),
    server: new MuxSession(far, { role: 'server', keeper: theirs }),
  };
  open.push(sessions.client.session, sessions.server);
  return sessions;
}

function keeper(options: Partial<LocalKeeperOptions>): LocalKeeper {
  const keyring = new Keyring();
  keyring.add(new PreSharedKey(FILE), { authorities: [''] });
  return new LocalKeeper({ keyring, ...options });
}

/** A keeper that answers as the test says. */
function scripted(real: Keeper, accept: (context: RunContext, first: Uint8Array) => Promise<Step>): Keeper {
  return {
    algorithms: real.algorithms,
    start: (context, offer) => real.start(context, offer),
    accept,
    receive: (run, frame) => real.receive(run, frame),
    abandon: (run) => real.abandon(run),
  };
}

async function reject(algorithms: readonly number[], reason = 2): Promise<Step> {
  const data = Uint8Array.of(reason, algorithms.length, ...algorithms);
  return { run: 0, send: { data, fin: true, reject: true }, secrets: [], done: true };
}
