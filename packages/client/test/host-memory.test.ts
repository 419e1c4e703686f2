import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeyInfo } from '@keymux/session';
import { protection } from '@keymux/streams';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HostMemory } from '../src/index.ts';

const HOST = 'a.test';
const DAY = 86_400;
let directory: string;
let path: string;
let now: number;
const clock = () => now;
beforeEach(async () => {
  now = Date.UTC(2030, 0, 1);
  directory = await mkdtemp(join(tmpdir(), 'keymux-test-'));
  path = join(directory, 'below', 'hosts.json');
});
afterEach(() => rm(directory, { recursive: true }));

const key = (changes: Partial<KeyInfo> = {}) =>
  protection({
    ...{ keyId: 1, generation: 0, level: 'authenticated', early: false, algorithm: 3, label: 'k' },
    ...{ authority: HOST, peer: 'psk:k', forwardSecrecy: true },
    ...changes,
  });
const says = (value: string): [string, string][] => [['keymux-level', value]];
const DEMAND = says(`authenticated; max-age=${DAY}`);

async function learned(value: string, head = key(), host = HOST): Promise<HostMemory> {
  const memory = HostMemory.inMemory({ clock });
  await memory.learn(host, says(value), head);
  return memory;
}

describe('what a host demands', () => {
  it.each([
    [`authenticated; max-age=${DAY}`, 'authenticated'],
    [`passive;max-age=${DAY}`, 'passive'],
    [`AUTHENTICATED ; Max-Age=${DAY} ;later=1`, 'authenticated'],
    [`quantum; max-age=${DAY}`, 'authenticated'],
    ['authenticated; max-age=9999999999', 'authenticated'],
  ])('"%s" is remembered as %s', async (value, level) => {
    expect((await learned(value)).requirement(HOST)?.level).toBe(level);
  });

  it.each([
    '',
    'authenticated',
    'none; max-age=10',
    'authenticated; max-age=',
    'authenticated; max-age=-1',
    'authenticated; max-age=1e9',
    'authenticated; max-age=99999999999',
    '; max-age=10',
    'authenticated; max-age=0',
  ])('"%s" is not', async (value) => {
    expect((await learned(value)).requirement(HOST)).toBeUndefined();
  });

  it.each([
    ['in the clear', protection(undefined)],
    ['under a key that proves nobody', key({ level: 'passive' })],
    ['under a key not proven yet', key({ level: 'none' })],
    ['under a connection key', key({ authority: '' })],
    ["under another host's key", key({ authority: 'b.test' })],
  ])('%s nothing is planted, renewed or taken back', async (_where, head) => {
    expect((await learned(`authenticated; max-age=${DAY}`, head)).requirement(HOST)).toBeUndefined();
    const memory = await learned(`passive; max-age=${DAY}`);
    await memory.learn(HOST, says('authenticated; max-age=0'), head);
    await memory.learn(HOST, says(`authenticated; max-age=${9 * DAY}`), head);
    expect(memory.requirement(HOST)?.level).toBe('passive');
    now += DAY * 1000;
    expect(memory.requirement(HOST)).toBeUndefined();
  });

  it('holds until its time is over, and the host can renew it', async () => {
    const memory = await learned(`authenticated; max-age=${DAY}`);
    now += DAY * 1000 - 1;
    expect(memory.requirement(HOST)?.level).toBe('authenticated');
    await memory.learn(HOST, DEMAND, key());
    now += 1;
    expect(memory.requirement(HOST)?.level).toBe('authenticated');
    now += DAY * 1000;
    expect(memory.requirement(HOST)).toBeUndefined();
  });

  it.each([60, 1800, 3600])(
    'is renewed by every host that goes on demanding for %d seconds',
    async (maxAge) => {
      const demand = `authenticated; max-age=${maxAge}`;
      const memory = await learned(demand);
      for (let answer = 0; answer < 10; answer++) {
        now += maxAge * 900;
        expect(memory.requirement(HOST)?.level).toBe('authenticated');
        await memory.learn(HOST, says(demand), key());
      }
      now += maxAge * 1500;
      expect(memory.requirement(HOST)).toBeUndefined();
      await memory.learn(HOST, says(demand), key());
      expect(memory.requirement(HOST)?.level).toBe('authenticated');
    },
  );

  it('is the host’s own to take back', async () => {
    const memory = await learned(`authenticated; max-age=${DAY}`);
    await memory.learn(HOST, says('authenticated; max-age=0'), key());
    expect(memory.requirement(HOST)).toBeUndefined();
  });

  it('holds for hosts below only if it says so, and the highest counts', async () => {
    const memory = await learned(`authenticated; max-age=${DAY}`);
    expect(memory.requirement(`x.${HOST}`)).toBeUndefined();
    await memory.learn(HOST, says(`authenticated; max-age=${DAY}; include-subdomains`), key());
    await memory.learn(`x.${HOST}`, says(`passive; max-age=${DAY}`), key({ authority: `x.${HOST}` }));
    expect(memory.requirement(`x.${HOST}`)?.level).toBe('authenticated');
    expect(memory.requirement(`not${HOST}`)).toBeUndefined();
    expect(memory.requirement('test')).toBeUndefined();
  });
});

describe('the file', () => {
  it('is readable by this user only, and says later what it was told', async () => {
    await (await HostMemory.open(path, { clock })).learn(HOST, DEMAND, key());
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const later = await HostMemory.open(path, { clock });
    expect(later.requirement(HOST)).toEqual({
      level: 'authenticated',
      because: `a.test itself, until 2030-01-02, remembered in ${path}`,
    });
  });

  it('loses nothing when several write at once', async () => {
    const hosts = Array.from({ length: 12 }, (_, index) => `h${index}.test`);
    await Promise.all(
      hosts.map(async (host) =>
        (await HostMemory.open(path, { clock })).learn(host, DEMAND, key({ authority: host })),
      ),
    );
    const memory = await HostMemory.open(path, { clock });
    expect(hosts.filter((host) => memory.requirement(host) === undefined)).toEqual([]);
  });

  it('is not written again for what it says already', async () => {
    const memory = await HostMemory.open(path, { clock });
    await memory.learn(HOST, DEMAND, key());
    const before = (await stat(path)).ino;
    await memory.learn(HOST, DEMAND, key());
    expect((await stat(path)).ino).toBe(before);
  });

  it.each([
    ['empty', ''],
    ['cut off', '{"version":1,"hosts":['],
    ['of another version', '{"version":2,"hosts":[]}'],
    [
      'with a level below all',
      '{"version":1,"hosts":[{"host":"a.test","level":"none","includeSubdomains":false,"expires":1}]}',
    ],
    [
      'without a date',
      '{"version":1,"hosts":[{"host":"a.test","level":"passive","includeSubdomains":false}]}',
    ],
    ['with more than it may have', '{"version":1,"hosts":[],"more":1}'],
  ])('%s: it refuses, says what to do, and leaves it as it is', async (_how, content) => {
    await (await HostMemory.open(path, { clock })).learn(HOST, DEMAND, key());
    const memory = await HostMemory.open(path, { clock });
    await writeFile(path, content);
    const damaged = expect.objectContaining({
      code: 'ERR_KEYMUX_STATE_FILE',
      message: expect.stringMatching(/hosts\.json is damaged.*Restore it, or delete it/),
    });
    await expect(HostMemory.open(path, { clock })).rejects.toEqual(damaged);
    await expect(memory.learn('b.test', DEMAND, key({ authority: 'b.test' }))).rejects.toEqual(damaged);
    expect(await readFile(path, 'utf8')).toBe(content);
  });

  it('is refused if others can change it', async () => {
    await (await HostMemory.open(path, { clock })).learn(HOST, DEMAND, key());
    await chmod(path, 0o620);
    await expect(HostMemory.open(path, { clock })).rejects.toThrow(/others can change it\. Run: chmod/);
  });

  it('cannot be written: the demand is not taken for remembered', async () => {
    await writeFile(join(directory, 'below'), 'no directory');
    await expect(HostMemory.open(path, { clock })).rejects.toThrow();
    await rm(join(directory, 'below'));
    const memory = await HostMemory.open(path, { clock });
    await writeFile(join(directory, 'below'), 'no directory');
    await expect(memory.learn(HOST, DEMAND, key())).rejects.toThrow(/cannot be written/);
  });
});
