import type { AddressInfo } from 'node:net';
import { type Client, HostPolicy } from '@keymux/client';
import {
  ALGORITHM,
  ANONYMOUS_LABEL,
  type Keeper,
  type KeyInfo,
  Keyring,
  LocalKeeper,
  PreSharedKey,
} from '@keymux/keys';
import { Origin } from '@keymux/origin';
import { ConnectProxy } from '@keymux/proxy';
import type { Protection, StreamSecurity } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { bodyOf, connectClient } from '../support/library.ts';
import { Scope } from '../support/scope.ts';

const scope = new Scope();
afterEach(() => scope.close());

const HOST = 'a.test';
const key = new PreSharedKey(Buffer.alloc(32, 'of the host'));
const hopKey = new PreSharedKey(Buffer.alloc(32, 'of the hop'));

function keeper(): Keeper {
  const keyring = new Keyring();
  keyring.add(key, { authorities: [HOST] });
  keyring.add(hopKey, { authorities: [''] });
  return new LocalKeeper({ keyring, anonymous: [HOST], replaysKnownSince: 0 });
}

/** An origin that notes what each request came with, and a proxy before it. */
async function setPaths() {
  const seen: StreamSecurity[] = [];
  const handler = ({ security }: { security: StreamSecurity }) => {
    seen.push(security);
    return { status: 200, body: 'answer' };
  };
  const origin = new Origin({ keeper: keeper(), hosts: [{ name: HOST, handler }] });
  const proxy = new ConnectProxy({ keeper: keeper(), allow: ['127.0.0.1:1-65535'] });
  const ports: number[] = [];
  for (const server of [origin, proxy]) {
    ports.push(((await server.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo).port);
    scope.defer(() => server.close());
  }
  const [direct = 0, hop = 0] = ports;
  return { seen, direct, hop };
}

describe('R7: the same peer over paths of different strength', () => {
  const keys: [string, Partial<Protection>, (client: Client) => Promise<KeyInfo | undefined>][] = [
    [
      'the clear',
      { level: 'none', reach: undefined, forwardSecrecy: false, peer: undefined },
      async () => undefined,
    ],
    [
      'an anonymous key',
      { level: 'passive', reach: 'end-to-end', forwardSecrecy: true, peer: undefined },
      (client) =>
        client.negotiate({ algorithm: ALGORITHM.ANONYMOUS, label: ANONYMOUS_LABEL, authority: HOST }),
    ],
    [
      'psk, early',
      { level: 'authenticated', reach: 'end-to-end', forwardSecrecy: false, early: true },
      (client) =>
        client.negotiate({ algorithm: ALGORITHM.PSK, label: key.label, authority: HOST, early: true }),
    ],
    [
      'psk-x25519',
      { level: 'authenticated', reach: 'end-to-end', forwardSecrecy: true, early: false },
      (client) => client.negotiate({ algorithm: ALGORITHM.PSK_X25519, label: key.label, authority: HOST }),
    ],
  ];

  test.each(keys)('%s: both applications see what protects each message', async (_name, expected, make) => {
    const { seen, direct, hop } = await setPaths();
    const outer = await connectClient(scope, `127.0.0.1:${hop}`, { keeper: keeper() });
    const outerKey = await outer.negotiate({ algorithm: ALGORITHM.PSK_X25519, label: hopKey.label });
    const clients = [
      await connectClient(scope, `127.0.0.1:${direct}`, { keeper: keeper() }),
      await outer.through('127.0.0.1', direct, { key: outerKey }), // the hop adds nothing end to end
    ];
    for (const client of clients) {
      const answer = await client.request({ host: HOST, path: '/', key: await make(client) });
      await bodyOf(answer);
      expect(answer.security.sent).toMatchObject(expected);
      expect(answer.security.head).toMatchObject({ ...expected, early: false });
      if (expected.level === 'authenticated')
        expect(answer.security.head.peer).toEqual({ kind: 'shared-key', id: key.label, name: undefined });
    }
    expect(seen.map(({ head }) => head)).toMatchObject([expected, expected]);
    expect(seen.map(({ early }) => early)).toEqual([expected.early ?? false, expected.early ?? false]);
  });

  test('a policy refuses the weaker paths and takes the stronger, on one connection', async () => {
    const { seen, direct } = await setPaths();
    const policy = new HostPolicy({ hosts: { [HOST]: 'authenticated' } });
    const client = await connectClient(scope, `127.0.0.1:${direct}`, { keeper: keeper(), policy });
    const taken: string[] = [];
    for (const [name, , make] of keys) {
      const made = await make(client);
      await client.request({ host: HOST, path: '/', key: made }).then(
        () => taken.push(name),
        (error) => expect(error).toMatchObject({ code: 'ERR_KEYMUX_LEVEL', part: 'request' }),
      );
    }
    expect(taken).toEqual(['psk, early', 'psk-x25519']);
    expect(seen).toHaveLength(2);
  });

  test('a key of the hop does not stand for one of the host', async () => {
    const { seen, direct } = await setPaths();
    const policy = new HostPolicy({ default: 'passive' });
    const client = await connectClient(scope, `127.0.0.1:${direct}`, { keeper: keeper(), policy });
    const connection = await client.negotiate({ algorithm: ALGORITHM.PSK_X25519, label: hopKey.label });
    const asked = client.request({ host: HOST, path: '/', key: connection });
    await expect(asked).rejects.toThrow(/for the peer of this session only, but end to end is required/);
    expect(seen).toEqual([]);
  });
});
