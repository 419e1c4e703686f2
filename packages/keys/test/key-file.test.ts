import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createKeyFile, PreSharedKey, readKeyFile } from '../src/index.ts';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keymux-'));
  path = join(folder, 'key');
});
afterEach(() => rm(folder, { recursive: true }));

describe('createKeyFile', () => {
  it('writes 32 bytes that only the owner can read', async () => {
    const { key, warnings } = await createKeyFile(path);
    const content = await readFile(path);
    expect(content).toHaveLength(32);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(key.label).toBe(new PreSharedKey(content).label);
    expect(warnings).toEqual([]);
    expect((await createKeyFile(`${path}2`)).key.label).not.toBe(key.label);
  });

  it('never overwrites, nor follows a link', async () => {
    await writeFile(path, 'precious');
    await symlink(join(folder, 'elsewhere'), `${path}-link`);
    for (const taken of [path, `${path}-link`]) {
      await expect(createKeyFile(taken)).rejects.toMatchObject({
        code: 'ERR_KEYMUX_KEY_FILE',
        message: expect.stringContaining('never overwritten'),
      });
    }
    expect(await readFile(path, 'utf8')).toBe('precious');
    expect(await readdir(folder)).toEqual(['key', 'key-link']);
  });
});

describe('readKeyFile', () => {
  it('reads any file of 32 bytes to 1 MiB', async () => {
    for (const size of [32, 33, 1024 * 1024]) {
      const content = Buffer.alloc(size, 7);
      await writeFile(path, content, { mode: 0o600 });
      const { key, warnings } = await readKeyFile(path);
      expect(key.label).toBe(new PreSharedKey(content).label);
      expect(warnings).toEqual([]);
    }
  });

  it('refuses a file that is too short or too large, before it reads it', async () => {
    for (const size of [0, 31, 1024 * 1024 + 1, 2 ** 40]) {
      await writeFile(path, '');
      await truncate(path, size);
      await expect(readKeyFile(path)).rejects.toMatchObject({ code: 'ERR_KEYMUX_KEY_FILE', scope: 'usage' });
    }
    for (const size of [0, 31, 1024 * 1024 + 1]) {
      expect(() => new PreSharedKey(new Uint8Array(size))).toThrow(
        expect.objectContaining({ code: 'ERR_KEYMUX_KEY_FILE' }),
      );
    }
  });

  it('refuses what is no regular file or does not exist, and says what to do', async () => {
    await mkdir(path);
    await expect(readKeyFile(path)).rejects.toMatchObject({
      message: expect.stringContaining('not a regular file'),
    });
    await expect(readKeyFile('/dev/zero')).rejects.toMatchObject({ code: 'ERR_KEYMUX_KEY_FILE' });
    await expect(readKeyFile(join(folder, 'none'))).rejects.toMatchObject({
      code: 'ERR_KEYMUX_KEY_FILE',
      message: expect.stringContaining('keymux keygen'),
    });
  });

  it.skipIf(process.platform === 'win32')('warns if others can read or change it', async () => {
    await writeFile(path, Buffer.alloc(32, 7));
    for (const [mode, warned] of [
      [0o600, 0],
      [0o400, 0],
      [0o640, 1],
      [0o604, 1],
      [0o620, 1],
    ] as const) {
      await chmod(path, mode);
      expect((await readKeyFile(path)).warnings).toHaveLength(warned);
    }
  });
});
