import { encodeSealedHead } from '@keymux/frames';
import { afterEach, expect, test } from 'vitest';
import { LABEL, Link } from '../support/moving-keys.ts';
import { recordNonces } from '../support/nonces.ts';
import { Scope } from '../support/scope.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** A session with a key and a stream, about to be handed over by its server. */
async function setOut() {
  const used = recordNonces(scope);
  const link = new Link();
  const { client, server } = link;
  const keyId = client.keys.negotiate({ algorithm: 3, label: LABEL, authority: '', now: 0 });
  await link.settle();
  const stream = client.session.open([[':method', 'GET']], { keyId });
  await link.settle();
  server.session.reply(stream, [[':status', '200']]);
  await link.settle();
  return { link, server, keyId, stream, used };
}

test('C4: who has handed a session over seals and opens nothing any more, with whatever it has kept', async () => {
  const { link, server, keyId, stream, used } = await setOut();
  const { session, keys } = server;
  const kept = keys.sender(keyId);
  const opener = keys.receiver(keyId, kept?.generation ?? 0);
  session.send(stream, Buffer.from('queued before'));
  const blob = server.give();
  const sealed = used.length;
  expect(() => kept?.seal(encodeSealedHead(keyId, 0, 24), [new Uint8Array(8)])).toThrow(/seals nothing more/);
  expect(() => opener?.open(encodeSealedHead(keyId, 0, 24), new Uint8Array(24))).toThrow(/does not open/);
  expect(() => session.send(stream, Buffer.from('after'))).toThrow(/is over/);
  expect(keys.sender(keyId)).toBeUndefined();
  session.keysProgressed(0);
  session.handleDeadline(1e9);
  expect(session.output()).toBeUndefined();
  expect(used).toHaveLength(sealed);
  server.take(blob);
  await link.settle();
  expect(link.client.text(stream)).toBe('queued before');
  expect(new Set(used).size).toBe(used.length);
});

test('C4: a state is taken once, and a process that has lost its session cannot go on from an earlier one', async () => {
  const { link, server, stream, used } = await setOut();
  const blob = server.give();
  server.take(blob);
  server.session.send(stream, Buffer.from('x'));
  await link.settle();
  expect(() => server.take(blob)).toThrow(/taken already/);
  server.session.send(stream, Buffer.from('y'));
  await link.settle();
  expect(link.client.text(stream)).toBe('xy');
  expect(new Set(used).size).toBe(used.length);
});
