import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const MAIN = new URL('./compare/dist/main.js', import.meta.url).pathname;
const run = promisify(execFile);

// That it measures, and not what: numbers of a busy machine say nothing.
test('npm run bench measures works for contenders, and compares them', { timeout: 120_000 }, async () => {
  const choice = ['--only', 'T4,T9', '--contenders', 'keymux,tls-in-tls'];
  const { stdout } = await run(process.execPath, [MAIN, '--quick', '--json', '-', ...choice]);
  const { results, goals, failures, versions } = JSON.parse(stdout);
  expect(failures).toEqual([]);
  expect(versions.node).toBe(process.version);
  expect(results.T4.keymux[0].perSecond).toBeGreaterThan(0);
  expect(results.T4['tls-in-tls'][0].perSecond).toBeGreaterThan(0);
  expect(results.T9.codec[0].parse).toBeGreaterThan(0);
  expect(goals.map(({ title }: { title: string }) => title)).toContain('T4 perSecond: keymux / tls-in-tls');
});
