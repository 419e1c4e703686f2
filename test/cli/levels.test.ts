import { chmod, readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { Keyring, LocalKeeper, readKeyFile } from '@keymux/keys';
import { type HostOptions, Origin } from '@keymux/origin';
import { afterEach, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { jsonLines } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { makeKey } from '../support/tunnel.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** An origin for a.test that tells what headers came, and sets a cookie; `get` asks it. */
async function serve(options: Partial<HostOptions> = {}) {
  const key = await makeKey(scope);
  const keyring = new Keyring();
  const promptLabel = keyring.add((await readKeyFile(key)).key, { authorities: ['a.test'] });
  const asked: string[] = [];
  const handler: HostOptions['handler'] = ({ headers }) => {
    const told = headers.filter(([name]) => name === 'cookie' || name === 'authorization');
    asked.push(told.map(([name, value]) => `${name}: ${value}`).join(', '));
    return { status: 200, headers: [['set-cookie', 'id=42']], body: 'page' };
  };
  const origin = new Origin({
    keeper: new LocalKeeper({ keyring, replaysKnownSince: 0 }),
    hosts: [{ name: 'a.test', handler, promptLabel, ...options }],
  });
  const { port } = (await origin.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(() => origin.close());
  const get = (...args: string[]) =>
    keymuxInside(['get', 'keymux://a.test/', '--connect-to', `127.0.0.1:${port}`, ...args]);
  return { key, asked, get, file: await scope.directory() };
}

describe('keymux get and the host memory', () => {
  test('a host that demanded sealing is not asked in the clear any more', async () => {
    const { key, get, file, asked } = await serve({ sealed: true });
    const memory = ['--host-memory', file('hosts.json')];
    expect((await get('--clear', '--key', key, ...memory)).code).toBe(0);
    const again = await get('--clear', '--key', key, ...memory);
    expect(again.code).toBe(5);
    expect(again.stderr).toMatch(/a\.test itself, until .*hosts\.json; nothing was sent/);
    expect((await get(...memory)).code).toBe(5);
    expect((await get('--key', key, ...memory)).code).toBe(0);
    expect(asked).toHaveLength(2);
    expect((await get('--clear', '--key', key, '--host-memory', 'none')).code).toBe(0);
  });

  test('by default it is in the directory for configuration', async () => {
    const { key, get, file } = await serve({ sealed: true });
    delete process.env.KEYMUX_HOST_MEMORY;
    process.env.XDG_CONFIG_HOME = file('config');
    try {
      expect((await get('--key', key)).code).toBe(0);
      expect(await readFile(file('config/keymux/hosts.json'), 'utf8')).toContain('"a.test"');
    } finally {
      process.env.KEYMUX_HOST_MEMORY = 'none';
      delete process.env.XDG_CONFIG_HOME;
    }
  });

  test('a damaged one ends the command with status 2, before anything is sent', async () => {
    const { get, file, asked } = await serve();
    await writeFile(file('hosts.json'), '{', { mode: 0o600 });
    const { code, stderr } = await get('--host-memory', file('hosts.json'));
    expect(code).toBe(2);
    expect(stderr).toMatch(/hosts\.json is damaged.*delete it/);
    expect(asked).toEqual([]);
  });
});

describe('keymux get --require', () => {
  test.each(['a.test=authenticated', '.test=passive', '*=authenticated'])('%s', async (rule) => {
    const { key, get } = await serve();
    const clear = await get('--require', rule);
    expect(clear.code).toBe(5);
    expect(clear.stderr).toMatch(/is required by the policy for.*Negotiate a key that speaks for a\.test/);
    expect((await get('--require', rule, '--key', key)).code).toBe(0);
  });

  test.each(['a.test', 'a.test=high', 'a b=passive'])('%s is refused', async (rule) => {
    const { get } = await serve();
    expect((await get('--require', rule)).code).toBe(2);
  });
});

describe('keymux get --cookie-jar and --credentials', () => {
  test('a cookie goes back over streams as strong as it came over', async () => {
    const { key, get, file, asked } = await serve();
    const jar = ['--cookie-jar', file('jar.json')];
    for (const args of [['--key', key], [], ['--key', key]])
      expect((await get(...args, ...jar)).code).toBe(0);
    expect(asked).toEqual(['', '', 'cookie: id=42']);
  });

  test('credentials go to a host that is proven, and to nobody else', async () => {
    const { key, get, file, asked } = await serve();
    await writeFile(file('login'), 'alice:secret\n', { mode: 0o600 });
    const login = ['--credentials', file('login')];
    const clear = await get(...login);
    expect(clear.code).toBe(5);
    expect(clear.stderr).not.toContain('secret');
    expect((await get(...login, '--key', key)).code).toBe(0);
    expect(asked).toEqual([`authorization: Basic ${Buffer.from('alice:secret').toString('base64')}`]);
    await chmod(file('login'), 0o644);
    expect((await get(...login, '--key', key)).code).toBe(2);
    await writeFile(file('login'), 'no colon');
    expect((await get(...login, '--key', key)).code).toBe(2);
  });
});

describe('keymux get --early', () => {
  test('sends a GET at once and says so; a POST waits', async () => {
    const { key, get } = await serve();
    const early = ['--key', key, '--algorithm', 'psk', '--early'];
    expect(jsonLines((await get(...early, '--json')).stdout)).toMatchObject([{ status: 200, early: true }]);
    expect((await get(...early)).stderr).toContain('sent as early data');
    const post = await get(...early, '--data', 'x', '--json');
    expect(jsonLines(post.stdout)).toMatchObject([{ status: 200, early: false }]);
  });

  test.each([[[]], [['--algorithm', 'psk-x25519']], [['--algorithm', 'psk', '--clear']]])(
    'with %j it is refused',
    async (args) => {
      const { key, get } = await serve();
      const { code, stderr } = await get('--key', key, '--early', ...args);
      expect([code, stderr]).toEqual([2, expect.stringMatching(/--early needs --algorithm psk/)]);
    },
  );
});
