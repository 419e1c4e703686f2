import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { clientAt as clientBehindFront, originOf } from '../src/connection-origin.ts';

const clientAt = (
  remoteAddress: string | undefined,
  countedBy: 'address' | 'connection' = 'address',
): string => originOf({ remoteAddress, remotePort: 1 } as Socket, countedBy).client;

test.each([
  ['192.0.2.1', '192.0.2.1', true],
  ['192.0.2.1', '192.0.2.2', false],
  ['192.0.2.1', '::ffff:192.0.2.1', true],
  ['2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff', true],
  ['2001:db8:1:2::1', '2001:db8:1:3::1', false],
  ['2001:db8:1:2::1', '2001:db9:1:2::1', false],
  ['::1', '127.0.0.1', false],
  ['fe80::1%eth0', 'fe80::2%eth0', true],
])('%s and %s are one client: %s (spec 7.4)', (one, other, same) => {
  expect(clientAt(one) === clientAt(other)).toBe(same);
});

test('each connection is a client of its own where addresses say nothing', () => {
  expect(clientAt('192.0.2.1', 'connection')).not.toBe(clientAt('192.0.2.1', 'connection'));
  expect(clientAt(undefined)).not.toBe(clientAt(undefined));
});

test.each(['nonsense', '192.0.2.1:80', '<script>'])(
  'what a front says instead of an address counts as it is: %s',
  (text) => {
    expect(clientBehindFront(text)).toBe(text);
  },
);
