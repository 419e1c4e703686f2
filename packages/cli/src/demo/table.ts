import { type Style, shade } from '../output.ts';

const LABEL = 9;
const GAP = 2;
/** Four cells and the labels fit into 80 columns; wider than this they are hard to see at once. */
const [LEAST, MOST] = [15, 23];

/** A line of a cell: plain text, some of it styled. */
export interface Line {
  readonly text: string;
  readonly style?: Style;
  /** Captured bytes: broken anywhere, and cut off after two lines. */
  readonly raw?: boolean;
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
    return (first + wrapped.map((cell) => pad(cell[at] ?? { text: '' }, width)).join('')).trimEnd();
  });
  return lines.join('\n');
}

function pad({ text, style, mark }: Line, width: number): string {
  const rest = ' '.repeat(width + GAP - text.length);
  if (mark === undefined) return (style ? shade(style, text) : text) + rest;
  const end = mark.at + mark.length;
  return text.slice(0, mark.at) + shade(['bold', 'red'], text.slice(mark.at, end)) + text.slice(end) + rest;
}

/** Breaks a line at spaces, and where there is none at the width; carets follow below what is marked. */
function wrap(line: Line, width: number): Line[] {
  if (line.mark !== undefined) return wrapMarked(line, width);
  if (line.raw) return cut(line, width).slice(0, 2);
  const lines: Line[] = [];
  let rest = line.text;
  while (rest.length > width) {
    const space = rest.lastIndexOf(' ', width);
    const cut = space > 2 ? space : width;
    lines.push({ ...line, text: rest.slice(0, cut) });
    rest = `  ${rest.slice(cut).trimStart()}`;
  }
  return [...lines, { ...line, text: rest }];
}

function wrapMarked({ text, mark }: Line, width: number): Line[] {
  const { at, length } = mark ?? { at: 0, length: 0 };
  const carets = { text: ' '.repeat(at) + '^'.repeat(length), style: 'red' } as const;
  return [{ text: text.slice(0, width), mark }, carets, { text: text.slice(width, 2 * width) }];
}

function cut(line: Line, width: number): Line[] {
  const { text } = line;
  if (text === '') return [];
  return [{ ...line, text: text.slice(0, width) }, ...cut({ ...line, text: text.slice(width) }, width)];
}
