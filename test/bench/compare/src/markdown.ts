// Puts what a run of the benchmark wrote with --json into the pages that speak of it: node markdown.js results.json

import { readFileSync, writeFileSync } from 'node:fs';
import { WORKS } from './catalogue.ts';
import type { Numbers } from './commands.ts';
import { GOALS } from './goals.ts';
import { Results } from './results.ts';
import { CODEC } from './works/codec.ts';

interface Report {
  readonly machine: string;
  readonly versions: Record<string, string>;
  readonly missing: readonly string[];
  readonly failures: readonly string[];
  readonly rounds: number;
  readonly results: Record<string, Record<string, Numbers[]>>;
}

const REPOSITORY = new URL('../../../../', import.meta.url);
const GROWTH = /by streams$/;
/** What one process does, by work, column and contender. */
const OF_ONE_PROCESS: readonly (readonly [
  title: string,
  work: string,
  column: string,
  contender: string,
  digits: number,
])[] = [
  ['download, sealed end to end: CPU s/GiB of the proxy', 'T1 down', 'proxy', 'keymux', 2],
  ['the same: of the origin', 'T1 down', 'origin', 'keymux', 2],
  ['the same: of the client', 'T1 down', 'client', 'keymux', 2],
  ['download in the clear: CPU s/GiB of the proxy', 'T1 down', 'proxy', 'keymux-clear', 2],
  ['new streams a second, sealed end to end', 'T4', 'perSecond', 'keymux', 0],
  ['new tunnels a second, in the clear', 'T4', 'perSecond', 'keymux-clear', 0],
  ['new sessions a second, `psk`', 'T5', 'perSecond', 'keymux-psk', 0],
  ['new sessions a second, `psk-x25519`', 'T5', 'perSecond', 'keymux-psk-x25519', 0],
  ['new sessions a second, `signed`', 'T5', 'perSecond', 'keymux-signed', 0],
  ['KiB of the proxy for each idle tunnel, in the clear', 'T6', 'proxyIdle', 'keymux-clear', 1],
  ['KiB of the client for each idle stream, sealed', 'T6', 'clientIdle', 'keymux', 1],
];

const file = process.argv[2];
if (file === undefined) throw new Error('give the file that npm run bench -- --json FILE has written');
const report: Report = JSON.parse(readFileSync(file, 'utf8'));
const results = new Results();
for (const [work, contenders] of Object.entries(report.results))
  for (const [contender, rounds] of Object.entries(contenders))
    for (const numbers of rounds) results.add(work, contender, numbers);

replace('test/bench/RESULTS.md', 'run', about());
replace('test/bench/RESULTS.md', 'goals', goals());
replace('test/bench/RESULTS.md', 'tables', [...WORKS, CODEC].map(tableOf).join('\n'));
replace('spec/scaling.md', 'one process', ofOneProcess());
replace(
  'spec/scaling.md',
  'growth',
  WORKS.filter(({ name }) => GROWTH.test(name))
    .map(tableOf)
    .join('\n'),
);

/** Puts text between the two comments of a name in a page. */
function replace(path: string, name: string, text: string): void {
  const url = new URL(path, REPOSITORY);
  const page = readFileSync(url, 'utf8');
  const [begin, end] = [`<!-- ${name}: made by bench:results -->`, `<!-- end of ${name} -->`];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${path} has no place for ${name}`);
  writeFileSync(url, `${page.slice(0, from + begin.length)}\n${text.trim()}\n${page.slice(to)}`);
}

function about(): string {
  const { machine, versions, rounds, missing, failures } = report;
  const notes = [
    ...missing.map((line) => `Missing: ${line}.`),
    ...failures.map((line) => `Failed: ${line}.`),
  ];
  const peers = Object.entries(versions).map((entry) => entry.join(' '));
  return [`${machine}; ${peers.join(', ')}. ${rounds} round${rounds === 1 ? '' : 's'}.`, ...notes].join(
    '\n\n',
  );
}

function goals(): string {
  const rows = GOALS.map((goal) => {
    const { title, value, wanted, reached } = results.standing(goal);
    const verdict = reached === undefined ? 'not measured' : reached ? 'yes' : '**no**';
    return [title, value?.toFixed(2) ?? '', wanted, verdict];
  });
  return rowsOf(['ratio of medians', 'is', 'wanted', 'reached'], rows);
}

function tableOf({ name, title, columns }: (typeof WORKS)[number] | typeof CODEC): string {
  const rows = results.contenders(name).map((contender) => [
    contender,
    ...columns.map(({ key, digits = 0 }) => {
      const spread = results.spread({ work: name, column: key, contender });
      if (spread === undefined) return '';
      const [middle, least, greatest] = [spread.median, spread.least, spread.greatest].map((n) =>
        n.toFixed(digits),
      );
      return least === greatest ? `${middle}` : `${middle} (${least}–${greatest})`;
    }),
  ]);
  if (rows.length === 0) return '';
  return `**${name}**: ${title}\n\n${rowsOf(['', ...columns.map((column) => column.title)], rows)}`;
}

function ofOneProcess(): string {
  const rows = OF_ONE_PROCESS.map(([title, work, column, contender, digits]) => [
    title,
    results.spread({ work, column, contender })?.median.toFixed(digits) ?? '',
  ]);
  return rowsOf(['', report.machine], rows);
}

function rowsOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return `${[line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')}\n`;
}
