// Draws what a run of the benchmark wrote with --json: node picture.js results.json > picture.svg

import { readFileSync } from 'node:fs';
import type { Numbers } from './commands.ts';
import { median } from './results.ts';

/** A panel: one column of one work, for those who do the same. More is better unless `less`. */
interface Panel {
  readonly work: string;
  readonly column: string;
  readonly title: string;
  readonly less?: boolean;
  /** Contenders, in this order, and what each is called. */
  readonly bars: readonly (readonly [contender: string, name: string])[];
}

const TUNNELS = [
  ['keymux', 'keymux, end to end'],
  ['tls-in-tls', 'TLS in TLS'],
  ['ssh', 'ssh -L'],
  ['stunnel', 'stunnel'],
  ['spiped', 'spiped'],
  ['keymux-clear', 'keymux, clear'],
  ['relay', 'TCP relay, clear'],
  ['spdy-transport', 'spdy-transport, clear'],
] as const;

const SESSIONS = [
  ['keymux-psk', 'keymux psk'],
  ['keymux-psk-x25519', 'keymux psk-x25519'],
  ['keymux-signed', 'keymux signed'],
  ['tls', 'TLS 1.3'],
] as const;

const PANELS: readonly Panel[] = [
  { work: 'T1 down', column: 'mbPerSecond', title: 'one download: throughput', bars: TUNNELS },
  { work: 'T1 down', column: 'cpu', title: 'one download: CPU time', less: true, bars: TUNNELS },
  { work: 'rps', column: 'perSecond', title: '1 KiB echoes a second, 64 streams', bars: TUNNELS },
  { work: 'T4', column: 'perSecond', title: 'new streams a second', bars: TUNNELS },
  { work: 'T5', column: 'perSecond', title: 'new sessions a second', bars: SESSIONS },
];

const [WIDTH, ROW, HEAD, NAME, VALUE] = [760, 20, 34, 190, 110];
const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600 } .value { font-size: 12px; fill: #57606a }
  .bar { fill: #afb8c1 } .ours { fill: #0969da } .ground { fill: #fff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .value { fill: #8d96a0 } .bar { fill: #484f58 } .ours { fill: #58a6ff } .ground { fill: #0d1117 }
  }`;

interface Report {
  readonly machine: string;
  readonly versions: Record<string, string>;
  readonly results: Record<string, Record<string, Numbers[]>>;
}

const file = process.argv[2];
if (file === undefined) throw new Error('give the file that npm run bench -- --json FILE has written');
process.stdout.write(picture(JSON.parse(readFileSync(file, 'utf8'))));

function picture({ machine, versions, results }: Report): string {
  let y = HEAD;
  const parts = PANELS.map((panel) => {
    const drawn = drawPanel(panel, results[panel.work] ?? {}, y);
    y += drawn.height;
    return drawn.svg;
  });
  const note = `ratios of medians of one run to that of the first line; ${machine}, Node ${versions.node}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" role="img">
<title>keymux and its peers on one machine</title>
<style>${STYLE}
</style>
<rect class="ground" width="${WIDTH}" height="${y}" rx="6"/>
${parts.join('\n')}
<text class="value" x="8" y="${y - 12}">${escaped(note)}</text>
</svg>
`;
}

function drawPanel(
  { column, title, less = false, bars }: Panel,
  measured: Record<string, Numbers[]>,
  top: number,
): { svg: string; height: number } {
  const rows = bars.flatMap(([contender, name]) => {
    const value = median((measured[contender] ?? []).map((numbers) => numbers[column] ?? Number.NaN));
    return value === undefined ? [] : [{ name, value, ours: contender.startsWith('keymux') }];
  });
  const most = Math.max(...rows.map(({ value }) => value));
  const first = rows[0]?.value ?? Number.NaN;
  const lines = rows.map(({ name, value, ours }, row) => {
    const y = top + 8 + row * ROW;
    const width = Math.max(1, ((WIDTH - NAME - VALUE) * value) / most);
    return `<text x="${NAME - 8}" y="${y + 14}" text-anchor="end">${escaped(name)}</text>
<rect class="${ours ? 'ours' : 'bar'}" x="${NAME}" y="${y + 3}" width="${width.toFixed(1)}" height="${ROW - 6}" rx="2"/>
<text class="value" x="${(NAME + width + 6).toFixed(1)}" y="${y + 14}">${number(value)} (×${(value / first).toFixed(2)})</text>`;
  });
  const which = less ? 'seconds for a GiB, less is better' : column === 'mbPerSecond' ? 'MiB/s' : '';
  return {
    svg: `<text class="title" x="8" y="${top}">${escaped(title)}</text> <text class="value" x="${WIDTH - 8}" y="${top}" text-anchor="end">${which}</text>\n${lines.join('\n')}`,
    height: rows.length * ROW + HEAD + 8,
  };
}

function number(value: number): string {
  return value < 100 ? value.toFixed(2) : Math.round(value).toLocaleString('en');
}

function escaped(text: string): string {
  return text.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
