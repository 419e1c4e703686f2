import { concat } from './bytes.ts';
import { keyFailure } from './errors.ts';
import { Reader } from './reader.ts';

/** Fields of a KEY_NEGO frame (spec 1.5). */
export interface NegoFrame {
  readonly keyId: number;
  readonly algorithm: number;
  /** The sender's last message of the run. */
  readonly fin: boolean;
  /** Refuses the run. */
  readonly reject: boolean;
  /** The sender seals nothing more under the key. */
  readonly retire: boolean;
  /** The first message of a renegotiation of an established key (spec 3.14); by default not. */
  readonly renegotiate?: boolean;
  readonly data: Uint8Array;
}

/** Bytes before the data: the control frame's head, key ID, ALG_ID, data length. */
export const NEGO_HEAD = 12;

/**
 * The whole frame. The transcript covers frames complete with their heads, so a keeper needs this although the
 * session has a codec of its own.
 */
export function encodeNego(frame: NegoFrame): Uint8Array {
  const head = new Uint8Array(NEGO_HEAD);
  const view = new DataView(head.buffer);
  const flags =
    (frame.fin ? FIN : 0) |
    (frame.reject ? REJECT : 0) |
    (frame.retire ? RETIRE : 0) |
    (frame.renegotiate ? RENEGOTIATE : 0);
  view.setUint32(0, CONTROL_KEY_NEGO);
  view.setUint32(4, (flags << 24) | (frame.data.length + 4));
  view.setUint8(8, frame.keyId);
  view.setUint8(9, frame.algorithm);
  view.setUint16(10, frame.data.length);
  return concat(head, frame.data);
}

/** Takes a whole frame apart. `data` is a view. Throws KeyError (session) unless every length agrees. */
export function decodeNego(bytes: Uint8Array): NegoFrame {
  const reader = new Reader(bytes);
  const type = reader.u32();
  const flagsAndLength = reader.u32();
  const keyId = reader.u8();
  const algorithm = reader.u8();
  const data = reader.take(reader.u16());
  reader.end();
  const flags = flagsAndLength >>> 24;
  const closing = flags & (REJECT | RETIRE);
  if (
    type !== CONTROL_KEY_NEGO ||
    (flagsAndLength & 0xffffff) !== data.length + 4 ||
    data.length > MAX_DATA ||
    keyId === 0 ||
    closing === (REJECT | RETIRE) ||
    (closing !== 0 && (flags & (FIN | RENEGOTIATE)) !== FIN)
  ) {
    throw keyFailure('malformed', 'its KEY_NEGO frame breaks a rule of section 1.5');
  }
  return {
    keyId,
    algorithm,
    fin: (flags & FIN) !== 0,
    reject: (flags & REJECT) !== 0,
    retire: (flags & RETIRE) !== 0,
    renegotiate: (flags & RENEGOTIATE) !== 0,
    data,
  };
}

/** Whether a frame, which is known to be sound, is a RETIRE. */
export function isRetire(bytes: Uint8Array): boolean {
  return ((bytes[FLAGS] ?? 0) & RETIRE) !== 0;
}

/** Control bit, version 3, type 0x004B. */
const CONTROL_KEY_NEGO = 0x8003004b;
/** Where the flags are. */
const FLAGS = 4;
const FIN = 1;
const REJECT = 2;
const RETIRE = 4;
const RENEGOTIATE = 8;
/** Spec 1.7. */
const MAX_DATA = 8192;
