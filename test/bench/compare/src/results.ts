import type { Numbers } from './commands.ts';
import type { Cell, Goal } from './goals.ts';

/** What every round of every work gave for every contender. */
export class Results {
  readonly #rounds = new Map<string, Map<string, Numbers[]>>();

  add(work: string, contender: string, numbers: Numbers): void {
    const contenders = this.#rounds.get(work) ?? new Map<string, Numbers[]>();
    this.#rounds.set(work, contenders);
    contenders.set(contender, [...(contenders.get(contender) ?? []), numbers]);
  }

  contenders(work: string): readonly string[] {
    return [...(this.#rounds.get(work)?.keys() ?? [])];
  }

  /** The median, least and greatest of a cell; undefined if it was not measured. */
  spread({ work, column, contender }: Cell): Spread | undefined {
    const values = (this.#rounds.get(work)?.get(contender) ?? [])
      .map((numbers) => numbers[column] ?? Number.NaN)
      .filter((value) => !Number.isNaN(value))
      .sort((a, b) => a - b);
    const [least, greatest] = [values[0], values.at(-1)];
    if (least === undefined || greatest === undefined) return undefined;
    return { median: median(values) as number, least, greatest };
  }

  /** How a goal stands; `value` is undefined if a part of it was not measured. */
  standing({ title, of, against, atLeast, atMost }: Goal): Standing {
    const above = this.spread(of)?.median;
    const below = against === undefined ? 1 : this.spread(against)?.median;
    const value = above === undefined || below === undefined ? undefined : above / below;
    const wanted = atLeast === undefined ? `at most ${atMost}` : `at least ${atLeast}`;
    const reached =
      value === undefined
        ? undefined
        : value >= (atLeast ?? 0) && value <= (atMost ?? Number.POSITIVE_INFINITY);
    return { title, value, wanted, reached };
  }

  toJSON(): unknown {
    return Object.fromEntries(
      [...this.#rounds].map(([work, contenders]) => [work, Object.fromEntries(contenders)]),
    );
  }
}

/** The middle of what was measured; undefined of nothing. */
export function median(measured: readonly number[]): number | undefined {
  const values = measured.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  const middle = (values.length - 1) / 2;
  const [below, above] = [values[Math.floor(middle)], values[Math.ceil(middle)]];
  return below === undefined || above === undefined ? undefined : (below + above) / 2;
}

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly greatest: number;
}

export interface Standing {
  readonly title: string;
  readonly value: number | undefined;
  readonly wanted: string;
  readonly reached: boolean | undefined;
}
