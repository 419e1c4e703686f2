// Makes `npm start` and `npm test` work straight after a clone or a pull: installs what package-lock.json
// names when it is missing or older, then builds what changed. Quick and silent when nothing did.
// Everything goes to stderr: stdout belongs to the command that follows (`npm start -- --json`).
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

if (modified('node_modules/.package-lock.json') < modified('package-lock.json')) {
  console.error('keymux: installing dependencies');
  // .npmrc makes npm silent; here its errors must be seen.
  run(...npm(), 'ci', '--loglevel=warn', '--no-audit', '--no-fund');
}
// After a clone that takes a while too.
if (modified('packages/cli/dist/index.js') === 0) console.error('keymux: building');
run(process.execPath, 'node_modules/typescript/bin/tsc', '-b', 'packages/cli', 'packages/hand-over');

function modified(path) {
  return statSync(new URL(`../${path}`, import.meta.url), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** The npm that runs this script, or the one in PATH when node runs it directly. */
function npm() {
  const path = process.env.npm_execpath;
  return path?.endsWith('npm-cli.js') ? [process.execPath, path] : ['npm'];
}

function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
