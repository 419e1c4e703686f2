import { type Style, shade } from '../output.ts';

const LABEL = 9;
const GAP = 2;
/** Four cells and the labels fit into 80 columns; wider than this they are hard to see at once. */
const [LEAST, MOST] = [15, 23];

/** A line of a cell: plain text, some of it styled. */
export interface Line {
  readonly text: string;
  readonly style?: Style;
  /** Captured bytes: broken anywhere, and cut off after so many lines. */
  readonly raw?: 1 | 2;
  /** Styles of its parts, for a line that has room. */
  readonly parts?: readonly { readonly at: number; readonly length: number; readonly style: Style }[];
  /** A part that stands out, marked by carets below. */
  readonly mark?: { readonly at: number; readonly length: number } | undefined;
}

export interface Row {
  readonly label: string;
  /** One list of lines a column. */
  readonly cells: readonly (readonly Line[])[];
}

/** Draws rows of cells side by side, as wide as the terminal allows. */
export function drawTable(rows: readonly Row[], columns: number): string {
  const space = (process.stdout.columns ?? Number.POSITIVE_INFINITY) - LABEL - 1;
  const width = Math.max(LEAST, Math.min(MOST, Math.floor(space / columns) - GAP));
  return rows.map((row) => drawRow(row, width)).join('\n');
}

function drawRow({ label, cells }: Row, width: number): string {
  const wrapped = cells.map((lines) => lines.flatMap((line) => wrap(line, width)));
  const height = Math.max(1, ...wrapped.map((lines) => lines.length));
  const lines = Array.from({ length: height }, (_, at) => {
    const first = shade('dim', (at === 0 ? label : '').padEnd(LABEL));
    const gap = ' '.repeat(GAP);
    return (first + wrapped.map((cell) => fit(cell[at] ?? { text: '' }, width) + gap).join('')).trimEnd();
  });
  return lines.join('\n');
}

/** A line that is no longer than `width`, styled, and filled up with spaces. */
export function fit({ text, style, mark, parts = [] }: Line, width: number): string {
  const rest = ' '.repeat(width - text.length);
  const styled = mark ? [{ ...mark, style: ['bold', 'red'] satisfies Style }] : parts;
  if (styled.length === 0) return (style ? shade(style, text) : text) + rest;
  let [drawn, done] = ['', 0];
  for (const { at, length, style } of styled) {
    drawn += text.slice(done, at) + shade(style, text.slice(at, at + length));
    done = at + length;
  }
  return drawn + text.slice(done) + rest;
}

/** Breaks a line at spaces or after a host, and where there is neither at the width; carets follow below what is marked. */
export function wrap(line: Line, width: number, hang = 2): Line[] {
  if (line.mark !== undefined) return wrapMarked(line, width);
  if (line.raw !== undefined) return cut(line, width).slice(0, line.raw);
  const { parts: _, ...whole } = line;
  const lines: Line[] = [];
  const margin = line.text.search(/\S|$/) || hang;
  let rest = line.text;
  while (rest.length > width) {
    const place = Math.max(rest.lastIndexOf(' ', width), rest.lastIndexOf('/', width));
    const at = place > margin ? place : width;
    lines.push({ ...whole, text: rest.slice(0, at) });
    rest = ' '.repeat(margin) + rest.slice(at).trimStart();
  }
  return lines.length === 0 ? [line] : [...lines, { ...whole, text: rest }];
}

function wrapMarked({ text, mark, raw }: Line, width: number): Line[] {
  const { at, length } = mark ?? { at: 0, length: 0 };
  const carets = { text: ' '.repeat(at) + '^'.repeat(length), style: 'red' } as const;
  const rest = raw === 1 ? '' : text.slice(width, 2 * width);
  return [{ text: text.slice(0, width), mark }, carets, ...(rest === '' ? [] : [{ text: rest }])];
}

function cut(line: Line, width: number): Line[] {
  const { text } = line;
  if (text === '') return [];
  return [{ ...line, text: text.slice(0, width) }, ...cut({ ...line, text: text.slice(width) }, width)];
}
