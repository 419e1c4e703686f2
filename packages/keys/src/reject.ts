import { keyFailure } from './errors.ts';
import { Reader } from './reader.ts';

/** Why a responder turns a run down before it looks at the message (spec 3.3). */
export const REJECT_REASON = {
  UNKNOWN_ALGORITHM: 1,
  NOT_ALLOWED: 2,
  TOO_MANY_RUNS: 3,
  NO_RENEGOTIATION: 4,
  NOT_NOW: 5,
} as const;

/** Data of a REJECT: `reason (8) | n (8) | n times ALG_ID (8)`, the ALG_IDs ascending. */
export function encodeReject(reason: number, algorithms: readonly number[] = []): Uint8Array {
  return Uint8Array.of(reason, algorithms.length, ...[...algorithms].sort((a, b) => a - b));
}

/** Throws KeyError (session). A reason that this version does not know is passed on. */
export function decodeReject(data: Uint8Array): { reason: number; algorithms: readonly number[] } {
  const reader = new Reader(data);
  const reason = reader.u8();
  const algorithms = [...reader.take(reader.u8())];
  reader.end();
  const ascending = algorithms.every((id, index) => index === 0 || id > (algorithms[index - 1] ?? id));
  if (!ascending) throw keyFailure('malformed', 'the ALG_IDs of its REJECT do not ascend');
  return { reason, algorithms };
}
