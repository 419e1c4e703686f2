import { encodeControl } from '@keymux/frames';
import { afterEach, describe, expect, test } from 'vitest';
import { ANNOUNCEMENT, Attacker } from '../support/attacker.ts';
import { clearRequest, clearSyn } from '../support/forge.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, failureOf, SECRET, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => {
  expect(Object.getOwnPropertyNames(Object.prototype).sort()).toEqual(OWN);
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  return scope.close();
});

const OWN = Object.getOwnPropertyNames(Object.prototype).sort();
const NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'tostring',
  'valueof',
  'hasownproperty',
  '__definegetter__',
  'then',
  'length',
];

describe('H22: prototype pollution', () => {
  test.each(NAMES)('a header named %s is a header like any other', async (name) => {
    const victims = await setVictims(scope);
    for (const key of [undefined, await victims.key(ALPHA)]) {
      const headers = [[name, 'polluted']] as const;
      expect(await tell(victims.client.request({ host: ALPHA, path: '/', headers, key }))).toMatchObject({
        status: 200,
      });
      expect(victims.delivered.at(-1)?.headers).toEqual(headers);
    }
  });

  test.each(NAMES)('%s as host, path or method names nothing', async (name) => {
    const { client } = await setVictims(scope);
    for (const request of [
      { host: name, path: '/' },
      { host: `${name}:80`, path: '/' },
      { host: ALPHA, path: name },
      { host: ALPHA, path: '/', method: name },
    ]) {
      const told = await tell(client.request(request)).catch((error: Error) => error);
      if (!(told instanceof Error)) expect([400, 421]).toContain(told.status);
      expect(JSON.stringify(told)).not.toContain(SECRET);
    }
    expect(client.session.canOpen).toBe(true);
  });

  test('settings with IDs that are indices or names of nothing change nothing', async () => {
    const { port, delivered } = await setVictims(scope);
    const attacker = await Attacker.connect(scope, port);
    const ids = [0, 1, 2, 3, 5, 6, 8, 9, 0x7fffff, 0xffffff, 0x5f5f70]; // "__p"
    const entries = ids.map((id) => ({ id, value: 0xffffffff, flags: 3 }));
    attacker.send(
      ANNOUNCEMENT,
      encodeControl({ type: 'settings', clear: true, entries }),
      clearSyn(
        1,
        clearRequest('GET', ALPHA, '/', [
          ['__proto__', '1'],
          ['constructor', '2'],
        ]),
        { fin: true },
      ),
    );
    while (attacker.replies.size + attacker.goaways.length === 0) await new Promise(setImmediate);
    expect([...attacker.replies.values()]).toEqual(['200 OK']);
    expect(delivered).toHaveLength(1);
  });

  test.each(NAMES)('a key is not found under the label or authority %s', async (name) => {
    const { client, keys } = await setVictims(scope);
    for (const request of [
      { label: name, authority: ALPHA },
      { label: keys.of(ALPHA), authority: name },
    ]) {
      expect(await failureOf(client.negotiate({ algorithm: 3, ...request }))).toBeDefined();
    }
  });
});
