import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { KeymuxProcess, keymux, run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { echo, spipedMissing } from '../support/spiped.ts';
import { makeKey } from '../support/tunnel.ts';
import { ALPHA } from '../support/victims.ts';

// A keeper with the key of a pipe, and a pipe that decrypts and has none. The test that kills the keeper comes last.
const scope = new Scope();
let file: (name: string) => string;
let keys: { pipe: string; alpha: string };
let keeperArgs: string[];
let keeper: KeymuxProcess;
let server: KeymuxProcess;

beforeAll(async () => {
  file = await scope.directory();
  keys = { pipe: await makeKey(scope, 'pipe'), alpha: await makeKey(scope, 'alpha') };
  keeperArgs = ['keeper', '--config', file('keeper.json'), '--key', `${ALPHA}=${keys.alpha}`];
  keeperArgs.push('--listen', place(), '--listen', `${ALPHA}=${place('alpha')}`);
  await configure(keys.pipe);
  keeper = await KeymuxProcess.start(scope, keeperArgs);
  const { address } = await echo(scope);
  const args = ['pipe', '-d', '-s', '[127.0.0.1]:0', '-t', address, '--keeper', place()];
  server = await KeymuxProcess.start(scope, args);
});
afterAll(() => scope.close());

const place = (name = 'keeper') => `unix:${file(name)}.sock`;
const configure = (...pipeKey: readonly string[]) =>
  writeFile(file('keeper.json'), JSON.stringify({ 'pipe-key': pipeKey }));
const target = () => `[127.0.0.1]:${server.port}`;
const input = 'x'.repeat(5_000);

describe('pipes with a keeper', () => {
  test('both sides, and one with the key file of the other', async () => {
    const [kept, own] = await Promise.all([
      keymux(['pipe', '-t', target(), '--keeper', place()], { input }),
      keymux(['pipe', '-t', target(), '-k', keys.pipe], { input }),
    ]);
    expect([kept, own]).toEqual(Array(2).fill({ code: 0, stdout: input, stderr: '' }));
    const roles = keeper.all('begun').map(({ pipe }) => (pipe as { role: string }).role);
    expect(roles.sort()).toEqual(['client', 'server', 'server']);
    expect(await keeper.atLeast(3, 'key')).toHaveLength(3);
  });

  test.skipIf(spipedMissing)('spipe at the other end', async () => {
    expect(await run('spipe', ['-t', target(), '-k', keys.pipe], { input })).toMatchObject({
      ...{ code: 0, stdout: input },
    });
  });

  test('a peer with another key is refused, and the keeper writes down why', async () => {
    const { code } = await keymux(['pipe', '-t', target(), '-k', keys.alpha], { input });
    expect(code).toBe(4);
    expect(await keeper.next('refused')).toMatchObject({ code: 'ERR_KEYMUX_KEY_FAILURE' });
  });

  test.each<[string, () => string[], RegExp]>([
    ['a key file beside it', () => ['-k', keys.pipe], /--key goes with keymux keeper/],
    [
      'a label that it has no key for',
      () => ['--label', 'k-0'],
      /has no key k-0 for pipes: give it --pipe-key/,
    ],
    ['a socket for a host alone', () => ['--keeper', place('alpha')], /has no key for pipes/],
  ])('refused: %s', async (_what, args, reason) => {
    const more = args();
    const where = more.includes('--keeper') ? [] : ['--keeper', place()];
    const { code, stderr } = await keymuxInside(['pipe', '-t', target(), ...where, ...more]);
    expect([code, stderr]).toEqual([2, expect.stringMatching(reason)]);
  });

  test('a key that is taken out of the configuration is used no more, and again when it is back', async () => {
    const reload = async () => {
      const before = keeper.all('reloaded').length;
      keeper.kill('SIGHUP');
      await keeper.next('reloaded', before);
    };
    const ask = () => keymux(['pipe', '-t', target(), '-k', keys.pipe], { input });
    await configure();
    await reload();
    expect((await ask()).code).not.toBe(0);
    await configure(keys.alpha, keys.pipe);
    await reload();
    const several = await keymuxInside(['pipe', '-t', target(), '--keeper', place()]);
    expect(several.stderr).toMatch(/several keys for pipes; name one, --label LABEL: k-\w+, k-\w+/);
    await configure(keys.pipe);
    await reload();
    expect(await ask()).toMatchObject({ code: 0, stdout: input });
  });

  test('while it is away, connections fail and say why', async () => {
    keeper.kill('SIGKILL');
    await server.next('keeper-away');
    expect((await keymux(['pipe', '-t', target(), '-k', keys.pipe], { input })).code).not.toBe(0);
    const ends = await server.atLeast(1, 'connection-end');
    expect(ends.at(-1)).toMatchObject({ error: { code: 'ERR_KEYMUX_KEEPER_AWAY' } });
    await KeymuxProcess.start(scope, keeperArgs);
    await server.next('keeper-back');
    expect(await keymux(['pipe', '-t', target(), '-k', keys.pipe], { input })).toMatchObject({ code: 0 });
  });
});
