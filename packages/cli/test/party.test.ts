import { KeyError } from '@keymux/keys';
import { SessionError } from '@keymux/session';
import { expect, test } from 'vitest';
import { exitCodeOf } from '../src/exit-codes.ts';
import { withParty } from '../src/route/party.ts';

const failing = (error: unknown): Promise<unknown> =>
  withParty('the proxy p.test', () => Promise.reject(error)).catch((error: unknown) => error);

test('where nobody answers a negotiation, no key was tried: that is no mismatch', async () => {
  const cause = new KeyError('ERR_KEYMUX_KEY_FAILURE', 'late', { scope: 'session', reason: 'timeout' });
  const late = new SessionError('ERR_KEYMUX_KEY_FAILURE', 12, 'remote', 'late', { cause });
  const error = await failing(late);
  expect(error).toMatchObject({ code: 'ERR_KEYMUX_NO_ANSWER', cause: late });
  expect(String(error)).toMatch(/the proxy p\.test does not answer/);
  expect(exitCodeOf(error)).toBe(3);
});

test('what names its place itself stays as it is', async () => {
  const away = new KeyError('ERR_KEYMUX_KEEPER_AWAY', 'the keeper at unix:k cannot be reached', {
    cause: new SessionError('ERR_KEYMUX_CARRIER', 0, 'remote', 'ended'),
  });
  const refused = Object.assign(new Error('connect ECONNREFUSED'), {
    code: 'ECONNREFUSED',
    syscall: 'connect',
  });
  const leaving = Object.assign(new Error('the peer is going away', { cause: away.cause }), {
    code: 'ERR_KEYMUX_GOING_AWAY',
  });
  expect(exitCodeOf(await failing(leaving))).toBe(6);
  const notWith = new Error('a bug');
  for (const error of [away, refused, leaving, notWith]) expect(await failing(error)).toBe(error);
});
