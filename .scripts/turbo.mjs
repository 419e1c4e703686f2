// turbo run with telemetry off, which only the environment can say.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const turbo = fileURLToPath(new URL('../node_modules/turbo/bin/turbo', import.meta.url));
const env = { ...process.env, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' };
const { status, error } = spawnSync(process.execPath, [turbo, 'run', ...process.argv.slice(2)], {
  env,
  stdio: 'inherit',
});
if (error) throw error;
process.exitCode = status ?? 1;
