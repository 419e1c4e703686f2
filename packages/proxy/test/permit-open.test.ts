import { describe, expect, it } from 'vitest';
import { permits } from '../src/permit-open.ts';

describe('permitopen=', () => {
  it.each([
    [[], 'db.example', 5432, false],
    [['db.example:5432'], 'db.example', 5432, true],
    [['db.example:5432'], 'db.example', 5433, false],
    [['db.example:5432'], 'x.db.example', 5432, false],
    [['db.example:*'], 'db.example', 1, true],
    [['*:443'], 'anything.example', 443, true],
    [['*:443'], 'anything.example', 80, false],
    [['*:*'], '192.0.2.1', 80, true],
    [['a:1', 'b:2'], 'b', 2, true],
    [['a:1', 'b:2'], 'b', 1, false],
    [['2001:db8::1:22'], '2001:DB8::1', 22, true],
    [['2001:db8::1:22'], '2001:db8::1:22', 22, false],
    [['localhost:80'], '127.0.0.1', 80, false],
  ])('%j lets %s:%i through: %s', (list, host, port, expected) => {
    expect(permits(list, { host, port })).toBe(expected);
  });
});
