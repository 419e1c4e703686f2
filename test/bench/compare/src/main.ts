import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { CONTENDERS, WORKS } from './catalogue.ts';
import { GOALS } from './goals.ts';
import { perform } from './perform.ts';
import { standings, table } from './print.ts';
import { Results } from './results.ts';
import type { Scale, Work } from './work.ts';
import { CODEC, measureCodec } from './works/codec.ts';

const USAGE = `npm run bench -- [--quick] [--json FILE] [--rounds N] [--only WORK,...] [--contenders NAME,...]

Compares keymux with its peers on this machine, each as an origin, a proxy and a client in processes of
their own on loopback. Rounds are interleaved; medians are printed, with the range of the rounds, and the ratios
that count. Linux only.

  --quick             one round of less, of the works that show something then: a trend within three minutes
  --json FILE         write what every round measured to a file as well, as it comes, or - to print nothing else
  --rounds N          5, or 1 with --quick
  --only WORK,...     ${[...WORKS.map(({ name }) => name), 'T9'].join(', ')}
  --profile DIR       have each Node process leave a CPU profile there, for Chrome's developer tools
  --contenders N,...  ${CONTENDERS.map(({ name }) => name).join(', ')}
`;

const MIB = 2 ** 20;
const FULL: Scale = {
  bytes: 1024 * MIB,
  seconds: 2,
  ...{ warmUp: 5, sessionWarmUp: 8 },
  messages: 4000,
  idleStreams: 10_000,
  ...{ linkBytes: 256 * MIB, linkConnections: 5 },
};
const QUICK: Scale = {
  bytes: 64 * MIB,
  seconds: 0.25,
  ...{ warmUp: 0.2, sessionWarmUp: 0.6 },
  messages: 200,
  idleStreams: 2000,
  ...{ linkBytes: 16 * MIB, linkConnections: 3 },
};

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    rounds: { type: 'string' },
    only: { type: 'string' },
    contenders: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(USAGE);
else await run();

/**
 * Contenders take turns, so that what else the machine does meets them alike: at works of a kind together, since the code of processes that have just begun is
 * slow for some seconds, and at others one by one. In a hurry they do bulk after small works, when it is warm.
 */
function inTurns(works: readonly Work[], quick: boolean): Work[][] {
  const turns = new Map<string, Work[]>();
  const bulk = works.filter(({ kind }) => kind === 'bulk');
  const ordered = quick ? [...works.filter((work) => !bulk.includes(work)), ...bulk] : works;
  for (const work of ordered) {
    const turn = quick && work.kind === 'bulk' ? 'small' : (work.kind ?? work.name);
    turns.set(turn, [...(turns.get(turn) ?? []), work]);
  }
  return [...turns.values()];
}

async function run(): Promise<void> {
  const scale = values.quick ? QUICK : FULL;
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
  const chosen = (name: string, list: string | undefined): boolean => list?.split(',').includes(name) ?? true;
  const works = WORKS.filter(
    ({ name, thorough }) =>
      chosen(name, values.only) && !(values.quick && values.only === undefined && thorough),
  );
  const versions: Record<string, string> = { node: process.version };
  const missing: string[] = [];
  const contenders = CONTENDERS.filter(({ name, needs }) => {
    if (!chosen(name, values.contenders)) return false;
    const version = needs?.version();
    if (needs !== undefined && version === undefined) missing.push(`${name}: install ${needs.what}`);
    if (version !== undefined) versions[name] = version;
    return needs === undefined || version !== undefined;
  });
  const progress = process.stderr.isTTY
    ? (text: string) => process.stderr.write(`\r\x1b[K${text}`)
    : () => undefined;

  const results = new Results();
  const failures: string[] = [];
  const manner = { scale, profiles: values.profile };
  const turns = inTurns(works, values.quick);
  const report = () => ({
    machine: `${cpus().length} x ${cpus()[0]?.model}`,
    versions,
    missing,
    failures,
    scale,
    rounds,
    results,
    goals: GOALS.map((goal) => results.standing(goal)),
  });
  const save = (): void => {
    if (values.json !== undefined && values.json !== '-') writeFileSync(values.json, asJson(report()));
  };
  for (let round = 1; round <= rounds; round++) {
    for (const turn of turns) {
      const waiting = contenders.values();
      const performNext = async (): Promise<void> => {
        for (const contender of waiting) {
          const mine = turn.filter((work) => work.contenders.includes(contender.name));
          await perform(contender, mine, manner, {
            begun: (work) => progress(`round ${round} of ${rounds}: ${contender.name}, ${work.name}`),
            measured: (work, numbers) => results.add(work.name, contender.name, numbers),
            failed: (work, error) => void failures.push(`${contender.name}, ${work.name}: ${error.message}`),
          });
        }
      };
      // Over long links most of the time is waiting, so in a hurry two of them do it at once.
      const atOnce = values.quick && turn[0]?.kind === 'links' ? 2 : 1;
      await Promise.all(Array.from({ length: atOnce }, performNext));
      save();
    }
    if (chosen(CODEC.name, values.only)) results.add(CODEC.name, 'codec', measureCodec(scale.seconds / 2));
    save();
  }
  progress('');

  if (values.json === '-') process.stdout.write(asJson(report()));
  else {
    const { machine, goals } = report();
    console.log(
      `${machine}; ${Object.entries(versions)
        .map((entry) => entry.join(' '))
        .join(', ')}\n`,
    );
    for (const work of [...works, CODEC])
      if (results.contenders(work.name).length > 0) console.log(table(results, work));
    if (values.quick)
      console.log(
        'Measured once, and little of it, while code is still being compiled, of which keymux has the most: a trend. Without --quick it is worth more.\n',
      );
    const whole = [values.only, values.contenders].every((choice) => choice === undefined);
    console.log(standings(whole ? goals : goals.filter(({ value }) => value !== undefined)));
    for (const line of missing) console.log(`missing: ${line}`);
    for (const line of failures) console.log(`FAILED: ${line}`);
  }
  if (failures.length > 0) process.exitCode = 1;
}

function asJson(report: object): string {
  return `${JSON.stringify(report, undefined, 2)}\n`;
}
