import type { AddressInfo } from 'node:net';
import { type Client, type ClientOptions, HostPolicy } from '@keymux/client';
import { ALGORITHM, ANONYMOUS_LABEL, Keyring, LocalKeeper } from '@keymux/keys';
import { Origin } from '@keymux/origin';
import { ConnectProxy } from '@keymux/proxy';
import { afterEach, describe, expect, test } from 'vitest';
import { clearRequest } from '../support/forge.ts';
import { bodyOf, connectClient } from '../support/library.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, codeOf, failureOf, Keys, SECRET, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const anonymous = { algorithm: ALGORITHM.ANONYMOUS, label: ANONYMOUS_LABEL, authority: ALPHA };
const nobody = () => new LocalKeeper({ keyring: new Keyring(), anonymous: [ALPHA, ''] });

/** Somebody on the way who is the other side of both: an anonymous key with the client, another with the origin. He reads and changes all. */
async function relay(options: ClientOptions = {}) {
  const read: string[] = [];
  const keeper = { origin: new Keys().keeper({ anonymous: [ALPHA] }) };
  const { port, delivered } = await setVictims(scope, { keeper });
  const back = await connectClient(scope, `127.0.0.1:${port}`, { keeper: nobody() });
  const backKey = await back.negotiate(anonymous);
  const attacker = new Origin({
    keeper: nobody(),
    hosts: [
      {
        name: ALPHA,
        handler: async ({ path }) => {
          const body = await bodyOf(await back.request({ host: ALPHA, path, key: backKey }));
          read.push(body);
          return { status: 200, body: 'FORGED' };
        },
      },
    ],
  });
  const address = (await attacker.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(() => attacker.close());
  const client = await connectClient(scope, `127.0.0.1:${address.port}`, { keeper: nobody(), ...options });
  return { client, read, delivered };
}

describe('C18: an active relay between two anonymous keys', () => {
  const ask = async (client: Client, level?: 'passive' | 'authenticated') =>
    client.request({
      host: ALPHA,
      path: '/',
      key: await client.negotiate(anonymous),
      ...(level && { level }),
    });

  test('reads and changes everything, and all that is claimed is "passive"', async () => {
    const { client, read } = await relay();
    const answer = await ask(client);
    expect(await bodyOf(answer)).toBe('FORGED');
    expect(read.join()).toContain(SECRET);
    expect(answer.security).toMatchObject({ level: 'passive', received: { peer: undefined } });
  });

  test.each<[string, ClientOptions, 'authenticated' | undefined]>([
    ['this request', {}, 'authenticated'],
    [
      'the policy for the host',
      { policy: new HostPolicy({ hosts: { [ALPHA]: 'authenticated' } }) },
      undefined,
    ],
    [
      'the policy for its kind',
      { policy: new HostPolicy({ hosts: { '.test': 'authenticated' } }) },
      undefined,
    ],
    ['the policy for all', { policy: new HostPolicy({ default: 'authenticated' }) }, undefined],
  ])('where %s says "authenticated", its answer is not used', async (_who, options, level) => {
    const { client, read } = await relay(options);
    const error = await failureOf(ask(client, level));
    expect(codeOf(error)).toBe('ERR_KEYMUX_LEVEL');
    expect(String(error)).toMatch(/"passive".*"authenticated" is required/);
    if (level === undefined) {
      expect(String(error)).toMatch(/nothing was sent.*proves nobody.*Negotiate/);
      expect(read).toEqual([]);
    } else expect(String(error)).toMatch(/not used/);
  });

  test('a policy of "passive" is content with it, and with nothing less', async () => {
    const policy = new HostPolicy({ default: 'passive' });
    const { client } = await relay({ policy });
    expect((await ask(client)).status).toBe(200);
    const error = await failureOf(client.request({ host: ALPHA, path: '/' }));
    expect(String(error)).toMatch(/level "none".*"passive" is required.*no key for alpha.test/);
  });
});

describe('C18: a side that asks for "authenticated" takes nobody for somebody', () => {
  test('a proxy', async () => {
    const keeper = new Keys().keeper({ anonymous: [''] });
    const proxy = new ConnectProxy({ keeper, allow: ['127.0.0.1:1-65535'] });
    const { port } = (await proxy.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    scope.defer(() => proxy.close());
    const client = await connectClient(scope, `127.0.0.1:${port}`, { keeper: nobody() });
    const key = await client.negotiate({ ...anonymous, authority: '' });
    const error = await failureOf(client.tunnel('127.0.0.1', port, { key }));
    expect(error).toMatchObject({ code: 'ERR_KEYMUX_REFUSED', status: 403 });
  });

  test('a handler that looks at the level, and at who the peer is', async () => {
    const seen: unknown[] = [];
    const keeper = new Keys().keeper({ anonymous: [ALPHA] });
    const handler = ({ security }: { security: { received: unknown } }) => {
      seen.push(security.received);
      return { status: 200 };
    };
    const victims = await setVictims(scope, { origin: { keeper, hosts: [{ name: ALPHA, handler }] } });
    const client = await connectClient(scope, victims.middle.address, { keeper: nobody() });
    await tell(client.request({ host: ALPHA, path: '/', key: await client.negotiate(anonymous) }));
    expect(seen).toMatchObject([{ level: 'passive', peer: undefined, reach: 'end-to-end' }]);
  });

  test('a stream that was proven does not go on under an anonymous key', async () => {
    const keys = new Keys();
    const [ours, theirs] = [keys.keeper({ anonymous: [ALPHA] }), keys.keeper({ anonymous: [ALPHA] })];
    const { client, key } = await setVictims(scope, { keys, keeper: { client: ours, origin: theirs } });
    const stream = client.session.openStream(clearRequest('POST', ALPHA, '/'), { key: await key(ALPHA) });
    const weak = await client.negotiate(anonymous);
    expect(() => stream.switchKey(weak)).toThrow(/proves less/);
  });
});
