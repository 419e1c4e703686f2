import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { readIdentityFile, readKeyFile } from '../src/index.ts';

let credentials: string;
let elsewhere: string;

beforeAll(async () => {
  credentials = await mkdtemp(join(tmpdir(), 'keymux-'));
  elsewhere = join(credentials, 'deeper');
  await mkdir(elsewhere);
  for (const folder of [credentials, elsewhere]) await writeFile(join(folder, 'key'), Buffer.alloc(32));
});
afterAll(() => rm(credentials, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

/** What is wrong with the mode of a file: what a key file warns of, and an identity file is refused for. */
async function faults(folder: string, mode: number): Promise<{ key: boolean; identity: boolean }> {
  const path = join(folder, 'key');
  await chmod(path, mode);
  const { warnings } = await readKeyFile(path);
  const refused = await readIdentityFile(path).catch((error: Error) => error.message);
  return { key: warnings.length > 0, identity: /has mode/.test(String(refused)) };
}

const NONE = { key: false, identity: false };
const BOTH = { key: true, identity: true };

// As root these files are readable whatever their mode.
test('a credential of systemd may be readable for a group that is none', async () => {
  vi.stubEnv('CREDENTIALS_DIRECTORY', `${credentials}/`);
  expect(await faults(credentials, 0o440)).toEqual(NONE);
  expect(await faults(credentials, 0o400)).toEqual(NONE);
});

test.each([0o444, 0o460, 0o450, 0o404])('but not more than that: %o', async (mode) => {
  vi.stubEnv('CREDENTIALS_DIRECTORY', credentials);
  expect(await faults(credentials, mode)).toEqual(BOTH);
});

test('what is elsewhere is none', async () => {
  expect(await faults(credentials, 0o440)).toEqual(BOTH);
  vi.stubEnv('CREDENTIALS_DIRECTORY', credentials);
  expect(await faults(elsewhere, 0o440)).toEqual(BOTH);
});
