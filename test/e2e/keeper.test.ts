import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import {
  ALGORITHM,
  ANONYMOUS_LABEL,
  KeyError,
  type Offer,
  type RunContext,
  SIGNED_LABEL,
  type Step,
} from '@keymux/keys';
import { connectSocket, MuxSession } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { Clock } from '../support/clock.ts';
import { identified, PEER_NAME } from '../support/identified.ts';
import { KeeperDouble } from '../support/keepers.ts';
import { connectKeeper, serveKeeper, throughSocket } from '../support/remote-keepers.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, BETA, codeOf, failureOf, Keys, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const AWAY = 'ERR_KEYMUX_KEEPER_AWAY';

describe('sessions whose keepers are behind sockets, on both sides', () => {
  test.each([
    ['psk', ALGORITHM.PSK],
    ['spiped', ALGORITHM.SPIPED],
    ['psk-x25519', ALGORITHM.PSK_X25519],
    ['hybrid', ALGORITHM.HYBRID],
  ])('%s', async (_name, algorithm) => {
    const keys = new Keys();
    const keeper = {
      client: await throughSocket(scope, keys.keeper()),
      origin: await throughSocket(scope, keys.keeper({ replaysKnownSince: 0 })),
    };
    const victims = await setVictims(scope, { keys, keeper });
    const key = await victims.key(ALPHA, algorithm);
    expect(key).toMatchObject({ level: 'authenticated', label: keys.of(ALPHA), authority: ALPHA });
    expect(await tell(victims.client.request({ host: ALPHA, path: '/', key }))).toMatchObject({
      ...{ status: 200, level: 'authenticated' },
    });
  });

  test('anonymous', async () => {
    const keys = new Keys();
    const keeper = () => throughSocket(scope, keys.keeper({ anonymous: [ALPHA] }));
    const { client } = await setVictims(scope, {
      keys,
      keeper: { client: await keeper(), origin: await keeper() },
    });
    const request = { algorithm: ALGORITHM.ANONYMOUS, label: ANONYMOUS_LABEL, authority: ALPHA };
    expect(await client.negotiate(request)).toMatchObject({ level: 'passive', peer: 'anonymous' });
  });

  test('signed, with what a line of authorized_keys restricts', async () => {
    const { who, keeper } = await identified(scope, {
      authorizedKeys: ({ alice }) => `restrict,permitopen="db.test:5432" ${alice.line} alice`,
    });
    const victims = await setVictims(scope, {
      keeper: {
        client: await throughSocket(scope, keeper(who.alice.signer)),
        origin: await throughSocket(scope, keeper(who.host.signer)),
      },
      client: { peerName: PEER_NAME },
    });
    const asked = { algorithm: ALGORITHM.SIGNED, label: SIGNED_LABEL, authority: ALPHA };
    const key = await victims.client.negotiate(asked);
    expect(key.identity).toMatchObject({ name: `[${ALPHA}]:6121` });
    await tell(victims.client.request({ host: ALPHA, path: '/', key }));
    expect(victims.sessions[0]?.key(key.keyId)).toMatchObject({
      identity: { name: 'alice' },
      restrictions: { permitOpen: ['db.test:5432'] },
    });
  });
});

test('a process that serves one host gets nothing for another', async () => {
  const keys = new Keys();
  const { path, audit } = await serveKeeper(scope, keys.keeper().limitedTo([ALPHA]));
  const origin = await connectKeeper(scope, path);
  expect(origin.kept.map(({ authority }) => authority)).toEqual([ALPHA]);
  const victims = await setVictims(scope, { keys, keeper: { origin } });
  await victims.key(ALPHA);
  expect(codeOf(await failureOf(victims.key(BETA)))).toBe('ERR_KEYMUX_KEY_FAILURE');
  expect(audit.map(({ event, offer, code }) => [event, offer?.authority, code])).toEqual([
    ['connected', undefined, undefined],
    ['begun', ALPHA, undefined],
    ['key', undefined, undefined],
    ['begun', BETA, undefined],
    ['refused', undefined, 'ERR_KEYMUX_KEY_FAILURE'],
  ]);
});

describe('the keeper of an origin goes', () => {
  /** An origin whose keeper is behind a socket, with a key negotiated; and what makes the keeper go and come. */
  async function street() {
    const keys = new Keys();
    const { server, path } = await serveKeeper(scope, keys.keeper());
    const origin = await connectKeeper(scope, path);
    const victims = await setVictims(scope, { keys, keeper: { origin } });
    const key = await victims.key(ALPHA);
    const leave = async () => {
      const away = once(origin, 'away');
      await server.close();
      await away;
    };
    const comeBack = async () => {
      const back = once(origin, 'back');
      await serveKeeper(scope, keys.keeper(), {}, path);
      await back;
    };
    return { ...victims, key, leave, comeBack };
  }

  test('the session goes on, and so do its streams; a new key is rejected for now, and made when it is back', async () => {
    const { client, sessions, key, keys, leave, comeBack } = await street();
    const negotiate = () =>
      client.negotiate({ algorithm: ALGORITHM.PSK_X25519, label: keys.of(BETA), authority: BETA });
    await leave();
    expect(await tell(client.request({ host: ALPHA, path: '/', key }))).toMatchObject({ status: 200 });
    expect(await failureOf(negotiate())).toMatchObject({
      ...{ code: 'ERR_KEYMUX_NEGOTIATION_REJECTED', reason: 5 },
      message: expect.stringMatching(/cannot negotiate at the moment; try again later/),
    });
    expect(await failureOf(client.session.renegotiate(key))).toMatchObject({ reason: 5 });
    expect(await tell(client.request({ host: ALPHA, path: '/', key }))).toMatchObject({
      level: 'authenticated',
    });
    await comeBack();
    expect(await negotiate()).toMatchObject({ authority: BETA });
    expect(await client.session.renegotiate(key)).toMatchObject({ generation: 1 });
    expect(sessions).toHaveLength(1);
  });

  test('what it would have to begin itself fails with a clear error', async () => {
    const { sessions, keys, leave, comeBack } = await street();
    const [session] = sessions;
    const prompt = () =>
      session?.negotiate({ algorithm: ALGORITHM.PSK_X25519, label: keys.of(BETA), authority: BETA }) ??
      Promise.reject(new Error('no session'));
    await leave();
    expect(await failureOf(prompt())).toMatchObject({
      code: AWAY,
      message: expect.stringMatching(/sessions go on/),
    });
    await comeBack();
    expect(await prompt()).toMatchObject({ authority: BETA });
  });
});

test('a key that could not be renewed while the keeper was away is renewed later', async () => {
  const clock = Clock.install(scope);
  const keys = new Keys();
  let away = false;
  class Going extends KeeperDouble {
    override start(context: RunContext, offer: Offer): Promise<Step> {
      if (away) return Promise.reject(new KeyError(AWAY, 'away'));
      return super.start(context, offer);
    }
  }
  const { port } = await setVictims(scope, { keys });
  const carrier = await connectSocket({ host: '127.0.0.1', port });
  const keeper = new Going(keys.keeper());
  const session = new MuxSession(carrier, { role: 'client', keeper, renegotiate: { age: 20_000 } });
  scope.defer(() => session.destroy());
  const { keyId } = await session.negotiate({ algorithm: 3, label: keys.of(ALPHA), authority: ALPHA });
  away = true;
  clock.pass(20_000);
  await setImmediate();
  expect(session.key(keyId)?.generation).toBe(0);
  away = false;
  const renewed = once(session, 'renegotiated');
  clock.pass(10_000);
  await renewed;
  expect(session.key(keyId)?.generation).toBe(1);
});
