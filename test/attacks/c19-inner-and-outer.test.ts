import type { AddressInfo } from 'node:net';
import type { Client } from '@keymux/client';
import { encodeControl, encodeDataHead } from '@keymux/frames';
import { ALGORITHM } from '@keymux/keys';
import { ConnectProxy } from '@keymux/proxy';
import type { MuxSession } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { clearRequest, clearSyn } from '../support/forge.ts';
import { connectClient } from '../support/library.ts';
import { Middle } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, codeOf, failureOf, KEY_FAILURE, setVictims, tell, type Victims } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

interface Nested {
  readonly victims: Victims;
  readonly outer: Client;
  readonly inner: Client;
  /** Between client and proxy; the other one, in `victims`, is between proxy and origin. */
  readonly hop: Middle;
  readonly atProxy: MuxSession[];
  ask(): Promise<unknown>;
}

/** A session with the origin inside a tunnel of a session with the proxy; both have a key 1, for which the same long-term key serves. */
async function nested(): Promise<Nested> {
  const victims = await setVictims(scope);
  const { keys, middle } = victims;
  const atProxy: MuxSession[] = [];
  const proxy = new ConnectProxy({ keeper: keys.keeper(), allow: ['127.0.0.1:*'] });
  proxy.on('session', (session) => atProxy.push(session));
  const { port } = (await proxy.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(() => proxy.close());
  const hop = await Middle.start(scope, port);
  const outer = await connectClient(scope, hop.address, { keeper: keys.keeper() });
  const connection = { algorithm: ALGORITHM.PSK_X25519, label: keys.of(''), authority: '' };
  const key = await outer.negotiate(connection);
  const inner = await outer.through('127.0.0.1', middle.port, { key, selfProtected: true });
  scope.defer(() => inner.session.destroy());
  const alpha = await inner.negotiate({ ...connection, label: keys.of(ALPHA), authority: ALPHA });
  expect([key.keyId, alpha.keyId]).toEqual([1, 1]);
  const ask = (): Promise<unknown> => tell(inner.request({ host: ALPHA, path: '/', key: alpha }));
  return { victims, outer, inner, hop, atProxy, ask };
}

/** Frames as payload of the tunnel. */
const inTunnel = (bytes: Uint8Array): Buffer =>
  Buffer.concat([encodeDataHead(1, false, bytes.length), bytes]);

describe('C19: inner and outer session', () => {
  test('control: both sessions live side by side', async () => {
    const { ask, outer, inner, hop } = await nested();
    expect(await ask()).toMatchObject({ status: 200, level: 'authenticated' });
    expect(hop.wire.sent('up', 'key-nego')).toHaveLength(1); // that of the tunnel is payload
    expect([outer.session.canOpen, inner.session.canOpen]).toEqual([true, true]);
  });

  test('an inner envelope on the outer session ends that', async () => {
    const { ask, outer, hop, victims, atProxy } = await nested();
    await ask();
    hop.wire.send('up', victims.middle.wires.at(-1)?.sent('up', 'sealed')[0]?.bytes as Buffer);
    expect(codeOf(await outer.session.closed)).toBe(KEY_FAILURE);
    expect(await atProxy[0]?.closed).toMatchObject({ code: KEY_FAILURE });
  });

  test('an outer envelope inside the tunnel ends the inner session, and no other', async () => {
    const { ask, inner, outer, hop, victims } = await nested();
    await ask();
    hop.wire.send('up', inTunnel(hop.wire.sent('up', 'sealed')[0]?.bytes as Buffer));
    expect(codeOf(await inner.session.closed)).toBe(KEY_FAILURE);
    expect(codeOf(await victims.sessions.at(-1)?.closed)).toBe(KEY_FAILURE);
    expect(outer.session.canOpen).toBe(true);
  });

  test('messages of the inner negotiation on the outer session, and the other way round', async () => {
    for (const way of ['out', 'in'] as const) {
      const { ask, inner, outer, hop, victims } = await nested();
      await ask();
      const message = (middle: Middle): Buffer =>
        middle.wires.at(-1)?.sent('up', 'key-nego')[0]?.bytes as Buffer;
      if (way === 'out') hop.wire.send('up', message(victims.middle));
      else hop.wire.send('up', inTunnel(message(hop)));
      const [hit, spared] = way === 'out' ? [outer, undefined] : [inner, outer];
      expect(codeOf(await hit.session.closed)).toBe(KEY_FAILURE);
      if (spared) expect(spared.session.canOpen).toBe(true);
    }
  });

  test.each([
    ['GOAWAY', encodeControl({ type: 'goaway', lastGoodId: 0, status: 0 })],
    ['SETTINGS', encodeControl({ type: 'settings', clear: false, entries: [{ id: 4, value: 0, flags: 0 }] })],
    ['PING', encodeControl({ type: 'ping', id: 3 })],
    ['RST_STREAM', encodeControl({ type: 'rst-stream', streamId: 1, status: 5 })],
  ])('%s inside the tunnel means nothing to the outer session', async (_name, frame) => {
    const { ask, inner, outer, victims } = await nested();
    await ask();
    // Behind the proxy, which passes it on as payload.
    for (const way of ['up', 'down'] as const) victims.middle.wires.at(-1)?.send(way, frame);
    await failureOf(ask()); // to the inner session it may mean something: it is clear there
    expect(outer.session.canOpen).toBe(true);
    inner.session.destroy();
    await outer.close();
    expect(await outer.session.closed).toBeUndefined();
  });

  test('a proxy that answers the inner negotiation itself holds no key for the host', async () => {
    const { victims, outer } = await nested();
    const key = outer.session.key(1);
    const mallory = await setVictims(scope); // an origin for the same host, with other keys
    const inner = await outer.through('127.0.0.1', mallory.port, { key, selfProtected: true });
    scope.defer(() => inner.session.destroy());
    const request = { algorithm: ALGORITHM.PSK_X25519, label: victims.keys.of(ALPHA), authority: ALPHA };
    expect(await failureOf(inner.negotiate(request))).toMatchObject({ code: KEY_FAILURE });
  });

  test('the first message of a run does not count at another depth', async () => {
    const { victims, inner, hop } = await nested();
    const settings = hop.wire.sent('up', 'settings')[0]?.bytes as Buffer; // says depth 0
    const message = victims.middle.wires.at(-1)?.sent('up', 'key-nego')[0]?.bytes as Buffer; // made at depth 1
    const direct = await victims.connect();
    victims.middle.wires.at(-1)?.send('up', message);
    expect(codeOf(await direct.session.closed)).toBe(KEY_FAILURE);
    expect(settings.includes(Buffer.from('4b4d5800', 'hex'))).toBe(true);
    expect(inner.session.canOpen).toBe(true);
  });

  test('the proxy answers nothing that is asked inside a tunnel', async () => {
    const { victims, hop, ask } = await nested();
    const request = clearSyn(3, clearRequest('CONNECT', '127.0.0.1:1', '127.0.0.1:1'), { fin: true });
    hop.wire.send('up', inTunnel(request));
    await failureOf(ask());
    expect(victims.delivered.map(({ method }) => method)).not.toContain('CONNECT');
    expect(hop.wires).toHaveLength(1);
  });
});
