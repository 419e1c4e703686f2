import { type Style, shade } from '../../output.ts';
import { fit, type Line, wrap } from '../table.ts';
import type { SceneResult } from './acts.ts';
import { type Finding, SECRETS } from './stage.ts';

/** Who could reveal what, a line each. */
export function summarize(findings: readonly Finding[]): Line[] {
  const width = Math.max(...findings.map((finding) => labelOf(finding).length)) + GAP;
  const heads = SECRETS.map((name) => name.padEnd(COLUMN)).join('');
  const rows = findings.map((finding): Line => {
    const cells = SECRETS.map((name) => cellOf(finding, name));
    const text = labelOf(finding).padEnd(width) + cells.map(({ text }) => text.padEnd(COLUMN)).join('');
    const parts = cells.map(({ text, style }, index) => ({
      ...{ at: width + index * COLUMN, length: text.length, style },
    }));
    return { text: text.trimEnd(), parts };
  });
  return [
    {
      text: 'What each could reveal: found on the wire, or in the memory of the process',
      style: 'bold',
    },
    { text: '' },
    { text: ' '.repeat(width) + heads.trimEnd(), style: 'dim' },
    ...rows,
    { text: '' },
    {
      text: "With the host's key somebody can be the host, until the key is changed; it opens no recorded session.",
    },
    { text: 'With session keys somebody can read and change those sessions, and no others.' },
    ...(findings.some(({ found }) => found === undefined)
      ? [{ text: '?: not searched. That takes Linux, and a user who may trace the processes.' }]
      : []),
  ];
}

function cellOf({ found }: Finding, name: string): { text: string; style: Style } {
  if (found === undefined) return { text: '?', style: 'dim' };
  return found.includes(name) ? { text: 'FOUND', style: 'red' } : { text: '-', style: 'green' };
}

/** What stays on the terminal: who could reveal what, and whether all came as promised. */
export function drawSummary({ acts, findings }: SceneResult): string {
  const failed = acts.flatMap(({ checks }) => Object.entries(checks).filter(([, passed]) => !passed));
  const width = process.stdout.columns ?? Number.POSITIVE_INFINITY;
  const lines = summarize(findings)
    .flatMap((line) => wrap(line, width, 0))
    .map((line) => fit(line, line.text.length));
  const verdict =
    failed.length === 0
      ? [shade('green', 'All came as promised.')]
      : failed.map(([check]) => shade('red', `NOT AS PROMISED: ${check}`));
  return [...lines, '', ...verdict].join('\n');
}

function labelOf({ who, act }: Finding): string {
  if (who === 'wire') return `${act} wire, ${act === 1 ? 'in the clear' : 'sealed'}`;
  return `${act} ${who}${who === 'server' ? ', one process' : ''}`;
}

const [GAP, COLUMN] = [3, 14];
