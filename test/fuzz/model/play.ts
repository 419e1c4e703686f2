import fc from 'fast-check';
import { CUTS, DAMAGE, type Damage } from '../checks.ts';

/** What two sides and somebody on the way do, as plain data, so that it can be played again. */
export interface Play {
  readonly keys: boolean;
  /** How many keys there are at the beginning, for the peer and for its host in turn. */
  readonly ready: number;
  readonly window: number;
  readonly padding: boolean;
  readonly steps: readonly Move[];
}

export interface Move {
  readonly act: number;
  readonly server: boolean;
  readonly which: number;
  readonly key: number;
  readonly size: number;
  readonly flag: boolean;
  readonly cuts: readonly number[];
  readonly damage: readonly Damage[];
}

/** Acts from this one on are an attacker's. */
export const ATTACK = 30;

/** @param attacks whether somebody on the way acts too; there are keys then */
export function plays(attacks: boolean): fc.Arbitrary<Play> {
  const move: fc.Arbitrary<Move> = fc.record({
    act: attacks
      ? fc.oneof({ weight: 12, arbitrary: fc.nat(ATTACK - 1) }, { weight: 1, arbitrary: fc.constant(ATTACK) })
      : fc.nat(ATTACK - 1),
    server: fc.boolean(),
    which: fc.nat(20),
    key: fc.nat(4),
    size: fc.oneof(fc.nat(50), fc.nat(5000), fc.nat(150_000)),
    flag: fc.boolean(),
    cuts: CUTS,
    damage: attacks ? fc.array(DAMAGE, { minLength: 1, maxLength: 1 }) : fc.constant([]),
  });
  return fc.record({
    keys: attacks
      ? fc.constant(true)
      : fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, fc.constant(false)),
    ready: fc.nat(3),
    window: fc.nat(30_000),
    padding: fc.boolean(),
    steps: fc.array(move, { maxLength: 60 }),
  });
}
