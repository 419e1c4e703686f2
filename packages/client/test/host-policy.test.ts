import { describe, expect, it } from 'vitest';
import { HostPolicy } from '../src/index.ts';

describe('the least level for a host', () => {
  const policy = new HostPolicy({
    default: 'passive',
    hosts: {
      'alpha.example': 'none',
      '.example': 'authenticated',
      '.inner.example': 'passive',
      'B.Inner.Example': 'none',
    },
  });

  it.each([
    ['alpha.example', 'none', '"alpha.example"'],
    ['x.example', 'authenticated', '".example"'],
    ['a.inner.example', 'passive', '".inner.example"'],
    ['x.y.inner.example', 'passive', '".inner.example"'],
    ['b.inner.example', 'none', '"b.inner.example"'],
    ['inner.example', 'authenticated', '".example"'],
    ['example', 'passive', 'all hosts'],
    ['notexample', 'passive', 'all hosts'],
    ['x.alpha.example', 'authenticated', '".example"'],
  ])('%s: %s, by %s', (host, level, entry) => {
    const requirement = policy.requirement(host);
    expect(requirement.level).toBe(level);
    expect(requirement.because).toContain(entry);
  });

  it('is none if nothing is said', () => {
    expect(new HostPolicy().requirement('a.example').level).toBe('none');
  });

  it.each(['', '.', 'a b', '*.example', 'a/b', 'a.example:', '__proto__ '])('"%s" is no host', (name) => {
    expect(() => new HostPolicy({ hosts: { [name]: 'none' } })).toThrow(
      expect.objectContaining({ code: 'ERR_KEYMUX_POLICY' }),
    );
  });

  it.each(['', 'sealed', 'Authenticated', 'constructor'])('"%s" is no level', (level) => {
    expect(() => new HostPolicy({ hosts: { 'a.example': level as 'none' } })).toThrow(/is no level/);
    expect(() => new HostPolicy({ default: level as 'none' })).toThrow(/is no level/);
  });
});
