import { shade } from '../output.ts';
import type { Explanation, MessageStatement } from './schema.ts';

const MOST_DASHES = 9;
const LEAST_DASHES = 2;
const GAP = 3;

/** Draws the way from left to right, with what each message is sealed with on each wire; as a list where that is too wide. */
export function drawPicture({ wires, messages }: Explanation, width: number): string[] {
  const host = wires.at(-1)?.to ?? '';
  const rows = messages.map((message) => ({
    label: labelOf(message),
    cells: wires.map(({ name }) => message.on.find(({ wire }) => wire === name)?.sealedWith),
    readers: readersOf(message, wires.length, host),
  }));
  const label = Math.max(...rows.map((row) => row.label.length)) + GAP;
  const readers = Math.max(...rows.map((row) => row.readers.length));
  const parties = ['client', ...(wires.length > 1 ? ['proxy'] : []), host];
  const fixed =
    label + parties.join('').length + wires.length * ' wire 1 '.length + 2 * wires.length + GAP + readers;
  const dashes = Math.min(MOST_DASHES, Math.floor((width - fixed) / (2 * wires.length)));
  if (dashes < LEAST_DASHES)
    return rows.flatMap((row) =>
      drawList(
        row,
        wires.map(({ name }) => name),
      ),
    );

  const segments = wires.map(({ name }) => ` ${'-'.repeat(dashes)} ${name} ${'-'.repeat(dashes)} `);
  const way = parties.map((party, at) => party + (segments[at] ?? '')).join('');
  const lines = rows.map((row) => {
    const cells = row.cells.map((cell, at) => {
      const before = ' '.repeat((parties[at] as string).length);
      return before + centre(cell, (segments[at] as string).length);
    });
    const end = ' '.repeat(host.length + GAP);
    return row.label.padEnd(label) + cells.join('') + end + row.readers;
  });
  return [' '.repeat(label) + way, '', ...lines];
}

interface Row {
  readonly label: string;
  readonly cells: readonly (readonly string[] | undefined)[];
  readonly readers: string;
}

function drawList({ label, cells, readers }: Row, wires: readonly string[]): string[] {
  const places = cells.flatMap((cell, at) => (cell === undefined ? [] : [`  ${wires[at]}    ${seal(cell)}`]));
  return [label, ...places, `  reads it  ${readers}`];
}

function labelOf({ what, when }: MessageStatement): string {
  if (when === 'always') return what;
  return when === 'prompted' ? `${what}, if prompted` : `${what}, if not`;
}

function readersOf({ readers, impostors }: MessageStatement, wires: number, host: string): string {
  const name = (party: string): string => (party === 'host' ? host : party);
  const onWires = readers.filter((party) => party.startsWith('wire'));
  const parties = readers.filter((party) => !party.startsWith('wire')).map(name);
  const open =
    onWires.length === 0
      ? parties
      : onWires.length === wires
        ? ['everybody on the way']
        : [...parties, ...onWires.map((wire) => `everybody on ${wire}`)];
  const posing = impostors.length === 0 ? '' : `; by posing: ${impostors.map(name).join(', ')}`;
  return open.join(', ') + posing;
}

function centre(cell: readonly string[] | undefined, width: number): string {
  if (cell === undefined) return ' '.repeat(width);
  const text = sealText(cell);
  const left = Math.floor((width - text.length) / 2);
  return ' '.repeat(left) + seal(cell) + ' '.repeat(width - text.length - left);
}

function seal(cell: readonly string[]): string {
  return shade(cell.length === 0 ? 'yellow' : 'green', sealText(cell));
}

/** `[a[b]]`: sealed with b, and that with a. */
function sealText(cell: readonly string[]): string {
  return cell.length === 0 ? 'clear' : cell.map((name) => `[${name}`).join('') + ']'.repeat(cell.length);
}
