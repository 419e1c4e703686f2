import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { KeymuxProcess, run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { makeKey } from '../support/tunnel.ts';

const scope = new Scope();
afterEach(() => scope.close());

const FOLDER = fileURLToPath(new URL('../../packages/cli/systemd/', import.meta.url));
const UNITS = readdirSync(FOLDER).sort();
const SERVICES = UNITS.filter((name) => name.endsWith('.service'));
/** What `systemd-analyze security` may find at most, in tenths: from 50 on it calls a service exposed. */
const EXPOSURE = '20';

const hasSystemd = spawnSync('systemd-analyze', ['--version']).error === undefined;

/** The units, as if the program were installed. */
async function installed(): Promise<(name: string) => string> {
  const file = await scope.directory();
  const program = file('keymux');
  await writeFile(program, '#!/bin/sh\n', { mode: 0o755 });
  for (const name of UNITS) {
    const path = file(instance(name));
    await cp(FOLDER + name, path);
    await writeFile(path, (await readFile(path, 'utf8')).replaceAll('/usr/local/bin/keymux', program));
  }
  return file;
}

/** A template needs a name for what it is to be. */
const instance = (name: string): string => name.replace('@.', '@mail.');

test('there are units for what runs as a service', () => {
  expect(UNITS).toEqual([
    'keymux-keeper.service',
    'keymux-origin.service',
    'keymux-origin.socket',
    'keymux-pipe@.service',
    'keymux-proxy.service',
    'keymux-proxy.socket',
  ]);
});

describe.skipIf(!hasSystemd)('systemd', () => {
  test('understands the units', async () => {
    const file = await installed();
    const paths = UNITS.map((name) => file(instance(name)));
    const { code, stderr } = await run('systemd-analyze', ['verify', '--man=no', ...paths]);
    expect([code, stderr]).toEqual([0, '']);
  });

  test.each(SERVICES)('%s leaves the program little that it does not need', async (name) => {
    const file = await installed();
    const { code, stdout } = await run('systemd-analyze', [
      ...['security', '--offline=true', '--no-pager', `--threshold=${EXPOSURE}`, file(instance(name))],
    ]);
    expect(stdout).toMatch(/Overall exposure level/);
    expect(code).toBe(0);
  });

  test('says so if a unit is worse', async () => {
    const file = await installed();
    const path = file('keymux-origin.service');
    const rules = (await readFile(path, 'utf8')).replace(
      /^(Protect|Private|Restrict|SystemCall|DynamicUser).*$/gm,
      '',
    );
    await writeFile(path, rules);
    const { code } = await run('systemd-analyze', [
      ...['security', '--offline=true', '--no-pager', `--threshold=${EXPOSURE}`, path],
    ]);
    expect(code).not.toBe(0);
  });
});

describe('the command of', () => {
  const OPTIONS: Readonly<Record<string, object>> = {
    'keymux-origin.service': { host: ['a.test'] },
    'keymux-proxy.service': { clear: true },
    'keymux-pipe@.service': { decrypt: true, target: '127.0.0.1:1', source: '[127.0.0.1]:0' },
  };

  test.each(SERVICES)('%s runs with the configuration file that it names', async (name) => {
    const [, command = '', path = ''] =
      /^ExecStart=\/usr\/local\/bin\/keymux ([a-z]+) --config (\/etc\/keymux\/\S+\.json)$/m.exec(
        readFileSync(FOLDER + name, 'utf8'),
      ) ?? [];
    expect(path).toMatch(name.includes('@') ? /%i/ : new RegExp(`/${command}\\.json$`));
    const file = (await scope.directory())('keymux.json');
    const key = await makeKey(scope);
    const places: Readonly<Record<string, object>> = {
      pipe: { key },
      keeper: { key, listen: `unix:${file}.sock` },
    };
    await writeFile(
      file,
      JSON.stringify({ ...OPTIONS[name], ...(places[command] ?? { listen: '127.0.0.1:0' }) }),
    );
    const server = await KeymuxProcess.start(scope, [command], { KEYMUX_CONFIG: file });
    server.kill('SIGTERM');
    expect(await server.exited).toBe(0);
  });

  test.each(UNITS.filter((name) => name.endsWith('.socket')))('%s has a service of its name', (name) => {
    expect(UNITS).toContain(name.replace('.socket', '.service'));
  });
});
