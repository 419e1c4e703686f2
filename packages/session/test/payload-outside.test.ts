import { describe, expect, test } from 'vitest';
import {
  HEADERS,
  ScriptedPeer,
  type ScriptFrame,
  switchDigestOf,
} from '../../../test/support/scripted-peer.ts';
import { SessionPair } from '../../../test/support/session-pair.ts';
import { expectFailure, expectNothingBound } from './support.ts';

const OK: [string, string][] = [[':status', '200']];
const data = (payload: string): ScriptFrame => ({ type: 'data', streamId: 1, payload });
const end = (total: number): ScriptFrame => ({ type: 'stream-end', streamId: 1, total });

/** A server with stream 1 of key 1, its payload outside. */
function server(): ScriptedPeer {
  const peer = new ScriptedPeer({ keys: true });
  peer.establish({ keyId: 1, authority: 'a' });
  peer.establish({ keyId: 2, authority: 'b' });
  peer.seals(1, { type: 'syn-stream', streamId: 1, slot: 1, payloadOutside: true });
  peer.sees();
  return peer;
}

describe('payload outside envelopes (spec 4.6)', () => {
  test('between two engines: payload in the clear, everything else sealed, both ends proper', () => {
    const pair = new SessionPair({ keys: true });
    pair.establish({ keyId: 1 });
    const { client, server: other } = pair;
    const id = client.session.open(HEADERS, { keyId: 1, payloadOutside: true });
    client.session.send(id, Buffer.alloc(100_000, 'q'));
    client.session.end(id);
    pair.settle();
    expect(other.take('stream')).toMatchObject({ payloadOutside: true, key: { keyId: 1 } });
    other.session.reply(id, OK);
    other.session.send(id, Buffer.alloc(50_000, 'a'));
    other.session.headers(id, [['x', 'trailer']]);
    other.session.end(id);
    pair.settle();
    expect(other.received(id).toString()).toBe('q'.repeat(100_000));
    expect(client.received(id).toString()).toBe('a'.repeat(50_000));
    expect(client.types.slice(-2)).toEqual(['end', 'closed']);
    for (const side of [client, other]) expectNothingBound(side);
  });

  test('is sent as DATA outside without FIN, and STREAM_END inside', () => {
    const peer = new ScriptedPeer({ role: 'client', keys: true });
    peer.establish({ keyId: 1, authority: 'a' });
    peer.sees();
    const id = peer.session.open(HEADERS, { keyId: 1, payloadOutside: true });
    peer.session.send(id, Buffer.from('tunnel'));
    peer.session.end(id);
    expect(peer.sees()).toMatchObject([
      { under: 1, type: 'syn-stream', payloadOutside: true },
      { under: 0, type: 'data', payload: 'tunnel', fin: false },
      { under: 1, type: 'stream-end', total: 6 },
    ]);
  });

  test('a total that fits ends the direction', () => {
    const peer = server();
    peer.sends(data('abc'), data('de'));
    peer.seals(1, end(5));
    expect(peer.received(1).toString()).toBe('abcde');
    expect(peer.types).toContain('end');
  });

  test('a refusal without a body is SYN_REPLY and STREAM_END with total 0', () => {
    const peer = server();
    peer.session.reply(1, OK);
    peer.session.end(1);
    expect(peer.sees()).toMatchObject([
      { under: 1, type: 'syn-reply', fin: false },
      { under: 1, type: 'stream-end', total: 0 },
    ]);
  });

  const attacks: [string, (peer: ScriptedPeer) => void][] = [
    ['payload was cut', (peer) => peer.seals(1, end(6))],
    ['payload was added', (peer) => peer.seals(1, end(4))],
    [
      'payload is added after the end',
      (peer) => {
        peer.seals(1, end(5));
        peer.sends(data('more'));
      },
    ],
    ['a forged FIN', (peer) => peer.sends({ type: 'data', streamId: 1, payload: 'x', fin: true })],
    ['an empty forged FIN', (peer) => peer.sends({ type: 'data', streamId: 1, fin: true })],
    ['DATA in an envelope', (peer) => peer.seals(1, data('x'))],
    ['HEADERS with FIN', (peer) => peer.seals(1, { type: 'headers', streamId: 1, fin: true })],
    ['HEADERS in the clear', (peer) => peer.sends({ type: 'headers', streamId: 1 })],
    ['RST_STREAM in the clear', (peer) => peer.sends({ type: 'rst-stream', streamId: 1, status: 5 })],
    ['STREAM_END under another key', (peer) => peer.seals(2, end(5))],
    ['STREAM_END twice', (peer) => peer.seals(1, end(5), end(5))],
    [
      'KEY_SWITCH of the request',
      (peer) => {
        const digest = switchDigestOf(1, []);
        peer.seals(2, {
          type: 'key-switch',
          streamId: 1,
          previousKeyId: 1,
          previousGeneration: 0,
          count: 2,
          digest,
        });
      },
    ],
  ];

  test.each(attacks)('%s: the session ends, and nothing ends normally', (name, attack) => {
    const peer = server();
    peer.sends(data('abcde'));
    attack(peer);
    expect(peer.received(1).toString().slice(0, 5)).toBe('abcde');
    expect(peer.received(1).toString()).not.toContain('more');
    if (!/after|twice/.test(name)) expect(peer.types).not.toContain('end');
    expectFailure(peer, 'KEY_FAILURE');
  });

  test('STREAM_END of an ordinary stream ends the session', () => {
    const peer = server();
    peer.seals(
      1,
      { type: 'syn-stream', streamId: 3, slot: 1 },
      { type: 'stream-end', streamId: 3, total: 0 },
    );
    expectFailure(peer, 'KEY_FAILURE');
  });

  test('SYN_STREAM with FIN, SYN_REPLY with FIN', () => {
    const request = new ScriptedPeer({ keys: true });
    request.establish({ keyId: 1 });
    request.seals(1, { type: 'syn-stream', streamId: 1, slot: 1, payloadOutside: true, fin: true });
    expectFailure(request, 'KEY_FAILURE');
    const answer = new ScriptedPeer({ role: 'client', keys: true });
    answer.establish({ keyId: 1, authority: 'a' });
    answer.session.open(HEADERS, { keyId: 1, payloadOutside: true });
    answer.sees();
    answer.seals(1, { type: 'syn-reply', streamId: 1, fin: true });
    expectFailure(answer, 'KEY_FAILURE');
  });

  test('its answer can be under another key from its first frame', () => {
    const peer = server();
    peer.session.reply(1, OK, { keyId: 2 });
    peer.session.send(1, Buffer.from('x'));
    peer.session.end(1);
    expect(peer.sees()).toMatchObject([
      { under: 2, type: 'key-switch', previousKeyId: 0, count: 0 },
      { under: 2, type: 'syn-reply' },
      { under: 0, type: 'data', payload: 'x' },
      { under: 2, type: 'stream-end', total: 1 },
    ]);
  });

  test('flow control is that of every stream', () => {
    const peer = new ScriptedPeer({ keys: true, config: { streamWindow: 65_536 } });
    peer.establish({ keyId: 1, authority: 'a' });
    peer.seals(1, { type: 'syn-stream', streamId: 1, slot: 1, payloadOutside: true });
    peer.sees();
    peer.sends(data('x'.repeat(65_537)));
    expect(peer.sees()).toMatchObject(
      [
        { type: 'window-update', streamId: 0 },
        { under: 1, type: 'rst-stream', status: 7 },
      ].slice(1),
    );
  });
});
