import type { FlowResult } from '../commands/demo.ts';
import { paint } from '../output.ts';
import type { HopView } from './hop.ts';

const COLUMN = 27;
const GAP = '  ';

/** Shows a flow as four columns: what was said at the ends, and what each wiretap got. */
export function drawFlow(result: FlowResult): string {
  const columns = [
    ['CLIENT', ...result.client],
    ['WIRE client-proxy', ...wire(result.hops.clientToProxy)],
    ['WIRE proxy-origin', ...wire(result.hops.proxyToOrigin)],
    ['ORIGIN', ...result.origin],
  ].map((lines) => lines.flatMap(wrap));
  const height = Math.max(...columns.map((lines) => lines.length));
  const rows = Array.from({ length: height }, (_, row) =>
    columns
      .map((lines) => (lines[row] ?? '').padEnd(COLUMN))
      .join(GAP)
      .trimEnd(),
  );
  const [heading = '', ...body] = rows;
  const verdict = result.ok
    ? paint('green', 'as promised')
    : paint(
        'red',
        `NOT as promised: ${Object.entries(result.checks)
          .filter(([, ok]) => !ok)
          .map(([check]) => check)
          .join('; ')}`,
      );
  return [
    paint('bold', `${result.id}  ${result.title}`),
    '',
    paint('dim', heading),
    ...body,
    '',
    `    ${verdict}`,
    '',
  ].join('\n');
}

function wire(hop: HopView): string[] {
  const keys = hop.keys.map(
    ({ keyId, algorithm, startedBy, depth }) =>
      `key ${keyId}${depth > 0 ? ' in the tunnel' : ''}: ${algorithm}, by ${startedBy === 'client' ? 'client' : 'origin'}`,
  );
  return [
    `${hop.sealedBytes} bytes sealed, ${hop.clearBytes} clear`,
    ...keys,
    ...hop.readable.map((text) => `reads: ${text.length > 70 ? `${text.slice(0, 70)}...` : text}`),
    hop.canaryVisible ? 'THE SECRET IS VISIBLE' : 'secret not visible',
  ];
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ').flatMap((long) => long.match(new RegExp(`.{1,${COLUMN}}`, 'g')) ?? [])) {
    if (line !== '' && line.length + 1 + word.length > COLUMN) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return line === '' ? lines : [...lines, line];
}
