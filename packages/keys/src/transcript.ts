import { ascii } from './bytes.ts';
import { equalBytes, HASH_LENGTH, hmacSha256, sha256 } from './crypto.ts';
import { isRenegotiation, type RunContext } from './keeper.ts';
import { encodeNego } from './nego-frame.ts';

/** T_0 of spec 3.5: all that both sides must agree on before the first message. */
export function startTranscript(context: RunContext): Uint8Array {
  const { depth, initiator, keyId, generation } = context;
  return sha256(LABEL, Uint8Array.of(0, depth, initiator === 'client' ? 1 : 2, keyId, generation));
}

/** T_n = H(T_{n-1} || F_n). */
export function extendTranscript(transcript: Uint8Array, frame: Uint8Array): Uint8Array {
  return sha256(transcript, frame);
}

/** T'_n, the transcript that a message's own tag is made over: up to and with F_n, but for its last 32 bytes. */
export function tagTranscript(transcript: Uint8Array, frame: Uint8Array): Uint8Array {
  return sha256(transcript, frame.subarray(0, frame.length - HASH_LENGTH));
}

/** The first message of a run as a whole frame. That of a renegotiation says so (spec 3.14). */
export function firstMessage(context: RunContext, fin: boolean, data: Uint8Array): Uint8Array {
  const { keyId, algorithm } = context;
  const renegotiate = isRenegotiation(context);
  return encodeNego({ keyId, algorithm, fin, reject: false, retire: false, renegotiate, data });
}

/** This side's next message as a whole frame. */
export function message(context: RunContext, fin: boolean, data: Uint8Array): Uint8Array {
  const { keyId, algorithm } = context;
  return encodeNego({ keyId, algorithm, fin, reject: false, retire: false, data });
}

/** Writes the tag into the last 32 bytes of `frame`, which hold nothing yet. */
export function writeTag(frame: Uint8Array, tagKey: Uint8Array, transcript: Uint8Array): void {
  frame.set(hmacSha256(tagKey, tagTranscript(transcript, frame)), frame.length - HASH_LENGTH);
}

/** Whether the last 32 bytes of `frame` are the right tag, in constant time. */
export function checkTag(frame: Uint8Array, tagKey: Uint8Array, transcript: Uint8Array): boolean {
  const tag = frame.subarray(frame.length - HASH_LENGTH);
  return equalBytes(tag, hmacSha256(tagKey, tagTranscript(transcript, frame)));
}

/** Room for a tag at the end of a message. */
export const NO_TAG = new Uint8Array(HASH_LENGTH);

const LABEL = ascii('keymux/1 negotiation');
