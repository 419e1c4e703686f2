import fc from 'fast-check';
import { CUTS, DAMAGE, type Damage } from '../checks.ts';
import { KEYS, PLAIN_FRAMES, type PlainFrame } from './plain-frame.ts';

/** What a peer says and a user does, anything that they can, as plain data, so that it can be played again. */
export interface Script {
  readonly role: number;
  readonly steps: readonly Step[];
}

export interface Step {
  readonly act: number;
  /** Frames that the peer sends, under a key or none. */
  readonly frames: readonly PlainFrame[];
  readonly damage: readonly Damage[];
  readonly cuts: readonly number[];
  readonly key: number;
  readonly stream: number;
  readonly size: number;
  readonly flag: boolean;
}

/** @param acts the last kind of step; those from 13 on are frames */
export function scripts(acts: number): fc.Arbitrary<Script> {
  const step: fc.Arbitrary<Step> = fc.record({
    act: fc.nat(acts),
    frames: fc.array(PLAIN_FRAMES, { minLength: 1, maxLength: 4 }),
    damage: fc.oneof({ weight: 9, arbitrary: fc.constant([]) }, fc.array(DAMAGE, { maxLength: 1 })),
    cuts: CUTS,
    key: fc.nat(KEYS.length - 1),
    stream: fc.nat(8),
    size: fc.oneof(fc.nat(2000), fc.nat(300_000)),
    flag: fc.boolean(),
  });
  return fc.record({ role: fc.nat(1), steps: fc.array(step, { maxLength: 30 }) });
}
