import { requireCount } from '../checks.ts';
import { TYPE } from '../constants.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';

/**
 * Begins the next generation of a key, as the first frame sealed under it (spec 1.5, 4.3).
 *
 *     count (64)
 */
export interface KeyUpdate {
  readonly type: 'key-update';
  /** Envelopes that the sender has sealed under the generation before. */
  readonly count: number;
}

export function parseKeyUpdate(_flags: number, body: Reader): KeyUpdate {
  const count = body.u64();
  body.expectEnd();
  return { type: 'key-update', count };
}

export function encodeKeyUpdate(frame: KeyUpdate): Uint8Array {
  requireCount('KEY_UPDATE count', frame.count);
  return controlFrame(TYPE.KEY_UPDATE, 0, 8).u64(frame.count).finish();
}
