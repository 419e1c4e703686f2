import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { ALGORITHM, type KeyInfo, Keyring, LocalKeeper } from '@keymux/keys';
import { Origin } from '@keymux/origin';
import { afterEach, describe, expect, test } from 'vitest';
import { connectClient } from '../support/library.ts';
import { Middle } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { listen } from '../support/servers.ts';
import { ALPHA, failureOf, KEY_FAILURE, Keys } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const METHODS = [
  ['psk', ALGORITHM.PSK],
  ['spiped', ALGORITHM.SPIPED],
  ['psk-x25519', ALGORITHM.PSK_X25519],
  ['hybrid', ALGORITHM.HYBRID],
  ['anonymous', ALGORITHM.ANONYMOUS],
] as const;

describe.each(METHODS)('C9: reflection, %s', (_name, algorithm) => {
  const keys = new Keys();
  const label = algorithm === ALGORITHM.ANONYMOUS ? 'anonymous' : keys.of(ALPHA);
  const request = { algorithm, label, authority: ALPHA };
  const holder = (): LocalKeeper => keys.keeper({ anonymous: [ALPHA] });

  /** A node that is client and server with one keeper, and the way to it. */
  async function node(keeper: LocalKeeper) {
    const made: unknown[] = [];
    const origin = new Origin({ keeper, hosts: [{ name: ALPHA, handler: () => ({ status: 200 }) }] });
    origin.on('session', (session) => session.on('key', (key) => made.push(key)));
    const { port } = (await origin.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    scope.defer(() => origin.close());
    return { made, middle: await Middle.start(scope, port) };
  }

  test('control: two nodes with the same key', async () => {
    const { middle, made } = await node(holder());
    const client = await connectClient(scope, middle.address, { keeper: holder() });
    expect(await client.negotiate(request)).toMatchObject({ authority: ALPHA });
    expect(made.length).toBeGreaterThan(0);
  });

  test('a node is connected to itself through a relay: no key', async () => {
    const keeper = holder();
    const { middle, made } = await node(keeper);
    const client = await connectClient(scope, middle.address, { keeper });
    expect(await failureOf(client.negotiate(request))).toMatchObject({ code: KEY_FAILURE });
    expect(made).toEqual([]);
  });

  test('every byte of a client comes back to it: no key', async () => {
    const port = await listen(
      scope,
      createServer((socket) => socket.pipe(socket)),
    );
    const client = await connectClient(scope, `127.0.0.1:${port}`, { keeper: holder() });
    expect(await failureOf(client.negotiate(request))).toMatchObject({ code: KEY_FAILURE });
  });

  test('its messages come back as those of a run that the server begins, or as answers: no key', async () => {
    for (const edit of [
      (frame: Buffer) => frame.writeUInt8(2, 8), // the ID of a run of the server
      (frame: Buffer) => frame.writeUInt8(frame.readUInt8(4) ^ 0x01, 4),
      () => 0,
    ]) {
      const made: KeyInfo[] = [];
      const sink = await listen(
        scope,
        createServer((socket) => socket.resume()),
      );
      const mirror = await Middle.start(scope, sink, ({ way, type, bytes }, wire) => {
        if (way === 'down') return undefined;
        const copy = Buffer.from(bytes);
        if (type === 'key-nego') edit(copy);
        wire.send('down', copy);
        return [];
      });
      const client = await connectClient(scope, mirror.address, { keeper: holder() });
      client.session.on('key', (key) => made.push(key));
      expect(await failureOf(client.negotiate(request))).toMatchObject({ code: KEY_FAILURE });
      expect(made.filter(({ level, early }) => level !== 'none' && !early)).toEqual([]);
    }
  });
});

test('C9: two keepers with one key file refuse it by the roles they are configured with', async () => {
  const { alpha } = new Keys();
  const keeper = (role: 'initiator' | 'responder'): LocalKeeper => {
    const keyring = new Keyring();
    keyring.add(alpha, { authorities: [ALPHA], roles: [role] });
    return new LocalKeeper({ keyring });
  };
  const origin = new Origin({ keeper: keeper('initiator'), hosts: [] });
  const { port } = (await origin.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(() => origin.close());
  const request = { algorithm: ALGORITHM.PSK_X25519, label: alpha.label, authority: ALPHA };
  const client = await connectClient(scope, `127.0.0.1:${port}`, { keeper: keeper('initiator') });
  expect(await failureOf(client.negotiate(request))).toMatchObject({ code: KEY_FAILURE });
});
