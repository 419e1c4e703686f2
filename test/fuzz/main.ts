import { parseArgs } from 'node:util';
import { fuzzBlindly } from './blind.ts';
import { writeCase } from './cases.ts';
import { CoverageMap } from './coverage.ts';
import { type Finding, fuzzGuided } from './guided.ts';
import { TARGETS } from './targets.ts';

// What `npm run fuzz` starts: searches one target after the other until its time is up, and exits with 1 if a case failed.

const USAGE = `npm run fuzz -- [--seconds N] [--target NAME] [--seed S] [--guided]

  --seconds  for each target, 60 by default
  --target   one of: ${TARGETS.map(({ name }) => name).join(', ')}; may be repeated; all by default
  --seed     repeats a search, unless it is guided
  --guided   changes cases that have reached new code, instead of making each case anew
`;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    target: { type: 'string', multiple: true },
    seed: { type: 'string' },
    guided: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const seconds = Number(values.seconds);
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
const unknown = values.target?.find((name) => !TARGETS.some((target) => target.name === name));
if (values.help || unknown !== undefined || !(seconds > 0) || !Number.isInteger(seed)) {
  process.stderr.write(unknown === undefined ? USAGE : `there is no target ${unknown}\n\n${USAGE}`);
  process.exit(values.help ? 0 : 2);
}

let rejected: unknown;
process.on('unhandledRejection', (reason) => {
  rejected = reason;
});

let failed = false;
for (const target of TARGETS.filter(({ name }) => values.target?.includes(name) ?? true)) {
  const coverage = await CoverageMap.start();
  const search = values.guided ? fuzzGuided : fuzzBlindly;
  const until = performance.now() + seconds * 1000;
  const begun = performance.now();
  const status = (runs: number): string => {
    const rate = Math.round((runs * 1000) / Math.max(1, performance.now() - begun));
    return `${target.name.padEnd(18)} ${String(runs).padStart(8)} runs  ${String(rate).padStart(6)} runs/s  ${coverage.size} blocks  seed ${seed}`;
  };
  let shown = 0;
  let runs = 0;
  const finding: Finding | undefined = await search(target, coverage, seed, () => {
    runs++;
    const now = performance.now();
    if (process.stderr.isTTY && now - shown > 500) {
      shown = now;
      process.stderr.write(`\r${status(runs)}`);
    }
    if (rejected !== undefined) throw rejected;
    return now < until;
  });
  coverage.stop();
  process.stderr.write(`${process.stderr.isTTY ? '\r' : ''}${status(runs)}\n`);
  if (finding === undefined) continue;
  failed = true;
  process.stderr.write(`${String((finding.error as Error)?.stack ?? finding.error)}\n`);
  process.stderr.write(`written to ${writeCase(target.name, finding.input)}\n`);
}
process.exit(failed ? 1 : 0);
