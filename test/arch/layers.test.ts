import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

// The layer rule is only as good as the linter configuration that states it, so the real Biome reads one
// file per case here, in a copy of the monorepo that has our configuration and package.json files only.

const MONOREPO = fileURLToPath(new URL('../..', import.meta.url));
const BIOME = join(MONOREPO, 'node_modules/@biomejs/biome/bin/biome');

const LAYER = 'lint/style/noRestrictedImports';
const GLOBAL = 'lint/style/noRestrictedGlobals';
const NODE = 'lint/correctness/noNodejsModules';
const UNDECLARED = 'lint/correctness/noUndeclaredDependencies';
const CONSOLE = 'lint/suspicious/noConsole';
const DEFAULT = 'lint/style/noDefaultExport';
const RANDOM = 'plugin';

const PACKAGES = [
  'frames',
  'keys',
  'session',
  'streams',
  'proxy',
  'client',
  'origin',
  'pipe',
  'keeper',
  'hand-over',
  'processes',
  'trace',
  'cli',
];
const MAY_IMPORT: Record<string, readonly string[]> = {
  frames: [],
  keys: [],
  session: ['frames'],
  streams: ['frames', 'keys', 'session'],
  proxy: ['frames', 'keys', 'session', 'streams'],
  client: ['frames', 'keys', 'session', 'streams'],
  origin: ['frames', 'keys', 'session', 'streams'],
  pipe: ['keys'],
  keeper: ['keys'],
  'hand-over': ['frames', 'keys', 'session', 'streams'],
  processes: ['hand-over', 'keeper', 'keys', 'streams'],
  trace: ['frames', 'keys'],
  cli: [
    'frames',
    'keys',
    'session',
    'streams',
    'proxy',
    'client',
    'origin',
    'pipe',
    'keeper',
    'hand-over',
    'processes',
    'trace',
  ],
};

interface Case {
  readonly directory: string;
  readonly code: string;
  /** Rules that must report the file; none of the others in RULES may. */
  readonly reports: readonly string[];
}

const RULES = [LAYER, GLOBAL, NODE, UNDECLARED, CONSOLE, DEFAULT, RANDOM];

const cases: Case[] = [
  ...PACKAGES.flatMap((from) => PACKAGES.filter((to) => to !== from).map((to) => crossImport(from, to))),

  legal('packages/session/src', `import type { Frame } from '@keymux/frames';\nexport type F = Frame;`),
  broken(
    'packages/session/src',
    `import type { Key } from '@keymux/keys';\nexport type K = Key;`,
    LAYER,
    UNDECLARED,
  ),
  broken('packages/session/src', `export { open } from '@keymux/streams';`, LAYER, UNDECLARED),
  broken('packages/session/src', `export const late = import('@keymux/keys');`, LAYER, UNDECLARED),

  broken('packages/session/src', `import '@keymux/frames/dist/reader.js';`, LAYER),
  broken('packages/streams/src', `import '../../session/src/engine.ts';`, LAYER),
  broken('packages/streams/src/carriers', `import '../../../session/src/engine.ts';`, LAYER),
  broken('packages/session/test', `import '../../frames/src/reader.ts';`, LAYER),
  broken('test/arch', `import '../../packages/frames/src/reader.ts';`, LAYER),
  broken('test/arch', `import '@keymux/frames/src/reader.ts';`, LAYER),
  legal('packages/session/src/trackers', `import '../engine.ts';`),
  legal('packages/session/test', `import '../src/engine.ts';`),
  legal('test/arch', `import '@keymux/frames';\nimport '../support/peer.ts';`),

  ...['frames', 'session'].flatMap((pure) => [
    broken(`packages/${pure}/src`, `import 'node:crypto';`, NODE),
    ...[
      'setTimeout',
      'setInterval',
      'setImmediate',
      'Date',
      'performance',
      'Buffer',
      'process',
      'globalThis',
    ].map((name) => broken(`packages/${pure}/src`, `export const used = ${name};`, GLOBAL)),
    legal(`packages/${pure}/src`, `export const used = new TextEncoder();`),
    legal(
      `packages/${pure}/test`,
      `import 'node:crypto';\nexport const used = Buffer.from('').length + Date.now();`,
    ),
  ]),
  legal('packages/streams/src', `import 'node:net';\nexport const used = setTimeout;`),
  legal('packages/keys/src', `import 'node:crypto';`),

  broken('packages/keys/src', `export const nonce = Math.random();`, RANDOM),
  broken('packages/cli/src', `export const jitter = Math['random']();`, RANDOM),
  broken('packages/proxy/src', `console.log('x');`, CONSOLE),
  legal('packages/cli/src', `console.log('x');`),
  broken('packages/client/src', `export default 1;`, DEFAULT),
];

let root: string;
let reported: Map<string, Set<string>>;

beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'keymux-layers-')));
  for (const name of ['.biome.json', '.biome', '.gitignore', 'package.json']) {
    await cp(join(MONOREPO, name), join(root, name), { recursive: true });
  }
  for (const name of await readdir(join(MONOREPO, 'packages'))) {
    const manifest = join('packages', name, 'package.json');
    await mkdir(join(root, 'packages', name), { recursive: true });
    await cp(join(MONOREPO, manifest), join(root, manifest));
  }
  for (const [number, { directory, code }] of cases.entries()) {
    await mkdir(join(root, directory), { recursive: true });
    await writeFile(join(root, directory, `case-${number}.ts`), `${code}\n`);
  }
  reported = await lint(root);
});

afterAll(() => rm(root, { recursive: true, force: true }));

test.each(cases.map((checked, number) => ({ ...checked, number })))(
  '$directory: $code',
  ({ directory, reports, number }) => {
    const found = [...(reported.get(join(directory, `case-${number}.ts`)) ?? [])];
    expect(found.filter((rule) => RULES.includes(rule)).sort()).toEqual([...reports].sort());
  },
);

test('every package has a row in the table', async () => {
  expect((await readdir(join(MONOREPO, 'packages'))).sort()).toEqual([...PACKAGES].sort());
});

/** Runs Biome over the directory; which rules reported an error in which file. */
async function lint(directory: string): Promise<Map<string, Set<string>>> {
  const output = await new Promise<string>((resolve, reject) => {
    const args = [BIOME, 'lint', '--reporter=github', '--max-diagnostics=none'];
    execFile(process.execPath, args, { cwd: directory, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      if (error && typeof error.code !== 'number') reject(error);
      else if (!stdout.includes('::error')) reject(new Error(`Biome reported nothing: ${stderr}`));
      else resolve(stdout);
    });
  });
  const found = new Map<string, Set<string>>();
  for (const [, rule = '', path = ''] of output.matchAll(/^::error title=([^,]+),file=([^,]+),/gm)) {
    const file = relative(directory, path);
    found.set(file, (found.get(file) ?? new Set()).add(rule));
  }
  return found;
}

function crossImport(from: string, to: string): Case {
  const name = to === 'cli' ? 'keymux' : `@keymux/${to}`;
  const layer = MAY_IMPORT[from]?.includes(to) ? [] : [LAYER];
  // A package may import what its layer allows, but must name it in its package.json first.
  const undeclared = declares(from, name) ? [] : [UNDECLARED];
  return broken(`packages/${from}/src`, `import '${name}';`, ...layer, ...undeclared);
}

function declares(from: string, name: string): boolean {
  const file = new URL(`../../packages/${from}/package.json`, import.meta.url);
  const { dependencies = {} } = JSON.parse(readFileSync(file, 'utf8')) as { dependencies?: object };
  return Object.hasOwn(dependencies, name);
}

function legal(directory: string, code: string): Case {
  return broken(directory, code);
}

function broken(directory: string, code: string, ...reports: string[]): Case {
  return { directory, code, reports };
}
