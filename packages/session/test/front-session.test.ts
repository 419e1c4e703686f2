import {
  type ControlFrame,
  decodeKeyNego,
  encodeControl,
  encodeDataHead,
  encodeKeyNego,
  encodeSealedHead,
  FrameDecoder,
  GOAWAY,
  HeaderCompressor,
  SETTING,
} from '@keymux/frames';
import { DEFAULT_BUDGETS, type FrontConfig, type FrontLink, FrontSession } from '@keymux/session';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createSha256 } from '../../../test/support/fake-keys.ts';

const ALPHA = 'alpha.test';
const BETA = 'beta.test';

/** The first message of a run, as far as a front reads it (spec 3.4). */
function offer(authority: string, label = 'k-1'): Uint8Array {
  const texts = [label, authority].map((text) => Buffer.concat([Buffer.of(text.length), Buffer.from(text)]));
  return Buffer.concat([Buffer.of(0, 0, 0, 8), ...texts, Buffer.alloc(48, 7)]);
}

function nego(keyId: number, data: Uint8Array, flags: object = {}): Uint8Array {
  const none = { fin: false, reject: false, retire: false, renegotiate: false };
  return encodeKeyNego({ type: 'key-nego', keyId, algorithm: 3, ...none, data, ...flags });
}

function sealed(keyId: number, size = 24, generation = 0): Uint8Array {
  return Buffer.concat([encodeSealedHead(keyId, generation, size), Buffer.alloc(size, keyId)]);
}

class Host {
  readonly link: FrontLink;
  readonly received: Uint8Array[] = [];
  /** `end` and `destroy`, as the front called them. */
  readonly calls: string[] = [];
  buffered = 0;

  constructor(link: FrontLink) {
    this.link = link;
  }

  /** Frames on the link, as short texts. */
  get frames(): string[] {
    return namesOf(Buffer.concat(this.received), 'link');
  }

  frame<T extends ControlFrame['type']>(type: T): Extract<ControlFrame, { type: T }> {
    const found = decode(Buffer.concat(this.received), 'link').find((frame) => frame.type === type);
    if (found === undefined) throw new Error(`no ${type}: ${this.frames}`);
    return found as Extract<ControlFrame, { type: T }>;
  }
}

class Front {
  now = 0;
  readonly hosts: Host[] = [];
  readonly session: FrontSession;
  readonly sent: Uint8Array[] = [];

  constructor(config: Partial<FrontConfig> = {}, served: readonly string[] = [ALPHA, BETA]) {
    this.session = new FrontSession({
      config,
      algorithms: 0x7e,
      createHash: createSha256,
      client: { address: '192.0.2.9', port: 77 },
      connect: (authority, link) => {
        if (!served.includes(authority)) return undefined;
        const host = new Host(link);
        this.hosts.push(host);
        return {
          get buffered() {
            return host.buffered;
          },
          write: (parts) => void host.received.push(...parts),
          end: () => void host.calls.push('end'),
          destroy: () => void host.calls.push('destroy'),
        };
      },
      now: 0,
    });
  }

  from(...frames: readonly Uint8Array[]): void {
    this.session.receive(Uint8Array.from(Buffer.concat(frames)), this.now);
  }

  fromHost(index: number, ...frames: readonly Uint8Array[]): void {
    const { link } = this.hosts[index] as Host;
    this.session.linkReceive(link, Uint8Array.from(Buffer.concat(frames)), this.now);
  }

  /** What the client has been sent, as short texts. */
  get said(): string[] {
    this.sent.push(...(this.session.output() ?? []));
    return namesOf(Buffer.concat(this.sent), 'outside');
  }

  get bytesSaid(): Buffer {
    this.sent.push(...(this.session.output() ?? []));
    return Buffer.concat(this.sent);
  }

  get events(): string[] {
    const texts: string[] = [];
    for (let event = this.session.nextEvent(); event !== undefined; event = this.session.nextEvent())
      texts.push(
        event.type === 'run' ? `run ${event.authority}` : `gone ${event.authority}: ${event.reason}`,
      );
    return texts;
  }

  expectFailure(status: keyof typeof GOAWAY): void {
    expect(this.said.at(-1)).toBe(`goaway ${GOAWAY[status]}`);
    expect(this.session.error).toMatchObject({ status: GOAWAY[status] });
    expect(this.session.over).toBe(true);
    expect(this.session.nextDeadline()).toBeUndefined();
  }
}

function decode(bytes: Uint8Array, place: 'link' | 'outside'): (ControlFrame | { type: string })[] {
  const decoder = new FrameDecoder({ place, sealed: true });
  decoder.push(bytes);
  const frames: (ControlFrame | { type: string })[] = [];
  for (let item = decoder.next(); item !== undefined; item = decoder.next()) {
    if (item.kind === 'control') frames.push(item.frame);
    else frames.push({ type: item.kind === 'sealed' ? `sealed ${item.keyId}` : 'data' });
  }
  return frames;
}

function namesOf(bytes: Uint8Array, place: 'link' | 'outside'): string[] {
  return decode(bytes, place).map((frame) => {
    if ('keyId' in frame) {
      const status = 'status' in frame ? ` ${frame.status}` : '';
      return `${frame.type} ${frame.keyId}${status}`;
    }
    return 'status' in frame ? `${frame.type} ${frame.status}` : frame.type;
  });
}

const sha256 = (bytes: Uint8Array): string => {
  const hash = createSha256();
  hash.update(bytes);
  return Buffer.from(hash.digest()).toString('hex');
};
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const settings = encodeControl({
  type: 'settings',
  clear: false,
  entries: [
    { id: SETTING.INITIAL_WINDOW_SIZE, value: 100_000, flags: 0 },
    { id: SETTING.KEYMUX, value: 8, flags: 0 },
    { id: 2, value: 1, flags: 0 },
  ],
});

describe('passes on', () => {
  test('a run and its envelopes by key ID, after a greeting and the client’s settings', () => {
    const front = new Front();
    front.from(settings, nego(1, offer(ALPHA)), nego(3, offer(BETA)), sealed(3), sealed(1), sealed(3));
    expect(front.hosts.map(({ frames }) => frames)).toEqual([
      ['front-hello', 'settings', 'front-nego', 'sealed 1'],
      ['front-hello', 'settings', 'front-nego', 'sealed 3', 'sealed 3'],
    ]);
    expect(front.hosts[0]?.frame('front-hello')).toMatchObject({
      ...{ address: '192.0.2.9', port: 77, streamWindow: 262_144, keyWindow: 4_194_304 },
    });
    // Only what hosts must know; identifier 2 is not.
    expect(front.hosts[0]?.frame('settings').entries.map(({ id }) => id)).toEqual([7, SETTING.KEYMUX]);
    front.fromHost(1, sealed(3));
    front.fromHost(0, nego(1, Buffer.alloc(9)), sealed(1));
    expect(front.said).toEqual(['settings', 'sealed 3', 'key-nego 1', 'sealed 1']);
    expect(front.events).toEqual([`run ${ALPHA}`, `run ${BETA}`]);
  });

  test('the digests of what was on the carrier before: of the client’s direction, and of its own', () => {
    const front = new Front();
    const first = nego(1, offer(ALPHA));
    front.from(settings, encodeControl({ type: 'ping', id: 1 }), first, sealed(1));
    const before = Buffer.concat([settings, encodeControl({ type: 'ping', id: 1 })]);
    const host = front.hosts[0] as Host;
    expect(hex(host.frame('front-nego').digest)).toBe(sha256(before));
    expect(decodeKeyNego(host.frame('front-nego').frame).keyId).toBe(1);
    const said = front.bytesSaid; // SETTINGS and the answer to PING
    front.fromHost(0, nego(1, Buffer.alloc(9)));
    expect(hex(host.frame('front-sent').digest)).toBe(sha256(said));
    // Of an envelope, the head counts; of DATA, the head.
    const data = Buffer.concat([encodeDataHead(1, false, 3), Buffer.from('abc')]);
    front.from(data, nego(3, offer(BETA)));
    const all = Buffer.concat([before, first, sealed(1).subarray(0, 10), data.subarray(0, 8)]);
    expect(hex((front.hosts[1] as Host).frame('front-nego').digest)).toBe(sha256(all));
  });

  test('later settings, and GOAWAY, to all hosts', () => {
    const front = new Front();
    const goaway = encodeControl({ type: 'goaway', lastGoodId: 0, status: 0 });
    front.from(nego(1, offer(ALPHA)), nego(3, offer(BETA)), settings, goaway);
    for (const { frames } of front.hosts)
      expect(frames).toEqual(['front-hello', 'settings', 'front-nego', 'settings', 'goaway 0']);
    expect(front.session.over).toBe(false); // streams may be open
    for (const { link } of front.hosts) front.session.linkEnded(link, 0);
    expect(front.said.at(-1)).toBe('key-gone 3 2'); // which is to be heard first
    expect(front.session.over).toBe(true);
    expect(front.events).toEqual([`run ${ALPHA}`, `run ${BETA}`]); // that hosts end then is no event
  });

  test('several keys of one host on one link; on another one once the host is leaving', () => {
    const front = new Front();
    front.from(nego(1, offer(ALPHA)), nego(3, offer(ALPHA)));
    expect(front.hosts).toHaveLength(1);
    front.fromHost(0, encodeControl({ type: 'goaway', lastGoodId: 0, status: 0 }));
    front.from(nego(5, offer(ALPHA)), sealed(1));
    expect(front.hosts).toHaveLength(2);
    expect(front.hosts[0]?.frames.at(-1)).toBe('sealed 1');
    front.session.linkEnded((front.hosts[0] as Host).link, 0);
    expect(front.said.slice(1)).toEqual(['key-gone 1 0', 'key-gone 3 0']);
  });
});

describe('from a client, refuses', () => {
  test.each<[string, keyof typeof GOAWAY, Uint8Array[]]>([
    ['an envelope without a run', 'KEY_FAILURE', [sealed(1)]],
    ['a run with an even ID', 'KEY_FAILURE', [nego(2, offer(ALPHA))]],
    ['an ID that goes back', 'KEY_FAILURE', [nego(3, offer(ALPHA)), nego(1, offer(ALPHA))]],
    ['REJECT of nothing', 'KEY_FAILURE', [nego(1, offer(ALPHA), { fin: true, reject: true })]],
    ['RETIRE of nothing', 'KEY_FAILURE', [nego(1, offer(ALPHA), { fin: true, retire: true })]],
    ['KEY_GONE', 'PROTOCOL_ERROR', [encodeControl({ type: 'key-gone', keyId: 1, status: 0 })]],
    ['a malformed frame', 'PROTOCOL_ERROR', [Buffer.from('8004000600000004000000', 'hex')]],
    ['a KEY_SWITCH outside', 'KEY_FAILURE', [Buffer.from('8003005400000030', 'hex')]],
    [
      'more clear payload than the window',
      'FLOW_CONTROL_ERROR',
      [encodeDataHead(1, false, 65_537), Buffer.of(0)],
    ],
    ['that it went because of an error', 'OK', [encodeControl({ type: 'goaway', lastGoodId: 0, status: 1 })]],
  ])('%s', (_what, status, frames) => {
    const front = new Front();
    front.from(...frames);
    front.expectFailure(status);
  });

  test.each<[string, Uint8Array]>([
    ['a host that is not served', offer('gamma.test')],
    ['no host', offer('')],
    ['an offer that is cut off', offer(ALPHA).subarray(0, 12)],
    ['an offer without a label', offer(ALPHA, '')],
    ['nothing at all', Buffer.alloc(0)],
    ['a name with capitals', offer('ALPHA.test')],
    ['a name with a NUL', offer('alpha\0test')],
  ])('a run for %s: KEY_GONE, and the session goes on', (_what, data) => {
    const front = new Front();
    front.from(nego(1, data), sealed(1), nego(1, data), nego(3, offer(ALPHA)));
    expect(front.said).toEqual(['settings', `key-gone 1 ${GOAWAY.KEY_FAILURE}`]);
    expect(front.session.error).toBeUndefined();
    expect(front.hosts).toHaveLength(1);
    expect(front.hosts[0]?.frames).not.toContain('sealed 1');
  });

  test('a stream in the clear, with 421', () => {
    const front = new Front();
    const block = new HeaderCompressor().compress(Buffer.of(0, 0, 0, 0));
    const syn = { type: 'syn-stream', associatedId: 0, priority: 0, slot: 0, block } as const;
    const rest = { unidirectional: false, payloadOutside: false };
    front.from(encodeControl({ ...syn, ...rest, streamId: 1, fin: true }));
    front.from(encodeControl({ ...syn, ...rest, streamId: 3, fin: false }));
    expect(front.said).toEqual(['settings', 'syn-reply', 'syn-reply', 'rst-stream 5']);
    front.from(encodeControl({ ...syn, ...rest, streamId: 3, fin: true }));
    front.expectFailure('PROTOCOL_ERROR');
  });

  test.each<[string, number, (i: number) => Uint8Array]>([
    ['PINGs', 101, (i) => encodeControl({ type: 'ping', id: 2 * i + 1 })],
    ['SETTINGS', 21, () => settings],
    ['runs', 65, (i) => nego(2 * i + 1, offer('gamma.test'))],
    ['frames of unknown types', 1001, () => Buffer.from('80037777'.padEnd(16, '0'), 'hex')],
    ['empty DATA', 1001, () => encodeDataHead(1, false, 0)],
    [
      'frames for streams that are not',
      1001,
      () => encodeControl({ type: 'rst-stream', streamId: 1, status: 5 }),
    ],
  ])('more %s than its budget', (_what, count, frame) => {
    const front = new Front();
    for (let i = 0; i < count - 1; i++) front.from(frame(i));
    expect(front.session.error).toBeUndefined();
    front.from(frame(count));
    front.expectFailure('EXCESSIVE_LOAD');
  });

  test('one that asks and never reads', () => {
    const front = new Front({ budgets: { ...DEFAULT_BUDGETS, pings: { burst: 1e6, perSecond: 1 } } });
    for (let i = 0; i < 6_000; i++) front.from(encodeControl({ type: 'ping', id: 2 * i + 1 }));
    front.expectFailure('EXCESSIVE_LOAD');
  });
});

describe('from a host, refuses', () => {
  test.each<[string, Uint8Array]>([
    ['an envelope under the key of the other host', sealed(3)],
    ['an envelope under a key of nobody', sealed(9)],
    ['a run of its own', nego(2, offer(ALPHA))],
    ['a message for the key of the other host', nego(3, Buffer.alloc(9))],
    ['SETTINGS', settings],
    ['FRONT_SENT', encodeControl({ type: 'front-sent', keyId: 1, digest: new Uint8Array(32) })],
    ['DATA', encodeDataHead(1, false, 0)],
    ['a WINDOW_UPDATE', encodeControl({ type: 'window-update', streamId: 1, delta: 1 })],
    ['KEY_GONE', encodeControl({ type: 'key-gone', keyId: 3, status: 0 })],
    ['garbage', Buffer.alloc(8, 0xff)],
  ])('%s: its link ends, the other host’s lives on', (_what, frame) => {
    const front = new Front();
    front.from(nego(1, offer(ALPHA)), nego(3, offer(BETA)));
    front.fromHost(0, sealed(1), frame, sealed(1));
    expect(front.said).toEqual(['settings', 'sealed 1', `key-gone 1 ${GOAWAY.INTERNAL_ERROR}`]);
    expect(front.hosts[0]?.calls).toEqual(['destroy']);
    expect(front.events.at(-1)).toMatch(/^gone alpha\.test: it broke the rules/);
    front.from(sealed(1), sealed(3));
    front.fromHost(1, sealed(3));
    expect(front.said.at(-1)).toBe('sealed 3');
    expect(front.session.error).toBeUndefined();
  });

  test('silence after the first message of a run', () => {
    const front = new Front({ hostTimeout: 500 });
    front.from(nego(1, offer(ALPHA)), nego(3, offer(BETA)));
    front.now = 499;
    front.fromHost(1, nego(3, Buffer.alloc(9)));
    expect(front.session.nextDeadline()).toBe(500);
    front.session.handleDeadline(500);
    expect(front.said).toEqual(['settings', 'key-nego 3', `key-gone 1 ${GOAWAY.INTERNAL_ERROR}`]);
    expect(front.events.at(-1)).toBe(`gone ${ALPHA}: it does not answer`);
  });

  test('not to take what is sent to it', () => {
    const front = new Front({ keyWindow: 65_536 });
    front.from(nego(1, offer(ALPHA)), nego(3, offer(BETA)));
    const [alpha] = front.hosts as [Host, Host];
    alpha.buffered = 2 * 65_536;
    front.from(sealed(1));
    expect(alpha.calls).toEqual([]);
    alpha.buffered++;
    front.from(sealed(1), sealed(3));
    expect(alpha.calls).toEqual(['destroy']);
    expect(front.hosts[1]?.frames.at(-1)).toBe('sealed 3');
    expect(front.said.at(-1)).toBe(`key-gone 1 ${GOAWAY.INTERNAL_ERROR}`);
  });

  test('to end inside a frame', () => {
    const front = new Front();
    front.from(nego(1, offer(ALPHA)));
    front.fromHost(0, sealed(1).subarray(0, 20));
    front.session.linkEnded((front.hosts[0] as Host).link, 0);
    expect(front.events.at(-1)).toBe(`gone ${ALPHA}: it ended inside a frame`);
    expect(front.said.at(-1)).toBe(`key-gone 1 ${GOAWAY.INTERNAL_ERROR}`);
  });
});

test('whatever a client and a host send, nothing is thrown, and only frames come out', () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.constantFrom(
      ...[
        settings,
        nego(1, offer(ALPHA)),
        nego(3, offer(BETA)),
        nego(1, Buffer.alloc(3)),
        sealed(1),
        sealed(3),
      ],
      encodeControl({ type: 'ping', id: 1 }),
      encodeControl({ type: 'goaway', lastGoodId: 0, status: 0 }),
      encodeDataHead(1, true, 0),
    ),
  );
  const event = fc.record({
    who: fc.constantFrom<'client' | 0 | 1>('client', 0, 1),
    bytes: piece,
    ends: fc.nat(30),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      const front = new Front();
      for (const { who, bytes, ends } of events) {
        if (who === 'client') front.from(bytes);
        else if (front.hosts[who] !== undefined) {
          front.fromHost(who, bytes);
          if (ends === 0) front.session.linkEnded((front.hosts[who] as Host).link, 0);
        }
      }
      expect(front.said[0]).toBe('settings');
      expect(front.session.error?.code).not.toBe('ERR_KEYMUX_INTERNAL');
      for (const host of front.hosts) expect(host.frames[0]).toBe('front-hello');
    }),
    { numRuns: 500 },
  );
});

describe('ends', () => {
  test.each<[number, string]>([
    [GOAWAY.OK, 'it has shut down'],
    [GOAWAY.KEY_FAILURE, 'it ended the session because of a key; its own log says why'],
    [GOAWAY.FLOW_CONTROL_ERROR, 'it ended with status 7'],
  ])('a key with the status %i that its host said last', (status, reason) => {
    const front = new Front();
    front.from(nego(1, offer(ALPHA)));
    front.fromHost(0, encodeControl({ type: 'goaway', lastGoodId: 0, status }));
    front.session.linkEnded((front.hosts[0] as Host).link, 0);
    expect(front.said.at(-1)).toBe(`key-gone 1 ${status}`);
    expect(front.events.at(-1)).toBe(`gone ${ALPHA}: ${reason}`);
  });

  test('its links with the client’s carrier, and cut-off frames are an error', () => {
    const front = new Front();
    front.from(nego(1, offer(ALPHA)), sealed(1).subarray(0, 9));
    front.session.carrierEnded(0);
    front.expectFailure('PROTOCOL_ERROR');
    expect(front.hosts[0]?.calls).toEqual(['end']);
  });

  test('with a silent client, after it has asked', () => {
    const front = new Front({ keepAlive: 1_000, keepAliveTimeout: 100 });
    front.session.handleDeadline(1_000);
    expect(front.said).toEqual(['settings', 'ping']);
    front.now = 1_050;
    front.from(encodeControl({ type: 'ping', id: 2 }));
    front.session.handleDeadline(1_100);
    expect(front.session.error).toBeUndefined();
    front.session.handleDeadline(2_050);
    front.session.handleDeadline(2_150);
    front.expectFailure('OK');
  });

  test('with a silent client, but not while its carrier takes what it is given', () => {
    const front = new Front({ keepAlive: 1_000, keepAliveTimeout: 100 });
    expect(front.said).toEqual(['settings']);
    front.session.carrierBlocked(500);
    front.session.handleDeadline(5_000);
    expect([front.said, front.session.error]).toEqual([['settings'], undefined]);
    front.session.carrierReady(5_000);
    expect(front.session.nextDeadline()).toBe(6_000);
    front.session.handleDeadline(6_000);
    front.session.handleDeadline(6_100);
    front.expectFailure('OK');
  });

  test.each([
    ['when the carrier has taken what hosts have said last', 5_000, true],
    ['when it does not take it, after the time that it has for anything', 60_500, false],
  ])('%s', (_when, at, takes) => {
    const front = new Front({ keepAlive: 0 });
    front.from(nego(1, offer(ALPHA)), encodeControl({ type: 'goaway', lastGoodId: 0, status: 0 }));
    front.fromHost(0, sealed(1));
    front.session.carrierBlocked(500);
    front.session.linkEnded((front.hosts[0] as Host).link, 600);
    expect(front.session.over).toBe(false);
    expect(front.said.slice(-2)).toEqual(['sealed 1', 'key-gone 1 2']);
    expect([front.session.over, front.session.nextDeadline()]).toEqual([false, 60_500]);
    if (takes) front.session.carrierReady(at);
    else front.session.handleDeadline(at);
    expect([front.session.over, front.session.error]).toEqual([true, undefined]);
  });

  test('when it is to shut down: GOAWAY that takes nothing back, then after the drain timeout', () => {
    const front = new Front({ drainTimeout: 700 });
    front.from(nego(1, offer(ALPHA)));
    front.session.goAway(0);
    front.session.goAway(0);
    expect(decode(front.bytesSaid, 'outside').slice(1)).toEqual([
      { type: 'goaway', lastGoodId: 0x7fff_ffff, status: 0 },
    ]);
    front.from(sealed(1));
    expect(front.hosts[0]?.frames.at(-1)).toBe('sealed 1');
    front.session.handleDeadline(699);
    expect(front.session.over).toBe(false);
    front.session.handleDeadline(700);
    expect([front.session.over, front.session.error]).toEqual([true, undefined]);
    expect(front.hosts[0]?.calls).toEqual(['end']);
  });
});
