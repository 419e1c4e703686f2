import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Running, type SpawnOptions, spawnRole } from '../src/index.ts';

const script = fileURLToPath(new URL('./probe.mjs', import.meta.url));
let folder: string;
let files: readonly [string, string, string];
const running: Running[] = [];
/** As built: it is used by a process that has nothing of the test's. */
const LIBRARY = new URL('../dist/index.js', import.meta.url).href;
/** Starts a script, and says as which process when it is at it. */
const STARTER = `
const [library, script] = process.argv.slice(1);
const { spawnRole } = await import(library);
const one = spawnRole({ script, args: [], permissions: undefined, env: {}, collects: false, stdin: false });
one.port.receive(() => process.stdout.write(String(one.pid)));
`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keymux-test-'));
  await chmod(folder, 0o755);
  files = [join(folder, 'readable'), join(folder, 'writable'), join(folder, 'foreign')];
  for (const file of files) await writeFile(file, '');
});
afterEach(() => {
  for (const one of running.splice(0)) one.kill();
});
afterAll(() => rm(folder, { recursive: true }));

function start(options: Partial<SpawnOptions> = {}): Running {
  const [readable, writable] = files;
  const permissions = { read: [readable, dirname(script)], write: [writable], threads: false };
  const started = spawnRole({
    ...{ script, args: files, permissions, env: { PATH: process.env.PATH }, collects: false, stdin: false },
    ...options,
  });
  running.push(started);
  return started;
}

const said = (one: Running): Promise<Record<string, unknown>> =>
  new Promise((resolve) => one.port.receive((message) => resolve(message as Record<string, unknown>)));

describe('a process of a server', () => {
  test('reads and writes what it is given, and has no children and no threads', async () => {
    const one = start();
    expect(one.restricted).toBe(true);
    expect(await said(one)).toMatchObject({
      ...{ read: true, write: true, listen: true },
      ...{ readOther: false, writeOther: false, spawn: false, thread: false },
    });
  });

  test('has threads if they are its job', async () => {
    const permissions = { read: ['*'], write: [], threads: true };
    expect(await said(start({ permissions }))).toMatchObject({
      ...{ readOther: true, thread: true },
      ...{ write: false, writeOther: false, spawn: false },
    });
  });

  test('without permissions has all that its user may do, and says so', async () => {
    const one = start({ permissions: undefined });
    expect(one.restricted).toBe(false);
    expect(await said(one)).toMatchObject({ readOther: true, writeOther: true, spawn: true });
  });

  test('is not bounded by a path that Node would read as several, and says so', () => {
    const permissions = { read: [join(folder, 'a,b')], write: [], threads: false };
    expect(start({ permissions }).restricted).toBe(false);
  });

  test('has nothing of the environment and the options of who starts it', async () => {
    process.env.NODE_OPTIONS = '--max-old-space-size=100';
    const { environment, options } = await said(start()).finally(() => delete process.env.NODE_OPTIONS);
    // NODE_CHANNEL_* is taken away by Node when it has read it; PWD and the like are the shell's.
    expect((environment as string[]).filter((name) => name.startsWith('NODE'))).toEqual([]);
    expect(options).toEqual([]);
  });

  test.skipIf(process.platform !== 'linux')('leaves no core dump', async () => {
    const one = start();
    await said(one);
    expect(await readFile(`/proc/${one.pid}/limits`, 'utf8')).toMatch(/^Max core file size +0 +0 /m);
  });

  test.skipIf(process.getuid?.() !== 0)('is another user, in no group but that one', async () => {
    const permissions = { read: ['*'], write: [], threads: false };
    const one = start({ permissions, user: { uid: 65_534, gid: 65_534 } });
    expect(await said(one)).toMatchObject({ uid: 65_534, groups: [65_534] });
  });

  test('tells how it ended, once it is asked to', async () => {
    const one = start();
    await said(one);
    one.kill();
    expect(await one.exited).toEqual({ code: null, signal: 'SIGKILL' });
  });

  test.skipIf(process.platform !== 'linux')('ends with who has started it, whatever it is at', async () => {
    const busy = join(folder, 'busy.mjs');
    await writeFile(busy, "process.send('busy', () => { for (;;); });");
    const starter = spawn(process.execPath, ['--input-type=module', '-e', STARTER, LIBRARY, busy], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH },
    });
    const [text] = (await once(starter.stdout, 'data')) as [Buffer];
    const pid = Number(String(text));
    starter.kill('SIGKILL');
    for (;;) {
      const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
      if (state === '' || /^\d+ \(.*\) Z/.test(state)) break;
      await delay(10);
    }
  });

  test('that cannot be started has ended', async () => {
    const one = start({ script: join(folder, 'missing.mjs'), permissions: undefined });
    await one.port.closed;
    expect((await one.exited).code).toBe(1);
    one.port.send({ nobody: 'hears it' });
    await delay(0);
  });
});
