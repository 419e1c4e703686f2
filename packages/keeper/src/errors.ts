import { KeyError, type KeyErrorCode, keyFailure } from '@keymux/keys';
import type { Failed } from './messages.ts';

/** The other end of a keeper connection said what it may not say. Ends the connection. The message has nothing of what was said. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  readonly code = 'ERR_KEYMUX_KEEPER_PROTOCOL';
}

/** There is no keeper to ask now. Nothing has been sent to the peer; it can be tried again. `name` is that of the keeper, empty if it has none. */
export function keeperAway(name: string, problem: string, cause?: unknown): KeyError {
  const message = `${nameOfKeeper(name)} ${problem}; sessions go on, and keys can be negotiated again as soon as it is back`;
  return new KeyError('ERR_KEYMUX_KEEPER_AWAY', message, { cause });
}

export function nameOfKeeper(name: string): string {
  return name === '' ? 'the keeper' : `the keeper ${name}`;
}

/** What a caller learns of an error: what it is and what it ends, and no text, which may name what is the keeper's alone. */
export function failureOf(error: unknown): Pick<Failed, 'code' | 'scope' | 'reason'> {
  if (!(error instanceof KeyError)) return failureOf(keyFailure('keeper'));
  const { code, scope, reason } = error;
  return { code, scope, ...(reason === undefined ? {} : { reason }) };
}

/** The same on the caller's side. */
export function errorOf({ code, scope, reason }: Failed): KeyError {
  if (reason !== undefined) return keyFailure(reason);
  return new KeyError(code, `${PROBLEMS[code] ?? `the keeper failed (${code})`}; its log says more`, {
    scope,
  });
}

const PROBLEMS: Partial<Record<KeyErrorCode, string>> = {
  ERR_KEYMUX_KEY_UNKNOWN:
    'the keeper has no key or identity with this label for this host and this side; give it one, or correct label or host',
  ERR_KEYMUX_KEEPER_BUSY: 'the keeper has too much to do, or too much to do for this process; try again',
  ERR_KEYMUX_KEEPER_AWAY:
    'the keeper cannot reach the one that has the keys; sessions go on, and keys can be negotiated again as soon as it is back',
  ERR_KEYMUX_IDENTITY: 'the keeper cannot use its identity',
  ERR_KEYMUX_HOST_KEY: 'the host is not known to the keeper, or proved another identity than the known one',
  ERR_KEYMUX_KEY_USAGE: 'the keeper does not take this request',
};
