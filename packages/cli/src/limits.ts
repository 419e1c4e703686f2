import type { Budget, Budgets, Ranges } from '@keymux/session';
import { z } from 'zod';
import { optionName } from './settings.ts';

/** A number that can be set: where it goes, and what it may be. */
interface Limit {
  readonly least: number;
  readonly most: number;
  readonly put: (limits: Draft, value: number) => void;
}

type Draft = Record<string, unknown> & { budgets?: Record<string, number | Budget> };

/** For accounts and bounds of frames (spec 7.3). */
const MOST = 1_000_000_000;

/**
 * What `--limit` takes: `NAME=NUMBER`, one or several, or in a file an object with names and numbers. Names are those of `ranges`, written as options are;
 * an account of `budgets` has two, `NAME-burst` and `NAME-per-second`.
 */
export function limits<T extends { readonly budgets: Budgets }>(
  { budgets }: T,
  ranges: Ranges<Omit<T, 'budgets'>>,
): z.ZodType<Partial<T>> {
  const known = new Map([...numbers(ranges), ...accounts(budgets)]);
  return z
    .union([z.string(), z.array(z.string()), z.record(z.string(), z.unknown())], {
      error: 'write NAME=NUMBER; in a file, an object with names and numbers',
    })
    .default([])
    .transform((value, context) => {
      const draft: Draft = {};
      for (const [name, text] of pairs(value)) {
        const limit = known.get(name);
        const problem = limit === undefined ? unknownName(name, known) : unfit(name, text, limit);
        if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
        else limit?.put(draft, Number(text));
      }
      return draft as Partial<T>;
    });
}

function pairs(value: string | readonly string[] | Record<string, unknown>): (readonly [string, unknown])[] {
  if (typeof value === 'object' && !Array.isArray(value)) return Object.entries(value);
  return [value].flat().map((text) => {
    const [name = '', ...rest] = String(text).split('=');
    return [name, rest.join('=')] as const;
  });
}

function unknownName(name: string, known: ReadonlyMap<string, Limit>): string {
  return `there is no limit "${name}"; there are: ${[...known.keys()].join(', ')}`;
}

function unfit(name: string, text: unknown, { least, most }: Limit): string | undefined {
  const number = typeof text === 'string' && /^[0-9]+$/.test(text) ? Number(text) : text;
  if (Number.isInteger(number) && (number as number) >= least && (number as number) <= most) return undefined;
  return `${name} must be a whole number from ${least} to ${most}`;
}

function numbers(ranges: object): (readonly [string, Limit])[] {
  return Object.entries(ranges as Record<string, readonly [number, number]>).map(([field, [least, most]]) => {
    const put: Limit['put'] = (draft, value) => {
      draft[field] = value;
    };
    return [optionName(field), { least, most, put }];
  });
}

/** What is not set of the budgets stays as it is by default. */
function accounts(budgets: Budgets): (readonly [string, Limit])[] {
  return Object.entries(budgets).flatMap(([field, budget]: [string, number | Budget]): [string, Limit][] => {
    const change = (draft: Draft, to: (old: number | Budget) => number | Budget): void => {
      draft.budgets ??= { ...budgets };
      draft.budgets[field] = to(draft.budgets[field] ?? budget);
    };
    const part = (key: keyof Budget): Limit['put'] => {
      return (draft, value) => change(draft, (old) => ({ ...(old as Budget), [key]: value }));
    };
    const name = optionName(field);
    if (typeof budget === 'number') {
      const put: Limit['put'] = (draft, value) => change(draft, () => value);
      return [[name, { least: 1, most: MOST, put }]];
    }
    return [
      [`${name}-burst`, { least: 1, most: MOST, put: part('burst') }],
      [`${name}-per-second`, { least: 0, most: MOST, put: part('perSecond') }],
    ];
  });
}
