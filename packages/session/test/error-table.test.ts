import { GOAWAY, RST } from '@keymux/frames';
import { expect, test } from 'vitest';
import { SESSION_ERRORS, STREAM_ERRORS } from '../src/error-table.ts';
import {
  cannotSeal,
  carrierEnded,
  frameTooSlow,
  overload,
  protocolError,
  SessionError,
  StreamError,
  toSessionError,
} from '../src/errors.ts';

test.each(Object.entries(STREAM_ERRORS))('%s ends a stream with a status of RST_STREAM', (code, meaning) => {
  expect(new StreamError(code as never, 'why')).toMatchObject({
    ...meaning,
    scope: 'stream',
    message: 'why',
  });
  expect(Object.values(RST)).toContain(meaning.status);
});

test.each(Object.entries(SESSION_ERRORS))(
  '%s ends a session with a status of GOAWAY',
  (code, { scope, status }) => {
    expect(new SessionError(code, status, 'remote', 'why')).toMatchObject({ code, scope });
    expect(Object.values(GOAWAY)).toContain(status);
  },
);

test('the errors of a session are as the table has them, or more exact', () => {
  const parts = ({ code, scope, origin, status }: SessionError) => ({ code, scope, origin, status });
  for (const [error, code] of [
    [protocolError('x'), 'ERR_KEYMUX_PROTOCOL'],
    [overload('x'), 'ERR_KEYMUX_EXCESSIVE_LOAD'],
    [carrierEnded(1), 'ERR_KEYMUX_CARRIER_ENDED'],
  ] as const)
    expect(parts(error)).toEqual({ code, ...SESSION_ERRORS[code] });
  expect(parts(cannotSeal(1))).toMatchObject({ code: 'ERR_KEYMUX_KEY_FAILURE', origin: 'local' });
  expect(frameTooSlow(1).status).toBe(GOAWAY.EXCESSIVE_LOAD);
});

test('what nobody has foreseen is a fault of this side', () => {
  const { code, scope, origin, status } = toSessionError(new TypeError('no such thing'));
  expect([code, scope, origin, status]).toEqual([
    'ERR_KEYMUX_INTERNAL',
    'session',
    'local',
    GOAWAY.INTERNAL_ERROR,
  ]);
});
