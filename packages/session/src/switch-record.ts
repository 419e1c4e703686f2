import type { KeySwitch } from '@keymux/frames';
import type { RunningHash } from './key-port.ts';

/** What KEY_SWITCH says about the past of what it moves (spec 4.5). Both sides make it by the same code. */
export type SwitchRecord = Pick<KeySwitch, 'previousKeyId' | 'previousGeneration' | 'count' | 'digest'>;

/** Whether both sides have seen the same. The fields are not secret, so this need not be constant in time. */
export function sameRecord(a: SwitchRecord, b: SwitchRecord): boolean {
  return (
    a.previousKeyId === b.previousKeyId &&
    a.previousGeneration === b.previousGeneration &&
    a.count === b.count &&
    equalBytes(a.digest, b.digest)
  );
}

/**
 * The digest field for a stream (spec 4.5).
 *
 * @param clearFrames over the frames of the direction that travelled outside envelopes; undefined if none did
 * @param answeredSyn the SYN_STREAM that the direction answers
 */
export function switchDigest(
  createHash: () => RunningHash,
  streamId: number,
  clearFrames: RunningHash | undefined,
  answeredSyn: Uint8Array | undefined,
): Uint8Array {
  const id = new Uint8Array(4);
  new DataView(id.buffer).setUint32(0, streamId);
  const hash = createHash();
  hash.update(LABEL);
  hash.update(id);
  hash.update((clearFrames?.copy() ?? createHash()).digest());
  hash.update(answeredSyn ? digestOf(createHash, answeredSyn) : NO_SYN);
  return hash.digest();
}

function digestOf(createHash: () => RunningHash, bytes: Uint8Array): Uint8Array {
  const hash = createHash();
  hash.update(bytes);
  return hash.digest();
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

const LABEL = Uint8Array.from('keymux/1 switch\0', (char) => char.charCodeAt(0));
const NO_SYN = new Uint8Array(32);
