import { describe, expect, it } from 'vitest';
import { parseDestination } from '../src/authority.ts';

describe('destinations', () => {
  it.each([
    ['example.com:443', 'example.com', 443],
    ['EXAMPLE.com.:443', 'example.com', 443],
    ['192.0.2.1:22', '192.0.2.1', 22],
    ['[2001:db8::1]:65535', '2001:db8::1', 65535],
    ['xn--bcher-kva.example:1', 'xn--bcher-kva.example', 1],
    ['my_host:8080', 'my_host', 8080],
  ])('%s', (text, host, port) => {
    expect(parseDestination(text)).toEqual({ host, port });
  });

  it.each([
    '',
    ':80',
    'example.com',
    'example.com:',
    'example.com:0',
    'example.com:65536',
    'example.com:+80',
    'example.com:8 0',
    'example.com:0x50',
    'example.com:80:80',
    'user@example.com:80',
    'http://example.com:80',
    'example.com/x:80',
    'exam ple.com:80',
    'example..com:80',
    '.example.com:80',
    '-a.test:80',
    'a-.test:80',
    'bücher.example:80',
    '127.1:80',
    '127.0.1:80',
    '2130706433:80',
    '0x7f000001:80',
    '0x7f.0.0.1:80',
    '0177.0.0.1:80',
    '127.0.0.01:80',
    '127.0.0.1.:80',
    '1.2.3.4.5:80',
    '256.1.1.1:80',
    '::1:80',
    '[::1]',
    '[::1]80',
    '[::1%lo]:80',
    '[127.0.0.1]:80',
    '[]:80',
    '[example.com]:80',
    '::ffff:127.0.0.1:80',
    `${'a'.repeat(64)}.test:80`,
    `${'a.'.repeat(127)}test:80`,
  ])('refuses "%s"', (text) => {
    expect(parseDestination(text)).toBeUndefined();
  });
});
