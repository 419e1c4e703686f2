import { constants, deflateSync } from 'node:zlib';
import { compressionDictionary, encodeControl, GOAWAY } from '@keymux/frames';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Scope } from '../support/scope.ts';
import { type Bystander, expectUnharmed, regulars, Siege } from '../support/siege.ts';

const HOST = 'alpha.test';
const MIB = 2 ** 20;

const shared = new Scope();
const scope = new Scope();
let siege: Siege;
let bystanders: Bystander[];
beforeAll(async () => {
  siege = await Siege.start(shared, ['origin', '--host', HOST]);
  bystanders = await regulars(shared, siege, HOST);
});
afterEach(() => scope.close());
afterAll(() => shared.close());

/** 64 MiB of zeros in 65 KB: as much as a header block can be, 1,000 times as large inside. */
const BOMB = deflateSync(Buffer.alloc(64 * MIB), {
  dictionary: compressionDictionary(),
  level: constants.Z_BEST_COMPRESSION,
  finishFlush: constants.Z_SYNC_FLUSH,
});

const frames: readonly (readonly [string, Uint8Array])[] = [
  [
    'a SYN_STREAM',
    encodeControl({
      ...{ type: 'syn-stream', streamId: 1, associatedId: 0, priority: 3, slot: 0, fin: true },
      ...{ unidirectional: false, payloadOutside: false },
      block: BOMB,
    }),
  ],
  // The block must pass the decompressor whatever becomes of the stream.
  [
    'HEADERS of a stream that is not there',
    encodeControl({ type: 'headers', streamId: 1, fin: false, block: BOMB }),
  ],
];

describe('D1: a header block that inflates to 64 MiB', () => {
  test('is no larger than the frame may be, so that inflating has to stop it', () => {
    expect(BOMB.length).toBeLessThan(65_536);
  });

  test.each(frames)('in %s ends the session, and is never inflated', async (_what, frame) => {
    const aftermath = await siege.during(bystanders, async () => {
      for (let times = 0; times < 8; times++) {
        const attacker = await siege.attacker(scope);
        attacker.send(frame);
        await attacker.closed;
        expect(attacker.goaways).toEqual([GOAWAY.FRAME_TOO_LARGE]);
      }
    });
    expectUnharmed(aftermath, { growth: 48 * MIB });
    expect(aftermath.after.streams).toEqual([0]);
  });
});
