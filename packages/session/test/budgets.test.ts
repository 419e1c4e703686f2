import { RST } from '@keymux/frames';
import { DEFAULT_BUDGETS } from '@keymux/session';
import { describe, expect, test } from 'vitest';
import {
  HEADERS,
  ScriptedPeer,
  type ScriptFrame,
  switchDigestOf,
} from '../../../test/support/scripted-peer.ts';
import { expectFailure } from './support.ts';

const budgets = {
  ...DEFAULT_BUDGETS,
  pings: { burst: 3, perSecond: 1 },
  settings: { burst: 3, perSecond: 1 },
  resets: { burst: 3, perSecond: 1 },
  idle: { burst: 3, perSecond: 1 },
  windowUpdates: { burst: 3, perSecond: 1 },
  negotiations: { burst: 3, perSecond: 1 },
};

/** What costs a token: set up once, then the `n`th time of the offence. */
const offences: [string, ScriptFrame[], (n: number) => ScriptFrame[]][] = [
  ['PING', [], () => [{ type: 'ping', id: 1 }]],
  ['SETTINGS', [], () => [{ type: 'settings', clear: false, entries: [] }]],
  [
    'rapid reset',
    [],
    (n) => [
      { type: 'syn-stream', streamId: 2 * n + 1 },
      { type: 'rst-stream', streamId: 2 * n + 1, status: RST.CANCEL },
    ],
  ],
  ['a stream that we must refuse', [], (n) => [{ type: 'syn-stream', streamId: 2 * n + 1, slot: 9 }]],
  ['DATA for a stream that never was', [], (n) => [{ type: 'data', streamId: 2 * n + 1001, payload: 'x' }]],
  [
    'a window that overflows',
    [],
    (n) => [
      { type: 'syn-stream', streamId: 2 * n + 1 },
      { type: 'window-update', streamId: 2 * n + 1, delta: 2 ** 31 - 1 },
    ],
  ],
  ['empty DATA', [{ type: 'syn-stream', streamId: 1 }], () => [{ type: 'data', streamId: 1 }]],
  [
    'the third HEADERS of a stream',
    [
      { type: 'syn-stream', streamId: 1 },
      { type: 'headers', streamId: 1 },
      { type: 'headers', streamId: 1 },
    ],
    () => [{ type: 'headers', streamId: 1 }],
  ],
  ['WINDOW_UPDATE', [], () => [{ type: 'window-update', streamId: 0, delta: 1 }]],
  [
    'WINDOW_UPDATE of a stream',
    [{ type: 'syn-stream', streamId: 1 }],
    () => [{ type: 'window-update', streamId: 1, delta: 1 }],
  ],
  ['WINDOW_UPDATE of no stream', [], () => [{ type: 'window-update', streamId: 1, delta: 1 }]],
  ['a frame for an unknown stream', [], () => [{ type: 'rst-stream', streamId: 8, status: RST.CANCEL }]],
  ['an unknown frame', [], () => [{ type: 'raw', bytes: Buffer.from('80030bad00000000', 'hex') }]],
  ['an answer to no PING', [], () => [{ type: 'ping', id: 2 }]],
  ['GOAWAY', [], () => [{ type: 'goaway', lastGoodId: 0, status: 0 }]],
  [
    'KEY_NEGO',
    [],
    (n) => [
      {
        type: 'key-nego',
        keyId: 2 * n + 1,
        algorithm: 9,
        fin: false,
        reject: false,
        retire: false,
        data: new Uint8Array(0),
      },
    ],
  ],
];

describe('everything that a peer can cause has a budget (spec 7.3, rule R5)', () => {
  test.each(offences)('%s', (_name, setup, offence) => {
    const peer = new ScriptedPeer({ keys: true, config: { budgets } });
    peer.keys.slow = true; // runs stay where they are
    peer.sends(...setup);
    for (let n = 0; n < 3; n++) {
      peer.sends(...offence(n));
      peer.sees();
      expect(peer.session.error).toBeUndefined();
    }
    peer.sends(...offence(3));
    expectFailure(peer, 'EXCESSIVE_LOAD');
  });

  test.each(offences)('%s: a token grows back in a second', (_name, setup, offence) => {
    const peer = new ScriptedPeer({ keys: true, config: { budgets, keepAlive: 0 } });
    peer.keys.slow = true; // runs stay where they are
    peer.sends(...setup);
    for (let n = 0; n < 20; n++) {
      peer.now += 1000;
      peer.sends(...offence(n));
      peer.sees();
      expect(peer.session.error).toBeUndefined();
    }
  });

  test('envelopes with nothing but padding inside', () => {
    const peer = new ScriptedPeer({ keys: true, config: { budgets } });
    peer.establish({ keyId: 1, authority: 'a' });
    for (let n = 0; n < 3; n++) peer.seals(1, { type: 'padding', length: 100 });
    peer.seals(1, { type: 'syn-stream', streamId: 1, slot: 1 }, { type: 'padding', length: 100 });
    expect(peer.session.error).toBeUndefined();
    peer.seals(1, { type: 'padding', length: 100 });
    expectFailure(peer, 'EXCESSIVE_LOAD');
  });

  test('a stream that is switched there and back again', () => {
    const peer = new ScriptedPeer({ keys: true, config: { budgets } });
    peer.establish({ keyId: 1, authority: 'a' });
    peer.establish({ keyId: 3, authority: 'b' });
    peer.seals(1, { type: 'syn-stream', streamId: 1, slot: 1 });
    const digest = switchDigestOf(1, []);
    const count = 1;
    const move = (from: number, to: number): void =>
      peer.seals(to, {
        ...{ type: 'key-switch', streamId: 1, previousKeyId: from, previousGeneration: 0, count, digest },
      });
    for (const [from, to] of [
      [1, 3],
      [3, 1],
      [1, 3],
      [3, 1],
    ] as const)
      move(from, to);
    expect(peer.session.error).toBeUndefined();
    move(1, 3);
    expectFailure(peer, 'EXCESSIVE_LOAD');
  });

  test('10,000 streams that are opened and reset (CVE-2023-44487): far fewer reach the user', () => {
    const peer = new ScriptedPeer();
    for (let n = 0; n < 10_000 && !peer.session.error; n++) {
      peer.sends(
        { type: 'syn-stream', streamId: 2 * n + 1 },
        { type: 'rst-stream', streamId: 2 * n + 1, status: 5 },
      );
    }
    expect(peer.events.filter(({ type }) => type === 'stream').length).toBeLessThan(510);
    expectFailure(peer, 'EXCESSIVE_LOAD');
  });

  test('answers to PING do not pile up before a peer that does not read', () => {
    const peer = new ScriptedPeer();
    for (let n = 0; n < 8; n++) peer.sends({ type: 'ping', id: 1 });
    expect(peer.session.error).toBeUndefined();
    peer.sends({ type: 'ping', id: 1 });
    expectFailure(peer, 'EXCESSIVE_LOAD');
  });

  test('PINGs of our own are none of them', () => {
    const peer = new ScriptedPeer();
    for (let n = 0; n < 20; n++) peer.session.ping();
    peer.sends({ type: 'ping', id: 1 });
    expect(peer.session.error).toBeUndefined();
  });

  test('refusals do not pile up either, whoever refuses', () => {
    const peer = new ScriptedPeer({ config: { maxConcurrentStreams: 10, budgets } });
    for (let n = 0; n < 100 && !peer.session.error; n++) {
      peer.sends({ type: 'syn-stream', streamId: 2 * n + 1 });
      peer.session.reset(2 * n + 1, RST.REFUSED_STREAM);
    }
    expectFailure(peer, 'EXCESSIVE_LOAD');
  });

  test('a peer that reads may be refused as often as it likes', () => {
    const peer = new ScriptedPeer({ config: { maxConcurrentStreams: 10, budgets } });
    for (let n = 0; n < 100; n++) {
      peer.sends({ type: 'syn-stream', streamId: 2 * n + 1 });
      peer.session.reset(2 * n + 1, RST.REFUSED_STREAM);
      peer.sees();
    }
    expect(peer.session.error).toBeUndefined();
  });

  test('nothing else piles up before a peer that does not read, even if it pays for it (CVE-2019-9517)', () => {
    const peer = new ScriptedPeer({ config: { budgets: { ...DEFAULT_BUDGETS, queuedFrames: 20 } } });
    peer.sees();
    for (let n = 0; n < 20; n++) {
      peer.sends({ type: 'syn-stream', streamId: 2 * n + 1, headers: HEADERS });
      peer.session.reply(2 * n + 1, HEADERS);
      peer.sends({ type: 'rst-stream', streamId: 2 * n + 1, status: RST.CANCEL });
    }
    expect(peer.session.error).toBeUndefined();
    peer.sends({ type: 'syn-stream', streamId: 41, headers: HEADERS });
    peer.session.reply(41, HEADERS);
    peer.sends({ type: 'rst-stream', streamId: 41, status: RST.CANCEL });
    expectFailure(peer, 'EXCESSIVE_LOAD');
  });

  test('the streams that a client opens and resets of its own do not count', () => {
    const config = { budgets: { ...DEFAULT_BUDGETS, queuedFrames: 20 } };
    const peer = new ScriptedPeer({ role: 'client', config });
    peer.sees();
    const started = peer.session.open(HEADERS, {});
    peer.sees();
    for (let n = 0; n < 100; n++) peer.session.open(HEADERS, {});
    peer.session.reset(started, RST.CANCEL);
    peer.sends({ type: 'ping', id: 2 });
    expect(peer.session.error).toBeUndefined();
    const seen = peer.sees();
    expect(seen.filter(({ type }) => type === 'syn-stream')).toHaveLength(100);
    expect(seen.filter(({ type }) => type === 'rst-stream')).toHaveLength(1);
  });

  describe('a window that is opened byte by byte (CVE-2019-9511)', () => {
    const dribbles = { burst: 3, perSecond: 1 };

    /** A server with an answer of a MiB to send, as much of it as the peer's window of 65,536 bytes allows being out. */
    function answering(): ScriptedPeer {
      const peer = new ScriptedPeer({ config: { budgets: { ...DEFAULT_BUDGETS, dribbles }, keepAlive: 0 } });
      peer.sends({ type: 'window-update', streamId: 0, delta: 2 ** 30 }, { type: 'syn-stream', streamId: 1 });
      peer.session.reply(1, HEADERS);
      peer.session.send(1, new Uint8Array(2 ** 20));
      peer.sees();
      return peer;
    }

    function opens(peer: ScriptedPeer, delta: number): number {
      peer.sends({ type: 'window-update', streamId: 1, delta });
      return peer.sees().filter(({ type }) => type === 'data').length;
    }

    test('makes a frame for each only a few times', () => {
      const peer = answering();
      for (let n = 0; n < 3; n++) expect(opens(peer, 1 + 511 * n)).toBe(1);
      expect(peer.session.error).toBeUndefined();
      opens(peer, 1023);
      expect(peer.session.error?.code).toBe('ERR_KEYMUX_EXCESSIVE_LOAD');
    });

    test('costs nothing from 1,024 bytes on, or once a second', () => {
      const peer = answering();
      for (let n = 0; n < 20; n++) expect(opens(peer, 1024)).toBe(1);
      for (let n = 0; n < 20; n++) {
        peer.now += 1000;
        expect(opens(peer, 1)).toBe(1);
      }
      expect(peer.session.error).toBeUndefined();
    });

    test('is paid for by a peer that takes much between', () => {
      const peer = answering();
      for (let n = 0; n < 20; n++) {
        opens(peer, 7);
        opens(peer, 16_384);
      }
      expect(peer.session.error).toBeUndefined();
    });

    test('is none where the end of a message is short', () => {
      const peer = new ScriptedPeer({ config: { budgets: { ...DEFAULT_BUDGETS, dribbles } } });
      for (let n = 0; n < 20; n++) {
        peer.sends({ type: 'syn-stream', streamId: 2 * n + 1 });
        peer.session.reply(2 * n + 1, HEADERS);
        peer.session.send(2 * n + 1, Buffer.from('short'));
        peer.sees();
      }
      expect(peer.session.error).toBeUndefined();
    });
  });

  test('an honest request costs nothing', () => {
    const peer = new ScriptedPeer({ config: { budgets } });
    for (let n = 0; n < 50; n++) {
      peer.sends({ type: 'syn-stream', streamId: 2 * n + 1, headers: HEADERS });
      peer.sends(
        { type: 'data', streamId: 2 * n + 1, payload: 'x' },
        { type: 'data', streamId: 2 * n + 1, fin: true },
      );
      peer.session.reply(2 * n + 1, HEADERS, { fin: true });
      peer.sees();
    }
    expect(peer.session.error).toBeUndefined();
    expect(peer.session.streamCount).toBe(0);
  });

  test('neither do trailers, nor a window that is given back when its stream is over', () => {
    const peer = new ScriptedPeer({ config: { budgets: DEFAULT_BUDGETS } });
    for (let n = 0; n < 1_200; n++) {
      const streamId = 2 * n + 1;
      peer.sends(
        { type: 'syn-stream', streamId, headers: HEADERS },
        { type: 'headers', streamId },
        { type: 'headers', streamId, fin: true },
      );
      peer.session.reply(streamId, HEADERS);
      peer.session.send(streamId, Buffer.from('payload'));
      peer.session.end(streamId);
      peer.sees();
      peer.sends(
        { type: 'window-update', streamId: 0, delta: 7 },
        { type: 'window-update', streamId, delta: 7 },
      );
    }
    expect(peer.session.error).toBeUndefined();
    expect(peer.session.streamCount).toBe(0);
  });
});
