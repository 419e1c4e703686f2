import { malformed } from '../errors.ts';
import type { Reader } from '../reader.ts';

/**
 * Reads `X` + stream ID (31) where it has to name a stream. There is no stream 0 to reset, so this ends the session
 * (spec 1.2).
 */
export function parseStreamId(frame: string, body: Reader): number {
  const streamId = body.u31();
  if (streamId === 0) throw malformed(`${frame} with stream ID 0`);
  return streamId;
}
