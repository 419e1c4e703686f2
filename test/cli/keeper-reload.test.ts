import { mkdir, readFile, rename, rmdir, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { KeymuxProcess } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { makeKey } from '../support/tunnel.ts';
import { ALPHA, BETA } from '../support/victims.ts';

// One keeper and one origin for all tests, each of which leaves the keeper with the key of alpha alone.
const scope = new Scope();
let file: (name: string) => string;
let keys: { alpha: string; beta: string };
let keeper: KeymuxProcess;
let origin: KeymuxProcess;

beforeAll(async () => {
  file = await scope.directory();
  keys = { alpha: await makeKey(scope, 'alpha'), beta: await makeKey(scope, 'beta') };
  await configure([`${ALPHA}=${keys.alpha}`]);
  keeper = await KeymuxProcess.start(scope, ['keeper', '--config', file('keeper.json'), '--listen', place()]);
  const args = ['origin', '--host', ALPHA, '--host', BETA, '--keeper', place()];
  // As it is by default: what the keeper says has to reach the process that has the sessions.
  origin = await KeymuxProcess.start(scope, [...args, '--workers', '1'], { KEYMUX_SINGLE_PROCESS: 'false' });
});
afterAll(() => scope.close());

const place = () => `unix:${file('keeper.sock')}`;
const configure = (key: readonly string[], more: object = {}) =>
  writeFile(file('keeper.json'), JSON.stringify({ key, 'audit-log': file('audit.log'), ...more }));
const audited = async (name = 'audit.log') => readFile(file(name), 'utf8');

/** Has the keeper read its files again; resolves with what it says of that. */
async function reload(event: 'reloaded' | 'reload-refused') {
  const before = keeper.all(event).length;
  keeper.kill('SIGHUP');
  return keeper.next(event, before);
}

const get = (host: string, key: string) =>
  keymuxInside(['get', `keymux://${host}/`, '--key', key, '--connect-to', origin.address]);

describe('keymux keeper, SIGHUP', () => {
  test('a host that is added can be reached, and is prompted for; one that is taken out cannot any more', async () => {
    expect((await get(BETA, keys.beta)).code).toBe(4);
    await configure([`${ALPHA}=${keys.alpha}`, `${BETA}=${keys.beta}`]);
    await reload('reloaded');
    expect(await origin.next('key-there')).toMatchObject({ host: BETA });
    expect(await get(BETA, keys.beta)).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/level auth/),
    });
    const prompted = ['get', `keymux://${BETA}/login`, '--key', keys.beta, '--clear'];
    const { stderr } = await keymuxInside([...prompted, '--connect-to', origin.address]);
    expect(stderr).toMatch(/beta\.test -> client: sealed with key 2/);
    await configure([`${ALPHA}=${keys.alpha}`]);
    await reload('reloaded');
    expect(await origin.next('key-gone')).toMatchObject({ host: BETA });
    expect((await get(BETA, keys.beta)).code).toBe(4);
    expect((await get(ALPHA, keys.alpha)).code).toBe(0);
  });

  test.each<[string, () => Promise<void>, RegExp]>([
    ['no JSON', () => writeFile(file('keeper.json'), '{"key":'), /not JSON/],
    ['an unknown option', () => configure([], { keys: [] }), /there is no option "keys"/],
    ['no key', () => configure([]), /nothing to keep/],
    ['a key file that is not there', () => configure([`${ALPHA}=${keys.alpha}`, file('none')]), /none/],
  ])('%s is refused, and everything stays as it was', async (_what, spoil, reason) => {
    await spoil();
    expect(await reload('reload-refused')).toMatchObject({ error: expect.stringMatching(reason) });
    expect((await get(ALPHA, keys.alpha)).code).toBe(0);
    await configure([`${ALPHA}=${keys.alpha}`]);
  });

  test('a log that cannot be written is refused too, and the old one goes on', async () => {
    await rename(file('audit.log'), file('audit.log.0'));
    await mkdir(file('audit.log'));
    expect(await reload('reload-refused')).toMatchObject({
      error: expect.stringMatching(/cannot be written/),
    });
    const before = await audited('audit.log.0');
    expect((await get(ALPHA, keys.alpha)).code).toBe(0);
    expect((await audited('audit.log.0')).length).toBeGreaterThan(before.length);
    await rmdir(file('audit.log'));
    await rename(file('audit.log.0'), file('audit.log'));
  });

  test('a log that was given another name is let go of, and a new one begun', async () => {
    await rename(file('audit.log'), file('audit.log.1'));
    await get(ALPHA, keys.alpha);
    await reload('reloaded');
    const before = await audited('audit.log.1');
    expect(before).toMatch(/"event":"key"/);
    expect(await audited()).toBe('');
    await get(ALPHA, keys.alpha);
    expect(await audited()).toMatch(/"event":"key"/);
    expect(await audited('audit.log.1')).toBe(before);
  });

  test('where it listens cannot change, and it says so', async () => {
    await configure([`${ALPHA}=${keys.alpha}`], { group: true });
    await reload('reloaded');
    expect(keeper.all('not-reloaded')).toMatchObject([{ option: '--group' }]);
    await configure([`${ALPHA}=${keys.alpha}`]);
  });
});
