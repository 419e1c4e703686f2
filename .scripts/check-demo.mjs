// Runs the demo as a user does and fails unless stdout is one JSON document in which every flow is ok.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

if (!existsSync(new URL('../packages/cli/src/main.ts', import.meta.url))) {
  console.log('demo: not written yet');
  process.exit(0);
}

const npm = process.env.npm_execpath;
const [command, ...prefix] = npm?.endsWith('npm-cli.js') ? [process.execPath, npm] : ['npm'];
const { status, stdout, error } = spawnSync(command, [...prefix, 'start', '--', '--json'], {
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
});
if (error) throw error;
if (status !== 0) fail(`npm start -- --json ended with status ${status}`, stdout);

let report;
try {
  report = JSON.parse(stdout);
} catch {
  fail('stdout is not one JSON document', stdout);
}
if (!Array.isArray(report.flows) || report.flows.length === 0) fail('no flows in the report', stdout);
const bad = report.flows.filter((flow) => flow.ok !== true);
if (bad.length > 0) fail(`not ok: ${bad.map((flow) => flow.id).join(', ')}`, stdout);
console.log(`demo: ${report.flows.length} flows ok`);

function fail(reason, output) {
  console.error(`demo: ${reason}\n${output}`);
  process.exit(1);
}
