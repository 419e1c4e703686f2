import { UsageError } from './errors.ts';

/** The least and the most that each number of a configuration may be. */
export type Ranges<T> = { readonly [K in keyof T]: readonly [least: number, most: number] };

/** Longest time that can be configured, a day, in milliseconds: timers of Node end at 24 of them. */
export const LONGEST = 86_400_000;

/** Throws UsageError `ERR_KEYMUX_CONFIG` naming the first field that is no whole number in its range. */
export function checkRanges<T>(values: T, ranges: Ranges<Partial<T>>): void {
  for (const field in ranges) {
    const [least, most] = ranges[field] as readonly [number, number];
    const value: unknown = values[field];
    if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
      throw new UsageError(
        'ERR_KEYMUX_CONFIG',
        `${field} is ${String(value)}; it must be a whole number from ${least} to ${most}`,
      );
    }
  }
}
