import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type Readable, Transform } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import {
  ALGORITHM,
  AuthorizedKeysFile,
  Identities,
  type KeyInfo,
  Keyring,
  KnownHostsFile,
  LocalKeeper,
  PreSharedKey,
  type Role,
  SIGNED_LABEL,
  type Signer,
} from '@keymux/keys';
import { DEFAULT_BUDGETS } from '@keymux/session';
import { MuxSession, type MuxSessionOptions, type MuxStream } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { hashOf, payload, payloadHash } from '../support/payload.ts';
import { Scope } from '../support/scope.ts';
import { sshIdentity } from '../support/ssh-identity.ts';

const MIB = 2 ** 20;
const PEER_NAME = { host: 'peer.test', port: 6121 };
const POST = [
  [':method', 'POST'],
  [':path', '/'],
  [':host', 'peer.test'],
] as [string, string][];
const OK = [[':status', '200']] as [string, string][];
const scope = new Scope();
afterEach(() => scope.close());

interface Ends {
  readonly client: MuxSession;
  readonly server: MuxSession;
  readonly key: KeyInfo;
}

/** Two sessions over TCP with one key. Each side may use it in one role only, as the command has it. */
async function ends(algorithm: number, options: Partial<MuxSessionOptions> = {}): Promise<Ends> {
  const [label, keepers] =
    algorithm === ALGORITHM.SIGNED ? ([SIGNED_LABEL, await identities()] as const) : sharedKey();
  const [clientSocket, serverSocket] = await sockets();
  // More often than any peer should: an hour or 64 GiB is what a peer's budget is made for.
  const negotiations = { burst: 10_000, perSecond: 1000 };
  const config = { budgets: { ...DEFAULT_BUDGETS, negotiations }, ...options.config };
  const [client, server] = (['client', 'server'] as const).map((role) => {
    const carrier = role === 'client' ? clientSocket : serverSocket;
    return new MuxSession(carrier, { role, keeper: keepers[role], peerName: PEER_NAME, ...options, config });
  }) as [MuxSession, MuxSession];
  scope.defer(() => [client, server].map((session) => session.destroy()));
  const key = await client.negotiate({ algorithm, label });
  return { client, server, key };
}

async function sockets(): Promise<[Socket, Socket]> {
  const listener = createServer().listen(0, '127.0.0.1');
  scope.defer(() => listener.close());
  await once(listener, 'listening');
  const socket = connect((listener.address() as AddressInfo).port, '127.0.0.1');
  const [accepted] = (await once(listener, 'connection')) as [Socket];
  return [socket, accepted];
}

type Keepers = Record<'client' | 'server', LocalKeeper>;

function sharedKey(): [string, Keepers] {
  const key = new PreSharedKey(Buffer.alloc(32, 'a shared key'));
  const keeper = (role: Role): LocalKeeper => {
    const keyring = new Keyring();
    keyring.add(key, { authorities: [''], roles: [role] });
    return new LocalKeeper({ keyring });
  };
  return [key.label, { client: keeper('initiator'), server: keeper('responder') }];
}

async function identities(): Promise<Keepers> {
  const file = await scope.directory();
  const [client, server] = [await sshIdentity(scope, 'client'), await sshIdentity(scope, 'server')];
  await writeFile(file('known_hosts'), `[peer.test]:6121 ${server.line}\n`, { mode: 0o600 });
  await writeFile(file('authorized_keys'), `${client.line} alice\n`, { mode: 0o600 });
  const keeper = (signer: Signer, role: Role): LocalKeeper => {
    const known = new Identities();
    const knownHosts = new KnownHostsFile(file('known_hosts'));
    const authorizedKeys = new AuthorizedKeysFile(file('authorized_keys'));
    known.add(signer, { authorities: [''], roles: [role], trust: { knownHosts, authorizedKeys } });
    return new LocalKeeper({ keyring: new Keyring(), identities: known });
  };
  return { client: keeper(client.signer, 'initiator'), server: keeper(server.signer, 'responder') };
}

/** What a side does when it has received so many bytes; called for every chunk. */
type Watch = (from: MuxSession, received: number) => void;

/** Sends `bytes` each way at once on one stream, and returns what has arrived. */
async function bulk({ client, server, key }: Ends, bytes: number, watch: Watch) {
  const arrived = once(server, 'stream') as Promise<[MuxStream]>;
  const asking = client.openStream(POST, { key });
  const [answering] = await arrived;
  answering.respond(OK);
  const [there, back] = await Promise.all([
    hashOf(watched(answering, (received) => watch(server, received))),
    hashOf(watched(asking, (received) => watch(client, received))),
    pipeline(payload(bytes), asking, { end: true }).catch(() => undefined),
    pipeline(payload(bytes), answering, { end: true }).catch(() => undefined),
  ]);
  return { there, back };
}

function watched(stream: Readable, seen: (received: number) => void): Readable {
  let received = 0;
  const through = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      received += chunk.length;
      seen(received);
      done(null, chunk);
    },
  });
  stream.on('error', (error) => through.destroy(error));
  return stream.pipe(through);
}

/** Calls `act` when a watch has passed another `step` bytes. */
function every(step: number, act: (side: MuxSession) => void): Watch {
  const next = new Map<MuxSession, number>();
  return (side, received) => {
    const due = next.get(side) ?? step;
    if (received < due) return;
    next.set(side, due + step);
    act(side);
  };
}

describe.each([
  ['psk-x25519', ALGORITHM.PSK_X25519],
  ['signed', ALGORITHM.SIGNED],
  ['hybrid', ALGORITHM.HYBRID],
] as const)('S4, %s: renegotiation under load in both directions', (_, algorithm) => {
  test('by volume, by either side, and by both at once: no byte is lost', { timeout: 120_000 }, async () => {
    const size = Number(process.env.KEYMUX_BULK_MIB ?? 16) * MIB;
    const expected = { sha256: payloadHash(size), bytes: size };
    // With windows that grow, most of it would be on its way before the first generation is agreed on.
    const config = { sessionWindow: MIB };
    const both = await ends(algorithm, { renegotiate: { bytes: MIB }, config });
    const asked: Promise<unknown>[] = [];
    const news: KeyInfo[] = [];
    both.client.on('renegotiated', (key) => news.push(key));
    const byServer = every(2 * MIB, (side) => {
      if (side === both.server) asked.push(side.renegotiate(both.key));
    });
    const byBoth = every(5 * MIB, () => {
      for (const side of [both.client, both.server]) asked.push(side.renegotiate(both.key));
    });
    const { there, back } = await bulk(both, size, (side, received) => {
      byServer(side, received);
      byBoth(side, received);
    });
    expect([there, back]).toEqual([expected, expected]);
    await Promise.all(asked);
    expect(news.length).toBeGreaterThan(2);
    expect(news.map(({ generation }) => generation)).toEqual(news.map((_key, index) => index + 1));
    const same = ({ generation: _generation, ...rest }: KeyInfo) => rest;
    for (const key of news) expect(same(key)).toEqual(same(both.key));
  });
});

describe('the life of keys', () => {
  test('S7: when all IDs are used, that is an error of the call; streams go on, and live keys can be renegotiated', async () => {
    for (const [side, count] of [
      ['client', 128],
      ['server', 127],
    ] as const) {
      const both = await ends(ALGORITHM.PSK_X25519);
      const { client, server } = both;
      const keeper = sharedKey()[0];
      const stream = client.openStream(POST, { key: both.key });
      const [answering] = (await once(server, 'stream')) as [MuxStream];
      answering.respond(OK);
      const negotiate = () => both[side].negotiate({ algorithm: ALGORITHM.PSK_X25519, label: keeper });
      const used = side === 'client' ? 1 : 0;
      for (let made = used; made < count; made++) await negotiate().catch(() => undefined);
      await expect(negotiate()).rejects.toMatchObject({ code: 'ERR_KEYMUX_IDS_EXHAUSTED', scope: 'usage' });
      await expect(both[side].renegotiate(both.key)).resolves.toMatchObject({ keyId: 1, generation: 1 });
      stream.end('still here');
      answering.end('so is this');
      expect(await Promise.all([text(answering), text(stream)])).toEqual(['still here', 'so is this']);
    }
  });

  test('a key takes the place of another, which is retired when its last stream ends, though streams cross it', async () => {
    const { client, server, key } = await ends(ALGORITHM.PSK_X25519);
    server.on('stream', (stream: MuxStream) => {
      stream.respond(OK);
      stream.pipe(stream);
    });
    const last = client.openStream(POST, { key });
    const retired = Promise.all([client, server].map((side) => once(side, 'retired')));
    const { algorithm, label } = key;
    const next = await client.negotiate({ algorithm, label, replaces: key });
    expect(() => client.openStream(POST, { key })).toThrow(/being retired/);
    last.end('the last');
    const pushed = server.openStream(POST, { key: server.key(1) });
    pushed.on('error', () => undefined);
    expect(await text(last)).toBe('the last');
    pushed.destroy();
    expect(await retired).toEqual([[1], [1]]);
    expect([client.key(1), server.key(1)]).toEqual([undefined, undefined]);
    const under = client.openStream(POST, { key: next });
    under.end('goes on');
    expect(await text(under)).toBe('goes on');
  });

  test('the only connection key is not retired, and a key of ALG 1 is not renegotiated', async () => {
    const { client, key } = await ends(ALGORITHM.PSK_X25519);
    expect(() => client.retire(key)).toThrow(expect.objectContaining({ code: 'ERR_KEYMUX_KEY_NEEDED' }));
    const psk = await client.negotiate({ algorithm: ALGORITHM.PSK, label: key.label });
    await expect(client.renegotiate(psk)).rejects.toMatchObject({ scope: 'usage' });
    await expect(client.renegotiate(key)).resolves.toMatchObject({ generation: 1 });
  });
});
