import { KeyError, packetKeys, Secret } from '@keymux/keys';
import fc from 'fast-check';
import { rawPacket } from '../../support/reference-spiped.ts';
import { CUTS, cut, DAMAGE, type Damage, damaged, must, mustEqual } from '../checks.ts';
import { seeded } from '../internals.ts';
import { target } from '../target.ts';

interface Case {
  /** Payload of each packet: how long it is, and how long it claims to be. */
  readonly packets: readonly { readonly size: number; readonly claim: number }[];
  readonly damage: readonly Damage[];
  readonly cuts: readonly number[];
}

const KEYS = Buffer.from(seeded('spiped packets')(128));

/** The opener hands out what authentic packets hold, up to the first that is not, however the bytes arrive; then it fails, once and for all. */
export const spipedPackets = target<Case>({
  name: 'spiped-packets',
  cases: fc.record({
    packets: fc.array(
      fc.record({
        size: fc.integer({ min: 1, max: 1024 }),
        claim: fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, fc.integer({ min: -1024, max: 2000 })),
      }),
      { maxLength: 4 },
    ),
    damage: fc.oneof(fc.constant([]), fc.array(DAMAGE, { maxLength: 2 })),
    cuts: CUTS,
  }),
  check: ({ packets, damage, cuts }) => {
    const payloads = packets.map(({ size }, index) => Buffer.alloc(1 + (Math.abs(size) % 1024), index + 1));
    const lengths = payloads.map(({ length }, index) => Math.max(0, length + (packets[index]?.claim ?? 0)));
    const keys = KEYS.subarray(0, 64);
    const sent = payloads.map((payload, index) => rawPacket(keys, index, payload, lengths[index]));
    const whole = Buffer.concat(sent);
    const wire = damaged(whole, damage);
    const agreed = commonLength(whole, wire);

    const { opener } = packetKeys(Secret.take(Uint8Array.from(KEYS)), 'server');
    const opened: Buffer[] = [];
    let failed = false;
    for (const piece of cut(wire, cuts)) {
      try {
        opened.push(Buffer.from(opener.open(piece)));
        must(!failed, 'nothing opens after a failure');
      } catch (error) {
        if (!(error instanceof KeyError) || error.scope !== 'session') throw error;
        failed = true;
        break;
      }
    }
    const sound = lengths.findIndex(
      (length, index) => length === 0 || length > 1024 || (index + 1) * 1060 > agreed,
    );
    const most = sound < 0 ? payloads.length : sound;
    const expected = Buffer.concat(
      payloads.slice(0, most).map((payload, index) => {
        const padded = Buffer.concat([payload, Buffer.alloc(1024)]);
        return padded.subarray(0, lengths[index]);
      }),
    );
    const got = Buffer.concat(opened);
    must(expected.subarray(0, got.length).equals(got), 'only what was sent comes out');
    const intact = agreed === whole.length && wire.length === whole.length && most === payloads.length;
    if (intact) mustEqual([failed, got.length], [false, expected.length], 'all that was sent comes out');
    if (wire.length >= (most + 1) * 1060) must(failed, 'what is not authentic fails');
    if (failed) return;
    const rest = wire.length % 1060;
    let cutOff = false;
    try {
      opener.end();
    } catch (error) {
      if (!(error instanceof KeyError)) throw error;
      cutOff = true;
    }
    mustEqual(cutOff, rest > 0, 'an end inside a packet is no end');
  },
  runs: 100,
});

function commonLength(a: Uint8Array, b: Uint8Array): number {
  let at = 0;
  while (at < a.length && at < b.length && a[at] === b[at]) at++;
  return at;
}
