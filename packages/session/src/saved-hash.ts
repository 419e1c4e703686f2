import type { StateReader, StateWriter } from '@keymux/frames';
import { UsageError } from './errors.ts';
import type { RunningHash } from './key-port.ts';

/** Goes on with a running hash from what its `save` gave (spec 13.4). Throws whatever it likes if that is no such state. */
export type ResumeHash = (state: Uint8Array) => RunningHash;

/** Throws UsageError `ERR_KEYMUX_HAND_OVER` if the state of this implementation cannot be saved. */
export function saveHash(writer: StateWriter, hash: RunningHash): void {
  const state = hash.save?.();
  if (state === undefined) throw new UsageError('ERR_KEYMUX_HAND_OVER', 'the hash cannot be saved');
  writer.bytes(state);
}

export function loadHash(reader: StateReader, resume: ResumeHash | undefined): RunningHash {
  if (resume === undefined) throw reader.malformed('it has hashes, and nothing here goes on with them');
  return resume(reader.bytes());
}
