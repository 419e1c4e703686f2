import type { Results, Standing } from './results.ts';

interface Column {
  readonly key: string;
  readonly title: string;
  readonly digits?: number;
}

/** One work as a table: a line for each contender, the median of each column with what it ranged over. */
export function table(
  results: Results,
  work: { name: string; title: string; columns: readonly Column[] },
): string {
  const head = [`${work.name}`, ...work.columns.map(({ title }) => title)];
  const lines = results.contenders(work.name).map((contender) => [
    contender,
    ...work.columns.map(({ key, digits = 0 }) => {
      const spread = results.spread({ work: work.name, column: key, contender });
      if (spread === undefined) return '-';
      const { median, least, greatest } = spread;
      const range = least === greatest ? '' : ` (${least.toFixed(digits)}-${greatest.toFixed(digits)})`;
      return `${median.toFixed(digits)}${range}`;
    }),
  ]);
  return `${work.title}\n${aligned([head, ...lines])}\n`;
}

export function standings(list: readonly Standing[]): string {
  const verdict = ({ reached }: Standing): string =>
    reached === undefined ? 'not measured' : reached ? 'reached' : 'NOT REACHED';
  const lines = list.map((standing) => [
    standing.title,
    standing.value?.toFixed(2) ?? '-',
    standing.wanted,
    verdict(standing),
  ]);
  return `Ratios of medians of this run\n${aligned([['', 'is', 'wanted', ''], ...lines])}\n`;
}

function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((text, column) =>
          column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0),
        )
        .join('  '),
    )
    .map((line) => `  ${line.trimEnd()}`)
    .join('\n');
}
