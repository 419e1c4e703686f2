import { shade } from '../../output.ts';
import { fit, type Line, wrap } from '../table.ts';
import { type Act, PANES, type Pane } from './view.ts';

/** What the terminal is to show. */
export interface Picture {
  readonly act: Act | undefined;
  readonly panes: Readonly<Record<Pane, readonly Line[]>>;
  /** What the audience was told last. */
  readonly told: readonly Line[];
  /** The last page, instead of the panes. */
  readonly page: readonly Line[] | undefined;
  /** Which keys do what. */
  readonly hint: string;
}

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** Less than this cannot show the scene. */
export const LEAST: Size = { columns: 76, rows: 18 };

const SEPARATOR = ' | ';
/** Lines for what the audience is told, at least. */
const TOLD = 4;
/** Title, heads, two rules and the hint. */
const FRAME = 5;

/** Draws the picture in so many rows, none of them wider than the columns. What has no room in a pane is its beginning. */
export function draw(picture: Picture, size: Size): string[] {
  const { columns, rows } = size;
  if (columns < LEAST.columns || rows < LEAST.rows) {
    const text = `The scene needs a window of ${LEAST.columns} x ${LEAST.rows}, this one is ${columns} x ${rows}.`;
    return cover([{ text }], size);
  }
  const hint = { text: ` ${picture.hint}`, style: 'dim' } as const;
  if (picture.page !== undefined) {
    const lines = picture.page.flatMap((line) => wrap(line, columns - 2, 0));
    return [...cover(lines.map(indented), { columns, rows: rows - 1 }), fit(hint, columns)];
  }
  const told = picture.told.flatMap((line) => wrap(line, columns - 2, 0)).map(indented);
  const toldRows = Math.min(Math.max(TOLD, told.length), rows - FRAME - 1);
  const rule = { text: '-'.repeat(columns), style: 'dim' } as const;
  return [
    ...cover([{ text: titleOf(picture.act), style: 'bold' }], { columns, rows: 1 }),
    fit(rule, columns),
    ...drawPanes(picture, { columns, rows: rows - FRAME - toldRows + 1 }),
    fit(rule, columns),
    ...cover(told, { columns, rows: toldRows }),
    fit(hint, columns),
  ];
}

function titleOf(act: Act | undefined): string {
  return act === undefined
    ? ' keymux demo wiretap'
    : ` keymux demo wiretap   ${act.number} of 3   ${act.title}`;
}

function drawPanes({ panes }: Picture, { columns, rows }: Size): string[] {
  const space = columns - 2 - 2 * SEPARATOR.length;
  const side = Math.floor(space * 0.26);
  const widths = { client: side, wire: space - 2 * side, server: side };
  const drawn = PANES.map((pane) => {
    const width = widths[pane];
    const lines = panes[pane].flatMap((line) => wrap(line, width)).slice(-(rows - 1));
    const head: Line = { text: pane.toUpperCase(), style: 'bold' };
    return Array.from({ length: rows }, (_, row) => fit(row === 0 ? head : (lines[row - 1] ?? EMPTY), width));
  });
  return Array.from(
    { length: rows },
    (_, row) => ` ${drawn.map((pane) => pane[row]).join(shade('dim', SEPARATOR))} `,
  );
}

const EMPTY: Line = { text: '' };

function indented(line: Line): Line {
  const { text, parts } = line;
  return {
    ...line,
    text: ` ${text}`,
    ...(parts && { parts: parts.map((part) => ({ ...part, at: part.at + 1 })) }),
  };
}

/** The first lines that have room. */
function cover(lines: readonly Line[], { columns, rows }: Size): string[] {
  return Array.from({ length: rows }, (_, row) => {
    const { text, ...line } = lines[row] ?? EMPTY;
    return fit({ ...line, text: text.slice(0, columns) }, columns);
  });
}
