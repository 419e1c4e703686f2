import { encodeControl, encodeHeaderBlock, GOAWAY } from '@keymux/frames';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { clearRequest, clearSyn, FloodCompressor } from '../support/forge.ts';
import { Scope } from '../support/scope.ts';
import { type Bystander, expectUnharmed, NOTHING_EARNED, regulars, Siege } from '../support/siege.ts';

const HOST = 'alpha.test';

const shared = new Scope();
const scope = new Scope();
let siege: Siege;
let bystanders: Bystander[];
beforeAll(async () => {
  siege = await Siege.start(shared, ['origin', '--host', HOST, ...NOTHING_EARNED]);
  bystanders = await regulars(shared, siege, HOST);
});
afterEach(() => scope.close());
afterAll(() => shared.close());

/** The first eight bytes of a control frame of 16 MiB. */
const head = (type: number): Buffer => Buffer.from([0x80, 3, 0, type, 0, 0xff, 0xff, 0xff]);

describe('D9: a header block without end', () => {
  test.each([
    ['SYN_STREAM', 1],
    ['SYN_REPLY', 2],
    ['HEADERS', 8],
    ['of an unknown type', 99],
  ])('a frame %s that says it has 16 MiB is refused for saying so', async (_what, type) => {
    const attacker = await siege.attacker(scope);
    attacker.send(head(type));
    await attacker.closed;
    expect(attacker.goaways).toEqual([GOAWAY.FRAME_TOO_LARGE]);
  });

  test('HEADERS again and again end the session', async () => {
    const attacker = await siege.attacker(scope);
    const compressor = new FloodCompressor();
    const more = encodeHeaderBlock(Array.from({ length: 90 }, (_, n) => [`x${n}`, 'x'.repeat(60)]));
    const frames = function* (): Generator<Uint8Array> {
      yield clearSyn(1, clearRequest('POST', HOST, '/account'), { compressor });
      const frame = { type: 'headers', streamId: 1, fin: false, block: compressor.compress(more) } as const;
      for (let n = 0; n < 200; n++)
        yield Buffer.concat(Array.from({ length: 100 }, () => encodeControl(frame)));
    };
    const aftermath = await siege.during(bystanders, async () => {
      await attacker.pour(frames());
      await attacker.closed;
    });
    expect(attacker.goaways).toEqual([GOAWAY.EXCESSIVE_LOAD]);
    expectUnharmed(aftermath);
    expect(aftermath.after.streams).toEqual([0]);
  });
});
