import type { KeyInfo } from '@keymux/session';
import { protection } from '@keymux/streams';
import { describe, expect, it } from 'vitest';
import { Router } from '../src/router.ts';

const handler = (): never => {
  throw new Error('not called');
};
const router = new Router([
  { name: 'alpha.test', handler },
  { name: 'beta.test', handler },
]);

function find(host: string, authority: string | undefined, method = 'GET'): string | number {
  const key = authority === undefined ? undefined : ({ authority, level: 'authenticated' } as KeyInfo);
  const head = { method, path: '/', host, scheme: 'http', headers: [] };
  const found = router.find(head, protection(key));
  return typeof found === 'number' ? found : found.name;
}

describe('attack C11: a key speaks for its own host and for no other', () => {
  it.each([
    ['alpha.test', 'alpha.test', 'alpha.test'],
    ['beta.test', 'beta.test', 'beta.test'],
    ['alpha.test', 'beta.test', 421],
    ['beta.test', 'alpha.test', 421],
    ['alpha.test', '', 421],
    ['gamma.test', 'gamma.test', 421],
  ])('a request for %s under a key for "%s" gives %s', (host, authority, expected) => {
    expect(find(host, authority)).toBe(expected);
  });

  it('has no default host', () => {
    expect(find('gamma.test', undefined)).toBe(421);
  });

  it('ignores the port, and finds clear requests by name', () => {
    expect(find('alpha.test:6121', undefined)).toBe('alpha.test');
  });

  it('does not connect', () => {
    expect(find('alpha.test:443', undefined, 'CONNECT')).toBe(405);
  });
});
