import { requireInteger } from '../checks.ts';
import { TYPE } from '../constants.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';

/**
 * Asks for, or is, an echo (spec 1.2).
 *
 *     ID (32)
 */
export interface Ping {
  readonly type: 'ping';
  /** Odd if the client asked, even if the server did; an echo repeats it. */
  readonly id: number;
}

export function parsePing(_flags: number, body: Reader): Ping {
  const id = body.u32();
  body.expectEnd();
  return { type: 'ping', id };
}

export function encodePing(frame: Ping): Uint8Array {
  requireInteger('PING ID', frame.id, 0, 0xffff_ffff);
  return controlFrame(TYPE.PING, 0, 4).u32(frame.id).finish();
}
