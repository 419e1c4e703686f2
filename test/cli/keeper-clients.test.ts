import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { jsonLines, KeymuxProcess, run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { httpServer } from '../support/servers.ts';
import { makeKey } from '../support/tunnel.ts';
import { ALPHA, BETA } from '../support/victims.ts';

// Clients without a key: those of an origin that has its own, behind a proxy that has its own.
const GAMMA = 'gamma.test';
const scope = new Scope();
let file: (name: string) => string;
let keys: { alpha: string; work: string };
let keeper: KeymuxProcess;
let origin: KeymuxProcess;
let proxy: KeymuxProcess;
let port: number;

async function identity(name: string): Promise<string> {
  const args = ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file(name)];
  expect((await run('ssh-keygen', args)).code).toBe(0);
  return (await readFile(file(`${name}.pub`), 'utf8')).trim();
}

beforeAll(async () => {
  file = await scope.directory();
  keys = { alpha: await makeKey(scope, 'alpha'), work: await makeKey(scope, 'work') };
  const [host, alice] = [await identity('host'), await identity('alice')];
  await writeFile(file('authorized_keys'), `${alice}\n`);
  await writeFile(file('known_hosts'), `[${GAMMA}]:6121 ${host}\n`);
  const kept = ['--key', `${ALPHA}=${keys.alpha}`, '--proxy-key', keys.work];
  kept.push(
    '--host',
    GAMMA,
    '--host',
    BETA,
    '--identity',
    file('alice'),
    '--known-hosts',
    file('known_hosts'),
  );
  port = await httpServer(scope, (_request, response) => response.end('behind the proxy'));
  const own = ['--identity', file('host'), '--authorized-keys', file('authorized_keys')];
  const hosts = ['--key', `${ALPHA}=${keys.alpha}`, '--host', BETA, '--host', GAMMA, '--sealed'];
  [keeper, origin] = await Promise.all([
    KeymuxProcess.start(scope, ['keeper', ...kept, '--listen', place()]),
    KeymuxProcess.start(scope, ['origin', ...hosts, ...own]),
  ]);
  const allow = ['--allow', `127.0.0.1:${port}`, '--allow', origin.address];
  proxy = await KeymuxProcess.start(scope, ['proxy', '--key', keys.work, ...allow]);
});
afterAll(() => scope.close());

const place = () => `unix:${file('keys.sock')}`;
const kept = () => ['--keeper', place()];
const get = (host: string, ...args: readonly string[]) =>
  keymuxInside(['get', `keymux://${host}/`, '--connect-to', origin.address, ...args]);

describe('a client with a keeper', () => {
  test('get: end to end through a proxy, with a key for each', async () => {
    const { code, stdout, stderr } = await get(ALPHA, '--via', proxy.address, ...kept(), '--json');
    expect([code, stderr]).toEqual([0, '']);
    const [{ level, legs }] = jsonLines(stdout) as unknown as [{ level: string; legs: { level: string }[] }];
    expect([level, legs.map(({ level }) => level)]).toEqual([
      'authenticated',
      Array(3).fill('authenticated'),
    ]);
    const begun = keeper.all('begun').slice(-2);
    expect(begun).toMatchObject([
      { context: { role: 'initiator' }, offer: { authority: '' } },
      { context: { role: 'initiator' }, offer: { authority: ALPHA } },
    ]);
  });

  test('get: with the identity of the keeper, to a host that it knows', async () => {
    expect(await get(GAMMA, ...kept())).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/\(signed, /),
    });
    const unknown = await get(BETA, ...kept());
    expect([unknown.code, unknown.stderr]).toEqual([
      4,
      expect.stringMatching(/not known to the keeper.*its log/),
    ]);
    const { problem } = await keeper.next('refused');
    expect(problem).toMatch(/\[beta\.test\]:6121 is not in \S+known_hosts; it says that it is ssh-ed25519/);
  });

  test('get: a prompt is answered', async () => {
    const { stderr } = await get(ALPHA, ...kept(), '--clear');
    expect(stderr).toMatch(/alpha\.test -> client: sealed with key 2/);
  });

  test('connect: programs reach the proxy, also with another session after the first', async () => {
    const uplink = await KeymuxProcess.start(scope, ['connect', proxy.address, ...kept()]);
    const ask = () =>
      new Promise<string>((resolve, reject) => {
        const path = `http://127.0.0.1:${port}/`;
        request({ port: uplink.port, path }, (response) => resolve(text(response)))
          .on('error', reject)
          .end();
      });
    expect(await ask()).toBe('behind the proxy');
    uplink.kill('SIGHUP');
    await uplink.next('reloaded');
    expect(await ask()).toBe('behind the proxy');
    expect(await uplink.atLeast(2, 'connected')).toMatchObject(Array(2).fill({ level: 'authenticated' }));
  });

  test('explain: says that the keeper has the keys, and what decided so', async () => {
    const args = ['explain', `keymux://${ALPHA}/`, `keymux://${GAMMA}/`, '--via', 'proxy.test', ...kept()];
    const { code, stdout } = await keymuxInside([...args, '--json']);
    expect(code).toBe(0);
    const from = {
      keeper: place(),
      decidedBy: [{ option: 'keeper', value: place(), from: 'command line' }, {}],
    };
    const [alpha, gamma] = jsonLines(stdout);
    expect(alpha).toMatchObject({
      keys: [
        { ...from, name: 'a', authority: '', proves: 'shared key', level: 'authenticated' },
        { ...from, name: 'b', authority: ALPHA, proves: 'shared key' },
      ],
    });
    expect(gamma).toMatchObject({ keys: [{}, { ...from, proves: 'identity', algorithms: ['signed'] }] });
    const drawn = await keymuxInside(args);
    expect(drawn.stdout).toMatch(/\[b\] is made by the keeper at unix:\S+keys\.sock/);
    expect(drawn.stdout).not.toMatch(/undefined/);
  });
});

describe('nothing is sent with less than was asked for', () => {
  test.each<[string, () => string[], number, RegExp]>([
    [
      'a host that it has no key for',
      () => ['get', 'keymux://delta.test/'],
      2,
      /has no key for delta\.test: give it --key/,
    ],
    [
      'a key that proves nobody',
      () => ['get', `keymux://${ALPHA}/`, '--algorithm', 'anonymous'],
      2,
      /no key for alpha\.test that proves nobody: give it --anonymous/,
    ],
    [
      'the proxy, with a host key alone',
      () => ['connect', proxy.address, '--algorithm', 'anonymous'],
      2,
      /for the proxy/,
    ],
    [
      'a key beside it',
      () => ['get', `keymux://${ALPHA}/`, '--key', keys.alpha],
      2,
      /--key goes with keymux keeper/,
    ],
    [
      'one for the proxy',
      () => ['get', `keymux://${ALPHA}/`, '--via', 'p', '--proxy-key', 'k'],
      2,
      /--proxy-key goes/,
    ],
    ['an identity', () => ['connect', proxy.address, '--identity', 'agent'], 2, /--identity goes with/],
    ['in the clear', () => ['connect', proxy.address, '--clear'], 2, /--key or --keeper too/],
  ])('%s', async (_what, args, status, reason) => {
    const { code, stderr } = await keymuxInside([...args(), ...kept()]);
    expect([code, stderr]).toEqual([status, expect.stringMatching(reason)]);
  });

  test('no keeper', async () => {
    const { code, stderr } = await get(ALPHA, '--keeper', `unix:${file('none.sock')}`);
    expect([code, stderr]).toEqual([
      3,
      expect.stringMatching(/keeper at unix:\S+none\.sock cannot be reached/),
    ]);
  });
});

test('what a keeper of clients must be told', async () => {
  const refused = async (...args: readonly string[]) => {
    const { code, stderr } = await keymuxInside(['keeper', '--listen', 'unix:/x', ...args]);
    return [code, stderr];
  };
  expect(await refused('--proxy-identity', file('alice'))).toEqual([
    2,
    expect.stringMatching(/needs --known-hosts/),
  ]);
  expect(await refused('--known-hosts', file('known_hosts'))).toEqual([
    2,
    expect.stringMatching(/needs --identity/),
  ]);
});
