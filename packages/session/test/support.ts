import { GOAWAY } from '@keymux/frames';
import { UsageError } from '@keymux/session';
import { expect } from 'vitest';
import type { ScriptedPeer } from '../../../test/support/scripted-peer.ts';
import type { End } from '../../../test/support/session-pair.ts';

/** The session has failed with this GOAWAY status: it says so, says GOAWAY last, and then nothing any more. */
export function expectFailure(peer: ScriptedPeer, status: keyof typeof GOAWAY): void {
  const { error } = peer.take('error');
  expect(error, error.message).toMatchObject({ status: GOAWAY[status] });
  expect(['session', 'carrier']).toContain(error.scope);
  expect(peer.session.error).toBe(error);
  expect(peer.session.over).toBe(true);
  expect(peer.session.wantsInput).toBe(false);
  expect(peer.session.streamCount).toBe(0);
  expect(peer.session.nextDeadline()).toBeUndefined();
  expect(peer.sees().at(-1)).toMatchObject({ type: 'goaway', status: GOAWAY[status] });
  expect(peer.session.output()).toBeUndefined();
}

/** The code of the UsageError that a call throws. */
export function refusalOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as UsageError).code;
  }
  throw new Error('the call was accepted');
}

/** Nothing is bound to any key, except session frames. */
export function expectNothingBound(end: End): void {
  for (const [keyId, streams] of end.keys.bound) {
    expect(
      [...streams].filter((id) => id !== 0),
      `streams bound to key ${keyId}`,
    ).toEqual([]);
  }
}
