import { DIGEST_LENGTH, encodeControl, HEAD_LENGTH, type KeySwitch } from '@keymux/frames';
import type { KeyPort, RunningHash } from './key-port.ts';

/** What KEY_SWITCH says about the past of what it moves (spec 4.5). Both sides make it by the same code. */
export type SwitchRecord = Pick<KeySwitch, 'previousKeyId' | 'previousGeneration' | 'count' | 'digest'>;

/** A KEY_SWITCH frame with its head (spec 1.5). */
export const KEY_SWITCH_BYTES = 56;

/** One generation of a key. */
export interface KeyGeneration {
  readonly keyId: number;
  readonly generation: number;
}

/** What a KEY_SWITCH moves, and where to. */
export interface Move {
  readonly sender: 'client' | 'server';
  /** 0 is the sender's session frames. */
  readonly streamId: number;
  readonly to: KeyGeneration;
}

/**
 * The record with the proof that its sender holds the key of what came before, in the place of the digest. Without it, whoever holds the
 * new key could go on in the place of the sender: all else that the record says can be seen or counted by anybody (spec 4.5).
 *
 * @param previous where the last frame before travelled; undefined for the clear, where there is nobody to be proven
 * @returns undefined if this side does not hold `previous`: then the switch can be neither made nor judged here
 */
export function proveRecord(
  keys: KeyPort,
  record: SwitchRecord,
  move: Move,
  previous: KeyGeneration | undefined,
): SwitchRecord | undefined {
  if (previous === undefined) return record;
  const { sender, streamId, to } = move;
  const fields = encodeControl({ type: 'key-switch', streamId, ...record }).subarray(HEAD_LENGTH);
  const message = new Uint8Array(FIELDS_LENGTH + DIGEST_LENGTH + 3);
  message[0] = sender === 'client' ? 1 : 2;
  message.set(fields.subarray(0, FIELDS_LENGTH), 1);
  message[FIELDS_LENGTH + 1] = to.keyId;
  message[FIELDS_LENGTH + 2] = to.generation;
  message.set(record.digest, FIELDS_LENGTH + 3);
  const digest = keys.switchProof(previous.keyId, previous.generation, message);
  return digest && { ...record, digest };
}

/** Whether both sides have seen the same, and the peer has proven what it has to. */
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

/** In time that depends on the lengths only: one of them may be a proof. */
function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < b.length; i++) difference |= (a[i] ?? 0) ^ (b[i] as number);
  return difference === 0;
}

const LABEL = Uint8Array.from('keymux/1 switch\0', (char) => char.charCodeAt(0));
const NO_SYN = new Uint8Array(32);
/** Bytes of KEY_SWITCH between its head and its digest (spec 1.5). */
const FIELDS_LENGTH = 16;
