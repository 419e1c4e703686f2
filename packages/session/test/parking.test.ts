import { describe, expect, test } from 'vitest';
import { HEADERS, ScriptedPeer, type ScriptFrame } from '../../../test/support/scripted-peer.ts';
import { SessionPair } from '../../../test/support/session-pair.ts';
import { expectFailure } from './support.ts';

const nego = (keyId: number): ScriptFrame => ({
  type: 'key-nego',
  keyId,
  algorithm: 9,
  fin: false,
  reject: false,
  retire: false,
  data: new Uint8Array(3),
});

function server(config = {}): ScriptedPeer {
  const peer = new ScriptedPeer({ keys: true, config });
  peer.establish({ keyId: 1, authority: 'a' });
  peer.establish({ keyId: 3, authority: 'b' });
  peer.sees();
  return peer;
}

describe('an envelope under a busy key (spec 3.2)', () => {
  test('waits, and reading with it; then everything follows in order', () => {
    const peer = server();
    peer.keys.stall(1);
    peer.sends({ type: 'syn-stream', streamId: 1 });
    peer.seals(3, { type: 'syn-stream', streamId: 3, slot: 3 });
    expect(peer.session.wantsInput).toBe(true);
    peer.seals(1, { type: 'syn-stream', streamId: 5, slot: 1 });
    expect(peer.session.wantsInput).toBe(false);
    peer.sends({ type: 'data', streamId: 1, payload: 'behind it' });
    expect(peer.events.filter(({ type }) => type === 'stream')).toHaveLength(2);
    expect(peer.find('data')).toBeUndefined();
    peer.session.keysProgressed(peer.now); // of another key
    expect(peer.session.wantsInput).toBe(false);
    peer.keys.resume(1);
    peer.session.keysProgressed(peer.now);
    expect(peer.session.wantsInput).toBe(true);
    expect(peer.types.slice(-2)).toEqual(['stream', 'data']);
  });

  test('does not hold up what we send', () => {
    const peer = server();
    peer.sends({ type: 'syn-stream', streamId: 1 });
    peer.keys.stall(1);
    peer.seals(1, { type: 'padding', length: 0 });
    peer.session.reply(1, [[':status', '200']], { fin: true });
    expect(peer.sees()).toMatchObject([{ type: 'syn-reply' }]);
  });

  test('the peer’s silence says nothing meanwhile', () => {
    const peer = server({ keepAlive: 1000, keepAliveTimeout: 1000 });
    peer.keys.stall(1);
    peer.seals(1, { type: 'padding', length: 0 });
    expect(peer.session.nextDeadline()).toBeUndefined();
    peer.session.handleDeadline(100_000);
    expect(peer.session.error).toBeUndefined();
  });

  test('the end of the carrier waits behind it', () => {
    const peer = server();
    peer.keys.stall(1);
    peer.seals(1, { type: 'syn-stream', streamId: 1, slot: 1, fin: true, unidirectional: true });
    peer.session.carrierEnded(peer.now);
    expect(peer.session.error).toBeUndefined();
    expect(peer.session.over).toBe(false);
    peer.keys.resume(1);
    peer.session.keysProgressed(peer.now);
    expect(peer.types.slice(-3)).toEqual(['stream', 'end', 'closed']);
    expect(peer.session.error).toBeUndefined();
    expect(peer.session.over).toBe(true);
  });

  test('a stream that it opens when the carrier has ended is cut off', () => {
    const peer = server();
    peer.keys.stall(1);
    peer.seals(1, { type: 'syn-stream', streamId: 1, slot: 1 });
    peer.session.carrierEnded(peer.now);
    peer.keys.resume(1);
    peer.session.keysProgressed(peer.now);
    expect(peer.types.slice(-4)).toEqual(['stream', 'reset', 'closed', 'error']);
    expectFailure(peer, 'PROTOCOL_ERROR');
  });
});

describe('KEY_NEGO of a busy key', () => {
  test('waits; others do not', () => {
    const peer = server();
    peer.keys.slow = true;
    peer.sends(nego(5));
    peer.sends(nego(7), { type: 'ping', id: 1 });
    expect(peer.session.wantsInput).toBe(true);
    expect(peer.sees()).toMatchObject([{ type: 'ping' }]);
    peer.sends(nego(5));
    expect(peer.session.wantsInput).toBe(false);
  });

  test('inside an envelope waits with the rest of the envelope, and what follows', () => {
    const peer = server();
    peer.establish({ keyId: 9 });
    peer.seals(9, peer.controlSwitch(0));
    peer.sees();
    peer.keys.slow = true;
    peer.keys.stall(5);
    peer.seals(9, { type: 'ping', id: 1 }, nego(5), { type: 'padding', length: 3 });
    peer.seals(9, { type: 'ping', id: 3 });
    peer.seals(9, { type: 'ping', id: 5 });
    expect(peer.sees()).toMatchObject([{ type: 'ping', id: 1 }]);
    peer.keys.resume(5);
    peer.session.keysProgressed(peer.now);
    expect(peer.session.error).toBeUndefined();
    expect(peer.sees().filter(({ type }) => type === 'ping')).toMatchObject([{ id: 3 }, { id: 5 }]);
  });

  test('goes on as soon as the answer of the step before is written', () => {
    const pair = new SessionPair({ keys: true });
    const { client, server: other } = pair;
    pair.settle();
    client.keys.negotiate(1);
    client.session.keysProgressed(pair.now);
    pair.carry(client);
    // The answer waits in the server. What the client seals now would need it: the server stops reading there.
    const early = new ScriptedPeer({ role: 'client', keys: true });
    early.peerKeys.install({ keyId: 1 });
    other.session.receive(new Uint8Array(early.envelope(1, { type: 'padding', length: 0 })), pair.now);
    client.session.output();
    expect(other.session.wantsInput).toBe(false);
    other.session.output();
    expect(other.session.wantsInput).toBe(false);
    expect(other.session.error?.code).toBe('ERR_KEYMUX_KEY_FAILURE'); // it went on, and this was no envelope of the client's
  });
});

describe('a run with a slow keeper, cut anywhere', () => {
  /** What a client sends that negotiates, and uses the key as soon as it has it. */
  function script(): { pair: SessionPair; bytes: Uint8Array } {
    const pair = new SessionPair({ keys: true });
    pair.server.keys.slow = true;
    const { client } = pair;
    client.keys.negotiate(1);
    client.session.keysProgressed(pair.now);
    const clear = client.session.open(HEADERS);
    client.session.send(clear, Buffer.from('clear'));
    client.session.end(clear);
    return { pair, bytes: client.output() };
  }

  test('nothing is lost, whatever the pieces', () => {
    const { length } = script().bytes;
    for (let cut = 0; cut <= length; cut++) {
      const { pair, bytes } = script();
      const { client, server } = pair;
      for (const piece of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
        if (piece.length > 0) server.session.receive(Uint8Array.from(piece), pair.now);
        pair.carry(server);
      }
      server.keys.finish();
      server.session.keysProgressed(pair.now);
      pair.settle();
      expect(client.take('key').key.keyId).toBe(1);
      const id = client.session.open(HEADERS, { keyId: 1 });
      client.session.send(id, Buffer.from('sealed'));
      client.session.end(id);
      pair.settle();
      expect(server.session.error).toBeUndefined();
      expect([server.received(1).toString(), server.received(id).toString()]).toEqual(['clear', 'sealed']);
    }
  });

  test('an envelope that must wait, fed byte by byte', () => {
    const peer = server();
    peer.keys.stall(1);
    const bytes = Buffer.concat([
      peer.envelope(
        1,
        { type: 'syn-stream', streamId: 1, slot: 1 },
        { type: 'data', streamId: 1, payload: 'a' },
      ),
      peer.encode({ type: 'syn-stream', streamId: 3 }),
      peer.envelope(3, { type: 'syn-stream', streamId: 5, slot: 3 }),
      peer.envelope(1, { type: 'data', streamId: 1, payload: 'b', fin: true }),
    ]);
    for (const byte of bytes) peer.receives(Uint8Array.of(byte));
    expect(peer.find('stream')).toBeUndefined();
    peer.keys.resume(1);
    peer.session.keysProgressed(peer.now);
    expect(peer.types.slice(2)).toEqual(['stream', 'data', 'stream', 'stream', 'data', 'end']);
    expect(peer.received(1).toString()).toBe('ab');
  });
});

test('the answer of a run goes before whatever comes of the frames behind its question', () => {
  const pair = new SessionPair({ keys: true });
  const { client, server: other } = pair;
  pair.settle();
  client.keys.negotiate(1);
  client.session.keysProgressed(pair.now);
  client.session.ping();
  pair.carry(client);
  const types = Array.from({ length: 3 }, () => other.session.output(1)?.[0]?.[3]);
  expect(types).toEqual([0x4b, 0x53, 0x53]); // KEY_NEGO, then KEY_SWITCH and PING in envelopes of the new key
});

describe('what is lent', () => {
  test('can be kept for who has not polled yet', () => {
    const peer = server();
    peer.sends({ type: 'syn-stream', streamId: 1 });
    const chunk = Buffer.from(peer.encode({ type: 'data', streamId: 1, payload: 'as it was' }));
    peer.session.receive(chunk, peer.now);
    peer.session.keepEvents();
    chunk.fill(0xee);
    expect(peer.received(1).toString()).toBe('as it was');
  });

  test('an envelope that waits for its key is kept', () => {
    const peer = server();
    peer.seals(1, { type: 'syn-stream', streamId: 1, slot: 1 });
    peer.keys.stall(1);
    peer.seals(1, { type: 'data', streamId: 1, payload: 'first' });
    peer.seals(1, { type: 'data', streamId: 1, payload: ', and the second' }); // not read, were there a carrier
    peer.keys.resume(1);
    peer.session.keysProgressed(peer.now);
    expect(peer.received(1).toString()).toBe('first, and the second');
  });
});
