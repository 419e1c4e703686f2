import {
  encodeControl,
  encodeDataHead,
  encodeHeaderBlock,
  GOAWAY,
  MAX_WINDOW_DELTA,
  RST,
} from '@keymux/frames';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { clearData, clearRequest, clearSyn, FloodCompressor } from '../support/forge.ts';
import { Scope } from '../support/scope.ts';
import { type Bystander, expectUnharmed, NOTHING_EARNED, regulars, Siege } from '../support/siege.ts';

const HOST = 'alpha.test';

const shared = new Scope();
const scope = new Scope();
let siege: Siege;
let bystanders: Bystander[];
beforeAll(async () => {
  siege = await Siege.start(shared, [
    ...['origin', '--host', HOST, '--anonymous', '--limit', 'stream-window=65536'],
    ...NOTHING_EARNED,
  ]);
  bystanders = await regulars(shared, siege, HOST);
});
afterEach(() => scope.close());
afterAll(() => shared.close());

type Provocation = (id: number, compressor: FloodCompressor) => Uint8Array;

/** A request whose body has ended, or goes on. */
const ask = (id: number, compressor: FloodCompressor, fin: boolean): Uint8Array =>
  clearSyn(id, clearRequest('POST', HOST, '/account'), { compressor, fin });

/** A header block that nobody may send. */
const UPPER_CASE = Buffer.from(encodeHeaderBlock([['upper', 'case']]));
UPPER_CASE.write('UPPER', 8);

/** What makes the server reset a stream, and the status that it says. */
const PROVOCATIONS: readonly (readonly [string, number, Provocation])[] = [
  [
    'a window that overflows',
    RST.FLOW_CONTROL_ERROR,
    (id, compressor) =>
      Buffer.concat([
        ask(id, compressor, false),
        encodeControl({ type: 'window-update', streamId: id, delta: MAX_WINDOW_DELTA }),
      ]),
  ],
  [
    'DATA after the end',
    RST.STREAM_ALREADY_CLOSED,
    (id, compressor) => Buffer.concat([ask(id, compressor, true), clearData(id, 'more')]),
  ],
  [
    'more DATA than the window takes, announced',
    RST.FLOW_CONTROL_ERROR,
    (id, compressor) =>
      Buffer.concat([ask(id, compressor, false), encodeDataHead(id, false, 65_537), Buffer.alloc(65_537)]),
  ],
  ['DATA for a stream that was never opened', RST.INVALID_STREAM, (id) => clearData(id, 'x')],
  [
    'a slot in the clear',
    RST.PROTOCOL_ERROR,
    (id, compressor) => clearSyn(id, clearRequest('GET', HOST, '/'), { compressor, slot: 1 }),
  ],
  [
    'a header with an upper-case name',
    RST.PROTOCOL_ERROR,
    (streamId, compressor) =>
      encodeControl({
        ...{ type: 'syn-stream', streamId, associatedId: 0, priority: 3, slot: 0, fin: true },
        ...{ unidirectional: false, payloadOutside: false },
        block: compressor.compress(UPPER_CASE),
      }),
  ],
];

describe('D4: a peer makes the server reset its streams', () => {
  test.each(PROVOCATIONS)('1,000 times by %s ends the session', async (_what, status, provoke) => {
    const attacker = await siege.attacker(scope);
    const compressor = new FloodCompressor();
    const provocations = function* (): Generator<Uint8Array> {
      for (let n = 1; n < 1_000; n++) yield provoke(2 * n + 1, compressor);
    };
    attacker.send(provoke(1, compressor));
    await attacker.until(({ resets }) => resets.size === 1);
    expect([...attacker.resets]).toEqual([[1, status]]);
    const aftermath = await siege.during(bystanders, async () => {
      await attacker.pour(provocations());
      await attacker.closed;
    });
    expect(attacker.goaways).toEqual([GOAWAY.EXCESSIVE_LOAD]);
    expectUnharmed(aftermath);
    expect(aftermath.after.streams).toEqual([0]);
  });
});
