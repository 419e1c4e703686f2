import { GOAWAY, RST } from '@keymux/frames';
import { describe, expect, test } from 'vitest';
import { type End, SessionPair } from '../../../test/support/session-pair.ts';

const GET: [string, string][] = [[':method', 'GET']];
const OK: [string, string][] = [[':status', '200']];

/** Session frames under key 2, so that key 1 is free to go. */
function pairOf(): SessionPair {
  const pair = new SessionPair({ keys: true });
  pair.settle();
  pair.establish({ keyId: 1, authority: 'a.example' });
  pair.establish({ keyId: 2 });
  return pair;
}

function healthy({ client, server }: SessionPair): void {
  expect([client.session.error, server.session.error]).toEqual([undefined, undefined]);
}

function retired(end: End): boolean {
  return end.find('key-retired') !== undefined;
}

describe('the end of a key (spec 3.3)', () => {
  test.each(['client', 'server'] as const)('the %s begins, the other side follows', (name) => {
    const pair = pairOf();
    pair[name].session.retireKey(1);
    pair.settle();
    expect([retired(pair.client), retired(pair.server)]).toEqual([true, true]);
    healthy(pair);
  });

  test('H4: streams of both sides that cross the RETIREs of both are refused, and neither side waits for ever', () => {
    const pair = pairOf();
    const { client, server } = pair;
    const mine = server.session.open(GET, { keyId: 1 });
    client.session.retireKey(1);
    client.session.keysProgressed(pair.now);
    const fromClient = client.output();
    const theirs = server.output();
    server.session.receive(Uint8Array.from(fromClient), pair.now);
    client.session.receive(Uint8Array.from(theirs), pair.now);
    pair.settle();
    expect(server.take('reset')).toMatchObject({ id: mine, status: RST.REFUSED_STREAM, origin: 'remote' });
    expect(client.find('stream')).toBeUndefined();
    expect([retired(client), retired(server)]).toEqual([true, true]);
    expect([client.session.streamCount, server.session.streamCount]).toEqual([0, 0]);
    healthy(pair);
  });

  test('waits for an answer that has not begun, though the question has moved on to another key', () => {
    const pair = pairOf();
    const { client, server } = pair;
    const id = client.session.open(GET, { keyId: 1 });
    pair.settle();
    client.session.switchKey(id, 2);
    client.session.end(id);
    pair.settle();
    for (const end of [client, server]) {
      end.session.retireKey(1);
      end.session.keysProgressed(pair.now);
    }
    pair.settle();
    expect([retired(client), retired(server)]).toEqual([false, false]);
    server.session.reply(id, OK, { fin: true });
    pair.settle();
    expect(client.find('reply')?.key?.keyId).toBe(1);
    expect([retired(client), retired(server)]).toEqual([true, true]);
    healthy(pair);
  });

  test('is not to be had for the key of our session frames, and no stream is opened under a key that is ending', () => {
    const { client } = pairOf();
    expect(() => client.session.retireKey(2)).toThrow(
      expect.objectContaining({ code: 'ERR_KEYMUX_KEY_NEEDED' }),
    );
    expect(() => client.session.retireKey(9)).toThrow(expect.objectContaining({ code: 'ERR_KEYMUX_NO_KEY' }));
    const id = client.session.open(GET, { keyId: 2 });
    client.session.retireKey(1);
    for (const act of [() => client.session.open(GET, { keyId: 1 }), () => client.session.switchKey(id, 1)]) {
      expect(act).toThrow(expect.objectContaining({ code: 'ERR_KEYMUX_NO_KEY' }));
    }
  });

  test.each([
    ['a stream of its own that has not ended', 1],
    ['its session frames', 2],
  ])('ends the session if its sender still needs the key for %s', (_, keyId) => {
    const pair = pairOf();
    const { client, server } = pair;
    client.session.open(GET, { keyId: 1 });
    pair.settle();
    const bytes = client.keys.forgeRetire(keyId);
    server.session.receive(bytes, pair.now);
    expect(server.session.error?.status).toBe(GOAWAY.KEY_FAILURE);
  });
});
