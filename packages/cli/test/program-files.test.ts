import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { programFiles } from '../src/processes/program-files.ts';

let folder: string;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'keymux-test-')));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(path: string): Promise<string> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), '');
  return join(folder, path);
}

test('a program that was installed reads its packages, and none of them is named beside what it lies in', async () => {
  const script = await file('installed/node_modules/keymux/dist/main.js');
  await file('installed/node_modules/@keymux/keys/index.js');
  expect(await programFiles(script)).toEqual([join(folder, 'installed/node_modules')]);
});

test('a program that is developed reads what its links lead to, and where Node looks for packages from there', async () => {
  const script = await file('clone/packages/cli/dist/main.js');
  await file('clone/packages/keys/dist/index.js');
  await file('clone/node_modules/zod/index.js');
  await mkdir(join(folder, 'clone/node_modules/@keymux'));
  for (const [name, place] of [
    ['keys', 'keys'],
    ['keymux', 'cli'],
  ] as const)
    await symlink(join(folder, 'clone/packages', place), join(folder, 'clone/node_modules/@keymux', name));
  const found = await programFiles(script);
  expect(found.sort()).toEqual(
    ['clone/node_modules', 'clone/packages/cli', 'clone/packages/keys', 'clone/packages/node_modules/*'].map(
      (path) => join(folder, path),
    ),
  );
});
