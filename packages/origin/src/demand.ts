import type { HeaderList } from '@keymux/frames';
import type { Level } from '@keymux/session';
import { type Protection, satisfies } from '@keymux/streams';

/** What clients are to remember of a host: the least level of every later request and answer (spec 9.8). */
export interface Demand {
  readonly level: Exclude<Level, 'none'>;
  /** Seconds; 0 takes the demand back. */
  readonly maxAge: number;
  /** Whether it is for all hosts below this one too. */
  readonly includeSubdomains?: boolean;
}

/** Of a host that answers nothing in the clear. */
export const SEALED_DEMAND: Demand = { level: 'authenticated', maxAge: 30 * 24 * 3600 };

/** The header, under a key that proves this host; elsewhere nobody would believe it. */
export function demandHeaders(demand: Demand | undefined, answer: Protection): HeaderList {
  if (demand === undefined || answer.reach !== 'end-to-end' || !satisfies(answer.level, 'authenticated'))
    return [];
  const { level, maxAge, includeSubdomains = false } = demand;
  return [['keymux-level', `${level}; max-age=${maxAge}${includeSubdomains ? '; include-subdomains' : ''}`]];
}
