// Fuzzes: bundles test/fuzz with the sources into one file, which is fast and lets coverage be counted, and runs it.
import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const file = path('test/dist/fuzz.js');

const bundle = await rolldown({
  input: path('test/fuzz/main.ts'),
  platform: 'node',
  resolve: { conditionNames: ['@keymux/source', 'node', 'import', 'default'] },
  // Says in comments which file a part of the bundle is of.
  experimental: { attachDebugInfo: 'simple' },
  // Everything that is not ours stays outside; ours is linked from packages/.
  external: (id) => !/^[./]|^@keymux\/|^keymux$/.test(id),
});
await bundle.write({ file, sourcemap: true, codeSplitting: false });
await bundle.close();
// A thread's program is a file of its own, which is looked for beside who starts it.
copyFileSync(path('packages/keys/src/crypto/group14-thread.js'), path('test/dist/group14-thread.js'));

const { status } = spawnSync(process.execPath, ['--enable-source-maps', file, ...process.argv.slice(2)], {
  cwd: path('.'),
  stdio: 'inherit',
});
process.exitCode = status ?? 1;
