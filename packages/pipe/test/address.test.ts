import { formatPipeAddress, PipeAddressError, parsePipeAddress } from '@keymux/pipe';
import { expect, test } from 'vitest';

test.each([
  ['/run/a.sock', { path: '/run/a.sock' }],
  ['mail.example:8025', { host: 'mail.example', port: 8025 }],
  ['localhost:0', { host: 'localhost', port: 0 }],
  ['127.0.0.1:80', { host: '127.0.0.1', port: 80 }, '[127.0.0.1]:80'],
  ['[127.0.0.1]:80', { host: '127.0.0.1', port: 80 }],
  ['[::1]:65535', { host: '::1', port: 65_535 }],
  ['[2001:db8::25]:25', { host: '2001:db8::25', port: 25 }],
])('%s', (text, address, written = text) => {
  expect(parsePipeAddress(text)).toEqual(address);
  expect(formatPipeAddress(parsePipeAddress(text))).toBe(written);
});

test.each([
  ...[
    '',
    'host',
    ':80',
    'host:',
    'host:port',
    'host:65536',
    'host:-1',
    'host:80:80',
    'host: 80',
    'host:0x50',
  ],
  ...['::1:80', '[::1]', '[::1:80', '[::1]80', '[]:80', '[host]:80', '[127.0.0]:80', '[::1]]:80', '[::g]:80'],
  ...['relative/path', 'unix:/path', 'a b:80', 'tcp://host:80', 'host:80/', 'host:80\n'],
])('%j is refused', (text) => {
  expect(() => parsePipeAddress(text)).toThrow(PipeAddressError);
  expect(() => parsePipeAddress(text)).toThrow(/write \/path\/of\/socket, host:port/);
});
