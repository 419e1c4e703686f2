import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

// The bundle has to find what is no module of it, such as the programs of threads.
test('npm run fuzz works', async () => {
  const args = ['.scripts/fuzz.mjs', '--seconds', '0.1', '--seed', '1', '--target', 'spiped-handshake'];
  const { stderr } = await promisify(execFile)(process.execPath, args);
  expect(stderr).toMatch(/^spiped-handshake +[1-9]\d* runs .* seed 1\n$/);
});
