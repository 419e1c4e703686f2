import { expect, test } from 'vitest';
import { passedSocket } from '../src/service/passed-sockets.ts';

const PASSED = { LISTEN_PID: String(process.pid), LISTEN_FDS: '1', LISTEN_FDNAMES: 'web' };
const THREE = { ...PASSED, LISTEN_FDS: '3', LISTEN_FDNAMES: 'web:other:other' };

test.each([
  ['systemd', PASSED, 3],
  ['systemd:web', PASSED, 3],
  ['systemd:web', THREE, 3],
  ['systemd', { LISTEN_PID: PASSED.LISTEN_PID, LISTEN_FDS: '1' }, 3],
  ['systemd:last', { ...THREE, LISTEN_FDNAMES: 'a:b:last' }, 5],
])('%s of %j is descriptor %i', (text, environment, fd) => {
  expect(passedSocket(text, environment)).toEqual({ fd });
});

test.each([
  ['systemd', {}, /passed no socket: start the \.socket unit/],
  ['systemd', { ...PASSED, LISTEN_FDS: '0' }, /passed no socket/],
  ['systemd', { ...PASSED, LISTEN_FDS: '-1' }, /passed no socket/],
  ['systemd', { ...PASSED, LISTEN_FDS: '1e3' }, /passed no socket/],
  ['systemd', { ...PASSED, LISTEN_FDS: '9999' }, /passed no socket/],
  ['systemd', { ...PASSED, LISTEN_PID: '1' }, /another process \(LISTEN_PID is 1\)/],
  ['systemd', { LISTEN_FDS: '1' }, /another process/],
  ['systemd', THREE, /3 sockets: write systemd:NAME/],
  ['systemd:', PASSED, /no socket of this name; there are: web/],
  ['systemd:none', THREE, /no socket of this name; there are: web, other, other/],
  ['systemd:other', THREE, /2 sockets of this name/],
  ['systemd:fourth', { ...THREE, LISTEN_FDNAMES: 'a:b:c:fourth' }, /no socket of this name/],
])('%s of %j is refused', (text, environment, reason) => {
  expect(passedSocket(text, environment)).toMatch(reason);
});

test.each(['127.0.0.1:80', 'unix:/systemd', 'systemd.example:80', 'mysystemd', ''])(
  '%s is something else',
  (text) => {
    expect(passedSocket(text, PASSED)).toBeUndefined();
  },
);
