import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { Keyring, LocalKeeper, readKeyFile } from '@keymux/keys';
import { Origin } from '@keymux/origin';
import type { KeyInfo } from '@keymux/session';
import { type MuxSession, SessionServer } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { bodyOf, connectClient } from '../support/library.ts';
import { jsonLines, KeymuxProcess, run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { makeKey } from '../support/tunnel.ts';
import { readCapture, Wiretap } from '../support/wiretap.ts';

const SECRET = 'CANARY-in-the-second-half';
const PASSWORD = 'PASSWORD-in-the-first-half';
const PSK_X25519 = 3;
const HOST = 'a.test';
const scope = new Scope();
afterEach(() => scope.close());

type Prepare = (file: (name: string) => string) => Promise<{ server: string[]; client: string[] }>;

const WAYS: Record<string, { algorithm: number; prepare: Prepare }> = {
  'shared keys': {
    algorithm: PSK_X25519,
    prepare: async () => {
      const key = await makeKey(scope);
      return { server: ['--key', `${HOST}=${key}`], client: ['--key', key] };
    },
  },
  identities: {
    algorithm: 4,
    prepare: async (file) => {
      const [host, alice] = await Promise.all(['host', 'alice'].map((name) => generate(file(name), name)));
      await writeFile(file('authorized_keys'), `${alice} alice\n`);
      await writeFile(file('known_hosts'), `[${HOST}]:6121 ${host}\n`);
      const lets = ['--authorized-keys', file('authorized_keys')];
      return {
        server: ['--host', HOST, '--identity', file('host'), ...lets],
        client: ['--identity', file('alice'), '--known-hosts', file('known_hosts')],
      };
    },
  },
};

async function generate(path: string, name: string): Promise<string> {
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', path]);
  return (await readFile(`${path}.pub`, 'utf8')).split(' ').slice(0, 2).join(' ');
}

/** Which keys envelopes were sealed with. */
function sealedUnder(frames: readonly string[]): string[] {
  return [...new Set(frames.filter((frame) => frame.startsWith('sealed:')))];
}

describe('S5: mutual authentication with a key for each half of a stream', () => {
  test.each(Object.keys(WAYS))('%s: the client negotiates key 1, the host key 2', async (name) => {
    const { algorithm, prepare } = WAYS[name] as { algorithm: number; prepare: Prepare };
    const { server, client } = await prepare(await scope.directory());
    const origin = await KeymuxProcess.start(scope, ['origin', ...server, '--key-each-way', HOST], {
      KEYMUX_SECRET: SECRET,
    });
    const ask = async (...args: string[]) => {
      const tap = await Wiretap.start(scope, origin.port);
      const urls = args.map((page) => `keymux://${HOST}/${page}`);
      const way = ['--connect-to', tap.address, '--data', PASSWORD];
      const { code, stdout } = await keymuxInside(['get', ...urls, ...client, ...way, '--json']);
      return { code, results: jsonLines(stdout), tap };
    };
    const { code, results, tap } = await ask('account', 'login');
    expect(code).toBe(0);
    for (const result of results) {
      expect(result).toMatchObject({ status: 200, level: 'authenticated', answer: 'authenticated' });
      expect(result.legs).toMatchObject([
        { from: 'client', to: HOST, level: 'authenticated', key: { id: 1, forwardSecrecy: true } },
        { from: HOST, to: 'client', level: 'authenticated', key: { id: 2, forwardSecrecy: true } },
      ]);
    }
    const { up, down } = readCapture(tap.only);
    expect(sealedUnder(up.frames)).toEqual(['sealed:1']);
    expect(sealedUnder(down.frames)).toEqual(['sealed:2']);
    for (const { negotiated } of [up, down])
      expect(new Set(negotiated)).toEqual(new Set([`1/${algorithm}`, `2/${algorithm}`]));
    expect(up.opened).toEqual([]);
    expect(tap.sees(SECRET) || tap.sees(PASSWORD)).toBe(false);
    expect(await origin.atLeast(2, 'request')).toMatchObject([
      { received: 'authenticated', sent: 'authenticated' },
      { received: 'authenticated', sent: 'authenticated' },
    ]);
  });

  test('a host that does not want it answers as it was asked, on the same session', async () => {
    const { tap, client, keys } = await ownKeyFor(HOST, ['initiator', 'responder']);
    for (const host of ['b.test', HOST]) {
      const answer = await client.request({ host, path: '/', key: keys.get(host) });
      expect(await bodyOf(answer)).toBe(SECRET);
      expect(answer.security.received.key?.keyId).toBe(host === HOST ? 2 : 3);
    }
    expect(sealedUnder(readCapture(tap.only).down.frames)).toEqual(['sealed:3', 'sealed:2']);
  });

  test('a host whose key the client has retired negotiates another', async () => {
    const { tap, client, keys } = await ownKeyFor(HOST, ['initiator', 'responder']);
    const ask = async () => {
      const answer = await client.request({ host: HOST, path: '/', key: keys.get(HOST) });
      expect(await bodyOf(answer)).toBe(SECRET);
      return answer.security.received.key as KeyInfo;
    };
    const retired = once(client.session, 'retired');
    client.session.retire(await ask());
    expect(await retired).toEqual([2]);
    expect((await ask()).keyId).toBe(4);
    expect(sealedUnder(readCapture(tap.only).down.frames)).toEqual(['sealed:2', 'sealed:4']);
  });

  test('a client that takes no prompt gets no answer under its own key instead', async () => {
    const { tap, client, keys } = await ownKeyFor(HOST, ['initiator']);
    const request = client.request({ host: HOST, path: '/', key: keys.get(HOST) });
    await expect(request).rejects.toMatchObject({ code: 'ERR_KEYMUX_STREAM_RESET' });
    expect(sealedUnder(readCapture(tap.only).down.frames)).toEqual([]);
  });

  /** Two hosts of an origin, one of which answers under its own key, and a client with a key for each. */
  async function ownKeyFor(keyEachWay: string, roles: ('initiator' | 'responder')[]) {
    const file = await makeKey(scope);
    const { keeper, label } = await keeperFor(file, ['initiator', 'responder']);
    const handler = () => ({ status: 200, body: SECRET });
    const hosts = [HOST, 'b.test'].map((name) => ({
      ...{ name, handler, promptLabel: label },
      keyEachWay: name === keyEachWay,
    }));
    const origin = new Origin({ keeper, hosts });
    const sessions: MuxSession[] = [];
    origin.on('session', (session) => sessions.push(session));
    scope.defer(() => {
      for (const session of sessions) session.carrier.destroy(); // the wiretap would keep its half open
      return origin.close();
    });
    const { port } = (await origin.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    const tap = await Wiretap.start(scope, port);
    const own = await keeperFor(file, roles);
    const client = await connectClient(scope, tap.address, { keeper: own.keeper });
    const keys = new Map<string, KeyInfo>();
    for (const authority of [HOST, 'b.test'])
      keys.set(authority, await client.negotiate({ algorithm: PSK_X25519, label, authority }));
    return { tap, client, keys };
  }

  test.each([
    ['of the host that was asked', HOST, undefined],
    ['of another host', 'b.test', 'ERR_KEYMUX_HOST_KEY'],
    ['of the server as a whole', '', 'ERR_KEYMUX_HOST_KEY'],
  ])('an answer under a key %s', async (_, authority, code) => {
    const file = await makeKey(scope);
    const server = new SessionServer({ keeper: (await keeperFor(file, ['initiator', 'responder'])).keeper });
    scope.defer(() => server.close());
    const { keeper, label } = await keeperFor(file, ['initiator', 'responder']);
    server.on('session', (session) =>
      session.on('stream', (stream) => {
        void session.negotiate({ algorithm: PSK_X25519, label, authority }).then((own) => {
          stream.respond(
            [
              [':status', '200 OK'],
              [':version', 'HTTP/1.1'],
            ],
            { key: own },
          );
          stream.end(SECRET);
        });
      }),
    );
    const { port } = (await server.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    const client = await connectClient(scope, `127.0.0.1:${port}`, { keeper });
    const key = await client.negotiate({ algorithm: PSK_X25519, label, authority: HOST });
    const answer = client.request({ host: HOST, path: '/', key });
    if (code !== undefined) await expect(answer).rejects.toMatchObject({ code });
    else expect(await bodyOf(await answer)).toBe(SECRET);
    client.session.destroy();
  });
});

async function keeperFor(file: string, roles: ('initiator' | 'responder')[]) {
  const keyring = new Keyring();
  const authorities = [HOST, 'b.test', ''];
  const label = keyring.add((await readKeyFile(file)).key, { authorities, roles });
  return { keeper: new LocalKeeper({ keyring }), label };
}

describe('--key-each-way is refused', () => {
  test.each([
    [['--host', HOST, '--key-each-way', HOST]],
    [['--host', 'b.test', '--key-each-way', HOST, '--anonymous']],
  ])('%j', async (args) => {
    const { code, stderr } = await keymuxInside(['origin', '--listen', '127.0.0.1:0', ...args]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--key-each-way a\.test.*--key a\.test=FILE/);
  });
});
