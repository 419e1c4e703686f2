import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { jsonLines, keymux } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';

const scope = new Scope();
afterEach(() => scope.close());

describe('keymux keygen', () => {
  test('writes 32 random bytes that only the owner can read, whatever the umask', async () => {
    const file = await scope.directory();
    for (const name of ['one', 'two']) {
      const { code, stdout } = await keymux(['keygen', file(name), '--json']);
      expect(code).toBe(0);
      expect(jsonLines(stdout)).toMatchObject([{ event: 'created', file: file(name) }]);
      const { mode, size } = await stat(file(name));
      expect([mode & 0o777, size]).toEqual([0o600, 32]);
    }
    const [one, two] = await Promise.all(['one', 'two'].map((name) => readFile(file(name))));
    expect(one?.equals(two as Buffer)).toBe(false);
  });

  test('never prints the key, and keeps standard output for scripts', async () => {
    const path = (await scope.directory())('key');
    const { stdout, stderr } = await keymux(['keygen', path]);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/label k-[0-9a-f]+/);
    const key = await readFile(path);
    for (const form of ['hex', 'base64', 'base64url', 'latin1'] as const)
      expect(stderr).not.toContain(key.toString(form));
  });

  test('never overwrites a file, nor what a link leads to', async () => {
    const file = await scope.directory();
    await writeFile(file('precious'), 'precious');
    await symlink(file('precious'), file('link'));
    await symlink(file('nothing'), file('dangling'));
    for (const name of ['precious', 'link', 'dangling']) {
      const { code, stderr } = await keymuxInside(['keygen', file(name)]);
      expect(code).toBe(2);
      expect(stderr).toMatch(/exists already.*never overwritten/);
    }
    expect(await readFile(file('precious'), 'utf8')).toBe('precious');
    await expect(stat(file('nothing'))).rejects.toThrow();
  });

  test('says why it cannot write', async () => {
    const file = await scope.directory();
    const { code, stderr } = await keymuxInside(['keygen', file('no/such/directory/key')]);
    expect(code).toBe(2);
    expect(stderr).toContain(file('no/such/directory'));
    expect((await keymuxInside(['keygen'])).code).toBe(2);
  });

  // Root may write everywhere.
  test.skipIf(process.getuid?.() === 0)('says so of a directory that is not to be written to', async () => {
    const file = await scope.directory();
    await mkdir(file('locked'), { mode: 0o500 });
    const { code, stderr } = await keymuxInside(['keygen', file('locked/key')]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/locked\/key cannot be made there: this user may not write to its directory/);
  });
});
