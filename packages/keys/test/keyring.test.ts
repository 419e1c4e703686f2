import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeyError, Keyring, PreSharedKey } from '../src/index.ts';
import { seeded } from './random.ts';

const KEY = new PreSharedKey(seeded('file')(32));

describe('a keyring', () => {
  it('finds a key for its label, authorities and roles, exactly', () => {
    const keyring = new Keyring();
    const label = keyring.add(KEY, { authorities: ['a.example', 'b.example'], roles: ['responder'] });
    expect(label).toBe(KEY.label);
    expect(label).toMatch(/^k-[0-9a-f]{16}$/);
    expect(keyring.find(label, 'a.example', 'responder')).toBe(KEY);
    for (const [wrongLabel, authority, role] of [
      ['other', 'a.example', 'responder'],
      [label, '', 'responder'],
      [label, 'c.example', 'responder'],
      [label, 'x.a.example', 'responder'],
      [label, 'a.example.', 'responder'],
      [label, 'a.example', 'initiator'],
    ] as const) {
      expect(keyring.find(wrongLabel, authority, role)).toBeUndefined();
    }
    expect(keyring.remove(label)).toBe(true);
    expect(keyring.find(label, 'a.example', 'responder')).toBeUndefined();
  });

  it('H15: takes labels and authorities of their grammar only, once each', () => {
    const keyring = new Keyring();
    keyring.add(KEY, { label: 'a', authorities: [''] });
    for (const label of [
      '',
      'a',
      'A',
      'ä',
      '../x',
      'a/b',
      'a b',
      '__Proto__',
      'x'.repeat(65),
      'a\n',
      'a\0',
      'anonymous',
    ]) {
      expect(() => keyring.add(KEY, { label, authorities: [''] }), label).toThrow(KeyError);
    }
    for (const authority of ['A.example', 'a/b', ' ', 'a_b', 'x'.repeat(254), 'a\n']) {
      expect(() => keyring.add(KEY, { label: 'b', authorities: [authority] }), authority).toThrow(KeyError);
    }
    expect(() => keyring.add(KEY, { label: 'b', authorities: [] })).toThrow(KeyError);
    expect(keyring.labels).toEqual(['a']);
  });

  it('H15: no label reaches anything but the table', () => {
    const keyring = new Keyring();
    keyring.add(KEY, { label: '__proto__', authorities: ['a.example'] });
    expect(keyring.find('__proto__', 'a.example', 'initiator')).toBe(KEY);
    const names = fc.oneof(
      fc.string(),
      fc.constantFrom('constructor', 'toString', 'hasOwnProperty', '../key', '__proto__x'),
    );
    fc.assert(
      fc.property(names, names, (label, authority) => {
        fc.pre(label !== '__proto__');
        expect(keyring.find(label, authority, 'initiator')).toBeUndefined();
      }),
    );
  });
});
