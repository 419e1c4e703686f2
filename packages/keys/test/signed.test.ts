import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { AuthorizedKeys } from '../src/identity/authorized-keys.ts';
import { KnownHosts } from '../src/identity/known-hosts.ts';
import {
  ALGORITHM,
  formatPublicKey,
  Identities,
  type IdentityUse,
  type KeyInfo,
  REJECT_REASON,
  SIGNED_LABEL,
  type Signer,
  SshAgent,
  type Trust,
} from '../src/index.ts';
import { encodeNego } from '../src/nego-frame.ts';
import { identitiesOf, keeperOf, type Link, link, passEnvelope, Side, TRUST } from './link.ts';
import { generateKey, startAgent, temporaryFolder } from './openssh.ts';
import { seeded } from './random.ts';
import { signerOf } from './signers.ts';

const SIGNED = { algorithm: ALGORITHM.SIGNED, label: SIGNED_LABEL, authority: '' } as const;

/** Identities with one use for connections. */
function using(signer: Signer, use: Partial<IdentityUse> = {}): Identities {
  const identities = new Identities();
  identities.add(signer, { authorities: [''], trust: TRUST, ...use });
  return identities;
}

const authorizing = (text: string): Trust => ({
  ...TRUST,
  authorizedKeys: { name: 'ak', load: async () => new AuthorizedKeys(text) },
});
const knowing = (text: string): Trust => ({
  ...TRUST,
  knownHosts: { name: 'kh', load: async () => new KnownHosts(text) },
});

async function negotiated(wire: Link, request: Partial<typeof SIGNED> = {}): Promise<Link> {
  wire.client.registry.negotiate({ ...SIGNED, ...request });
  await wire.run();
  return wire;
}

function expectRefused({ client, server }: Link, by: 'client' | 'server', reason: string | undefined): void {
  const side = by === 'client' ? client : server;
  expect(side.failure?.scope).toBe('session');
  expect(side.failure?.reason).toBe(reason);
  expect(server.established).toEqual([]);
  if (by === 'client') expect(client.established).toEqual([]);
}

describe('signed', () => {
  it('tells each side who the other is', async () => {
    const infos: KeyInfo[] = [];
    const wire = link();
    await negotiated(wire);
    for (const side of [wire.client, wire.server]) infos.push(side.registry.info(1) as KeyInfo);
    expect(infos).toMatchObject([
      { level: 'authenticated', forwardSecrecy: true, label: 'signed' },
      { level: 'authenticated', forwardSecrecy: true, label: 'signed' },
    ]);
  });

  it('hands up what the line of the client restricts, and nothing if it does not', async () => {
    const line = `restrict,permitopen="db.example:5432" ${formatPublicKey(signerOf('client').identity)} alice`;
    const identities = using(signerOf('server'), { trust: authorizing(line) });
    const wire = await negotiated(link({ server: { identities } }));
    expect(wire.server.registry.info(1)?.restrictions).toEqual({ permitOpen: ['db.example:5432'] });
    expect(wire.server.registry.receiver(1, 0)?.info.restrictions).toEqual({
      permitOpen: ['db.example:5432'],
    });
    expect(wire.client.registry.info(1)).not.toHaveProperty('restrictions');
  });

  it('shows no identity to who only listens', async () => {
    const { frames } = await negotiated(link());
    const wire = Buffer.concat(frames);
    for (const name of ['client', 'server']) {
      expect(wire.includes(Buffer.from(signerOf(name).identity))).toBe(false);
    }
    expect(frames.map((frame) => frame.length)).toEqual([12 + 4 + 1 + 6 + 1 + 32, 12 + 32 + 144, 12 + 144]);
  });

  it('does not show the client to a server that is not the right one', async () => {
    const sign = vi.fn(signerOf('client').sign.bind(signerOf('client')));
    const signer = { ...signerOf('client'), identity: signerOf('client').identity, comment: '', sign };
    const wire = link({
      client: { identities: using(signer) },
      server: { identities: identitiesOf('mallory') },
    });
    await negotiated(wire);
    expectRefused(wire, 'client', undefined);
    expect(wire.client.failure?.code).toBe('ERR_KEYMUX_HOST_KEY');
    expect(wire.frames).toHaveLength(2);
    expect(sign).not.toHaveBeenCalled();
  });

  it('H11: with the key of the client alone nobody can be the server', async () => {
    const wire = await negotiated(link({ server: { identities: identitiesOf('client') } }));
    expectRefused(wire, 'client', 'own-message');
  });

  it('lets nobody in who is not listed', async () => {
    const wire = await negotiated(link({ client: { identities: identitiesOf('mallory') } }));
    expectRefused(wire, 'server', 'untrusted');
  });

  it.each([
    ['revoked', `@revoked * ${formatPublicKey(signerOf('server').identity)}`],
    ['unknown', ''],
    ['known with another key', `[a.example]:6121 ${formatPublicKey(signerOf('other').identity)}`],
    ['damaged', 'x'],
  ])('H12: refuses a host that is %s', async (_, text) => {
    const identities = using(signerOf('client'), { trust: knowing(text) });
    const wire = await negotiated(link({ client: { identities } }));
    expect(wire.client.failure?.scope).toBe('session');
    expect(wire.client.established).toEqual([]);
    expect(wire.frames).toHaveLength(2);
  });

  it('R4: does not take a key that is listed for hosts as one for the relay', async () => {
    const identities = new Identities();
    const client = formatPublicKey(signerOf('client').identity);
    identities.add(signerOf('server'), { authorities: [''], trust: authorizing('') });
    identities.add(signerOf('server'), { authorities: ['a.example'], trust: authorizing(client) });
    expectRefused(await negotiated(link({ server: { identities } })), 'server', 'untrusted');
    const asHost = await negotiated(link({ server: { identities } }), { authority: 'a.example' } as never);
    expect(asHost.server.established).toHaveLength(1);
  });

  it('answers a label, or a host, that it does not have with an identity that nobody has', async () => {
    const failures: unknown[] = [];
    for (const use of [
      { label: 'other' },
      { authorities: ['b.example'] },
      { roles: ['initiator'] },
    ] as const) {
      const wire = link({ server: { identities: using(signerOf('server'), use) } });
      wire.client.registry.negotiate(SIGNED);
      await wire.run();
      expect(wire.frames).toHaveLength(2);
      expect(wire.client.failure?.code).toBe('ERR_KEYMUX_HOST_KEY');
      failures.push(wire.server.failure);
    }
    expect(failures).toEqual([undefined, undefined, undefined]);
  });

  it('is not there without identities, and REJECT says so', async () => {
    const wire = await negotiated(link({ server: { identities: undefined } }));
    expect(wire.client.rejections()).toMatchObject([{ reason: REJECT_REASON.NOT_ALLOWED }]);
    expect(wire.client.rejections()[0]?.algorithms).not.toContain(ALGORITHM.SIGNED);
    expect(() => keeperOf('x', { identities: undefined, algorithms: [ALGORITHM.SIGNED] })).toThrow(/signed/);
  });

  it('is a mistake of the call if there is no identity for what is asked', async () => {
    const wire = link();
    for (const changes of [{ label: 'other' }, { authority: 'b.example' }]) {
      wire.client.registry.negotiate({ ...SIGNED, ...changes });
    }
    await wire.run();
    expect(wire.frames).toHaveLength(0);
    expect(wire.client.events).toMatchObject([
      { type: 'failed', error: { scope: 'usage', code: 'ERR_KEYMUX_KEY_UNKNOWN' } },
      { type: 'failed', error: { scope: 'usage', code: 'ERR_KEYMUX_KEY_UNKNOWN' } },
    ]);
  });

  it('takes the name of one key before that of the session', async () => {
    const wire = link();
    wire.client.registry.negotiate({ ...SIGNED, peerName: { host: 'b.example', port: 6121 } });
    await wire.run();
    expect(wire.client.failure?.message).toContain('[b.example]:6121 is not in known_hosts');
  });

  it('judges by where the client comes from and by the clock', async () => {
    const client = formatPublicKey(signerOf('client').identity);
    for (const [line, peerAddress, expected] of [
      [`from="192.0.2.0/24" ${client}`, '192.0.2.7', 1],
      [`from="192.0.2.0/24" ${client}`, '198.51.100.7', 0],
      [`from="192.0.2.0/24" ${client}`, undefined, 0],
      [`expiry-time="20231114221319Z" ${client}`, undefined, 0],
      [`expiry-time="20231114221321Z" ${client}`, undefined, 1],
    ] as const) {
      const identities = using(signerOf('server'), { trust: authorizing(line) });
      const wire = link({ server: { identities }, registry: { peerAddress } });
      await negotiated(wire);
      expect(wire.server.established, line).toHaveLength(expected);
    }
  });

  it('feels at once that a line was taken out', async () => {
    let text = formatPublicKey(signerOf('client').identity);
    const trust = { ...TRUST, authorizedKeys: { name: 'ak', load: async () => new AuthorizedKeys(text) } };
    const wire = link({ server: { identities: using(signerOf('server'), { trust }) } });
    await negotiated(wire);
    text = '';
    await negotiated(wire);
    expect(wire.server.established).toHaveLength(1);
    expect(wire.server.failure?.reason).toBe('untrusted');
  });
});

describe('a recorded run of signed', () => {
  it('C3: is of no use to who plays it again, to the same server or another', async () => {
    const { frames } = await negotiated(link());
    const [first, , third] = frames as [Uint8Array, Uint8Array, Uint8Array];
    for (const seed of ['later', 'another']) {
      const server = new Side('server', keeperOf('server', { random: seeded(seed) }));
      await server.play([first, third]);
      expect(server.failure).toMatchObject({ scope: 'session', reason: 'changed' });
      expect(server.established).toEqual([]);
    }
  });
});

describe('a signer that takes its time', () => {
  afterEach(() => vi.useRealTimers());

  /** A signer that waits until it is told, and the signal that it was given. */
  function slow(name: string) {
    let go = (): void => undefined;
    const waiting = new Promise<void>((resolve) => {
      go = resolve;
    });
    const signals: AbortSignal[] = [];
    const own = signerOf(name);
    const signer: Signer = {
      identity: own.identity,
      comment: '',
      sign: async (data, signal) => {
        signals.push(signal);
        await waiting;
        return own.sign(data);
      },
    };
    return { signer, go, signals };
  }

  it.each(['client', 'server'] as const)(
    'on the side of the %s holds the run up, and no more',
    async (side) => {
      const { signer, go } = slow(side);
      const wire = link({ [side]: { identities: using(signer) } });
      wire.client.registry.negotiate(SIGNED);
      await wire.run();
      expect(wire[side].registry.busy(1)).toBe(true);
      expect(wire.client.established).toEqual([]);
      go();
      await wire.run();
      expect(wire.client.established).toHaveLength(1);
      expect(wire.server.established).toHaveLength(1);
      expect(passEnvelope(wire.client, wire.server, 1, 'x')).toBe('x');
    },
  );

  it('is told when nobody waits any more, and then its signature is of no use', async () => {
    const { signer, go, signals } = slow('client');
    const wire = link({ client: { identities: using(signer) } });
    wire.client.registry.negotiate({ ...SIGNED, now: 0 });
    await wire.run();
    expect(signals[0]?.aborted).toBe(false);
    wire.client.registry.handleDeadline(10_000);
    wire.client.pump();
    expect(wire.client.failure?.reason).toBe('timeout');
    expect(signals[0]?.aborted).toBe(true);
    go();
    await wire.run();
    expect(wire.client.established).toEqual([]);
    expect(wire.frames).toHaveLength(2);
  });

  it('is asked once for a message, however often that comes', async () => {
    const { signer, go, signals } = slow('client');
    const { keeper, step, second } = await awaitingSignature(signer);
    const one = keeper.receive(step.run, second);
    await expect(keeper.receive(step.run, second)).rejects.toMatchObject({ reason: 'keeper' });
    go();
    expect((await one).done).toBe(true);
    expect(signals).toHaveLength(1);
    await expect(keeper.receive(step.run, second)).rejects.toMatchObject({ reason: 'keeper' });
  });

  it('hears that nobody waits also if that was so before it was asked', async () => {
    const { signer, go, signals } = slow('client');
    const { keeper, step, second } = await awaitingSignature(signer);
    const received = keeper.receive(step.run, second); // looks up whom to trust first
    keeper.abandon(step.run);
    go();
    await expect(received).rejects.toMatchObject({ reason: 'keeper' });
    expect(signals[0]?.aborted).toBe(true);
  });

  it('counts among the runs in progress', async () => {
    const { signer } = slow('server');
    const wire = link({ server: { identities: using(signer), maxRuns: 1 } });
    wire.client.registry.negotiate(SIGNED);
    await wire.run();
    wire.client.registry.negotiate(SIGNED);
    await wire.run();
    expect(wire.client.rejections()).toMatchObject([{ reason: REJECT_REASON.TOO_MANY_RUNS }]);
  });

  it('and fails ends the run, without words to the peer', async () => {
    const failing: Signer = {
      ...signerOf('x'),
      identity: signerOf('server').identity,
      comment: '',
      sign: () => Promise.reject(new Error('agent gone')),
    };
    const wire = await negotiated(link({ server: { identities: using(failing) } }));
    expect(wire.server.failure).toMatchObject({
      code: 'ERR_KEYMUX_KEY_FAILURE',
      scope: 'session',
      reason: 'keeper',
    });
    expect(wire.server.failure?.message).toContain('agent gone');
    expect(wire.frames).toHaveLength(1);
  });
});

describe('signed with a real ssh-agent and a real key file on both sides', () => {
  it('makes a key', async () => {
    const folder = temporaryFolder();
    const agent = await startAgent(folder);
    const key = generateKey(join(folder, 'id_ed25519'));
    agent.add(key.path);
    const [remote] = (await new SshAgent(agent.socket).signers()) as [Signer];
    let signature: Promise<Uint8Array> | undefined;
    const signer: Signer = {
      identity: remote.identity,
      comment: remote.comment,
      sign: (data, signal) => {
        signature = remote.sign(data, signal);
        return signature;
      },
    };
    const identities = using(signer);
    const trust = authorizing(`${key.publicText} alice@laptop`);
    const wire = link({
      client: { identities },
      server: { identities: using(signerOf('server'), { trust }) },
    });
    wire.client.registry.negotiate(SIGNED);
    await wire.run(); // up to what the agent has to sign
    await signature;
    await wire.run();
    expect(wire.server.registry.info(1)?.peer).toBe(`ssh-ed25519 ${key.fingerprint} (alice@laptop)`);
    expect(passEnvelope(wire.server, wire.client, 1, 'welcome')).toBe('welcome');
  });
});

function frameOf(data: Uint8Array = new Uint8Array(0), fin = false): Uint8Array {
  return encodeNego({ keyId: 1, algorithm: ALGORITHM.SIGNED, fin, reject: false, retire: false, data });
}

/** A keeper that asks `signer` when it gets `second`. */
async function awaitingSignature(signer: Signer) {
  const identities = using(signer);
  const keeper = keeperOf('client', { identities });
  const server = keeperOf('server');
  const initiator = {
    role: 'initiator',
    initiator: 'client',
    depth: 0,
    keyId: 1,
    generation: 0,
    algorithm: 4,
  } as const;
  const peerName = { host: 'a.example', port: 6121 };
  const step = await keeper.start({ ...initiator, peerName }, { ...SIGNED, offer: 16 });
  const first = frameOf(step.send?.data, false);
  const answer = await server.accept({ ...initiator, role: 'responder' }, first);
  const second = frameOf(answer.send?.data, true);
  return { keeper, step, second };
}
