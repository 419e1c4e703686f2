import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { DEFAULT_FRONT_LIMITS, DEFAULT_PROXY_LIMITS } from '@keymux/proxy';
import type { Budget } from '@keymux/session';
import { afterEach, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { Scope } from '../support/scope.ts';

const scope = new Scope();
afterEach(() => scope.close());

const SERVERS = {
  proxy: ['proxy', '--clear'],
  origin: ['origin', '--host', 'a.test'],
  front: ['front', '--host', 'a.test=127.0.0.1:1'],
};

/** The message of a server that must end with status 2. */
async function refused(...args: readonly string[]): Promise<string> {
  const { code, stderr } = await keymuxInside(args);
  expect(code).toBe(2);
  return stderr;
}

/** The limits that a server has, as it says itself to who names a wrong one. */
async function namesOf(server: keyof typeof SERVERS): Promise<string[]> {
  const said = await refused(...SERVERS[server], '--limit', 'no-such-limit=1');
  return (/there are: (.*)/.exec(said)?.[1] ?? '').split(', ');
}

const SPEC = readFileSync(new URL('../../spec/errors.md', import.meta.url), 'utf8');

/** The named limits of the tables of spec 7.2 and 7.3, with their defaults in milliseconds and bytes. */
function documented(): Map<string, number> {
  const rows = SPEC.split('\n').map((line) => line.split('|').map((cell) => cell.trim()));
  const limits = new Map<string, number>();
  for (const [, first = '', , third = '', fourth = ''] of rows) {
    const name = /^`([a-z-]+)`$/.exec(first)?.[1];
    if (name === undefined) continue;
    const number = Number(/^[0-9,]+/.exec(third)?.[0].replaceAll(',', ''));
    if (/^[0-9,]+$/.test(fourth)) {
      limits.set(`${name}-burst`, number);
      limits.set(`${name}-per-second`, Number(fourth.replaceAll(',', '')));
    } else limits.set(name, / s$/.test(third) ? number * 1000 : number);
  }
  return limits;
}

/** The same from the code. */
function coded(): Map<string, number> {
  const { budgets, ...numbers } = { ...DEFAULT_PROXY_LIMITS, ...DEFAULT_FRONT_LIMITS };
  const dashed = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const limits = new Map(Object.entries(numbers).map(([name, value]) => [dashed(name), value]));
  for (const [name, budget] of Object.entries(budgets) as [string, number | Budget][]) {
    if (typeof budget === 'number') limits.set(dashed(name), budget);
    else {
      limits.set(`${dashed(name)}-burst`, budget.burst);
      limits.set(`${dashed(name)}-per-second`, budget.perSecond);
    }
  }
  return limits;
}

describe('limits have names, in one place (spec 7.2 to 7.4)', () => {
  test('the tables of the specification have those of the code, with the same defaults', () => {
    const sorted = (limits: Map<string, number>): [string, number][] => [...limits].sort();
    expect(sorted(documented())).toEqual(sorted(coded()));
  });

  test('all of them can be set, at one server or another', async () => {
    const all = [...(await namesOf('proxy')), ...(await namesOf('origin')), ...(await namesOf('front'))];
    expect([...new Set(all)].sort()).toEqual([...documented().keys()].sort());
  });

  test.each([
    ['connections', /connections: write NAME=NUMBER|connections must be a whole number/],
    ['connections=', /connections must be a whole number from 1 to 1000000/],
    ['connections=0', /connections must be/],
    ['connections=1.5', /connections must be/],
    ['connections=1e3', /connections must be/],
    ['connections=-1', /connections must be/],
    ['connections=many', /connections must be/],
    ['stream-window=65535', /stream-window must be a whole number from 65536 to 2147483647/],
    ['pings=3', /there is no limit "pings"; there are: .*pings-burst/],
    ['pings-burst=0', /pings-burst must be/],
    ['toString=1', /there is no limit "toString"/],
    ['=1', /there is no limit ""/],
  ])('--limit %s is refused', async (text, message) => {
    expect(await refused(...SERVERS.proxy, '--limit', text)).toMatch(message);
  });

  test.each([
    [{ limit: { connections: '5000' } }, undefined],
    [{ limit: { connections: 'x' } }, /connections must be/],
    [{ limit: { connections: null } }, /connections must be/],
    [{ limit: { connection: 5 } }, /there is no limit "connection"/],
    [{ limit: 5 }, /write NAME=NUMBER; in a file, an object with names and numbers/],
  ])('in a file: %j', async (config, message) => {
    const path = (await scope.directory())('keymux.json');
    await writeFile(path, JSON.stringify({ ...config, listen: 'nowhere' }));
    const said = await refused(...SERVERS.proxy, '--config', path);
    if (message === undefined) expect(said).not.toContain('limit');
    else expect(said).toMatch(message);
  });
});
