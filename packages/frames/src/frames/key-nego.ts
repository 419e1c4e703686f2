import { requireInteger, requireKeyId } from '../checks.ts';
import { LIMITS, NEGO_FIN, NEGO_REJECT, NEGO_RENEGOTIATE, NEGO_RETIRE, TYPE, VERSION } from '../constants.ts';
import { fieldMisuse, malformed } from '../errors.ts';
import { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';

/**
 * One message of a key negotiation, or the refusal of one, or the end of a key (spec 1.5, 3.2, 3.3).
 *
 *     key ID (8) | ALG_ID (8) | data length (16) | data
 */
export interface KeyNego {
  readonly type: 'key-nego';
  /** 1 to 255: odd if the client began the run, even if the server did. */
  readonly keyId: number;
  /** ALG_ID, 8 bits. */
  readonly algorithm: number;
  /** The sender's last message of the run. */
  readonly fin: boolean;
  /** Refuses the run; only together with `fin`. */
  readonly reject: boolean;
  /** The sender seals nothing more under the key; only together with `fin`. */
  readonly retire: boolean;
  /** The first message of a renegotiation of an established key (spec 3.14); by default not. */
  readonly renegotiate?: boolean;
  /** At most 8,192 bytes (1.7). */
  readonly data: Uint8Array;
}

export function parseKeyNego(flags: number, body: Reader): KeyNego {
  const keyId = body.u8();
  const algorithm = body.u8();
  const dataLength = body.u16();
  // The 16-bit length of the 2012 sketch repeats the frame's. A receiver that believed one of two different
  // lengths would read memory that is not the frame's, or leave bytes that another receiver sees.
  if (dataLength !== body.remaining) {
    throw malformed(`KEY_NEGO with a data length of ${dataLength} has ${body.remaining} bytes of data`);
  }
  if (keyId === 0) throw malformed('KEY_NEGO with key ID 0');
  const fault = flagFault(flags);
  if (fault) throw malformed(fault);
  return {
    type: 'key-nego',
    keyId,
    algorithm,
    fin: (flags & NEGO_FIN) !== 0,
    reject: (flags & NEGO_REJECT) !== 0,
    retire: (flags & NEGO_RETIRE) !== 0,
    renegotiate: (flags & NEGO_RENEGOTIATE) !== 0,
    data: body.rest(),
  };
}

/** A whole frame that stands in another one (spec 10.5). Throws scope `session` unless it is a KEY_NEGO frame and nothing else. */
export function decodeKeyNego(bytes: Uint8Array): KeyNego {
  const reader = new Reader(bytes);
  const [version, code, flags, length] = [reader.u16(), reader.u16(), reader.u8(), reader.u24()];
  if (version !== 0x8000 + VERSION || code !== TYPE.KEY_NEGO || length !== reader.remaining) {
    throw malformed('what stands in the place of a KEY_NEGO frame is none, or not a whole one');
  }
  if (length > 4 + LIMITS.keyNegoData) throw malformed(`KEY_NEGO of length ${length}`);
  return parseKeyNego(flags, reader);
}

export function encodeKeyNego(frame: KeyNego): Uint8Array {
  requireKeyId('KEY_NEGO', frame.keyId);
  requireInteger('KEY_NEGO ALG_ID', frame.algorithm, 0, 255);
  requireInteger('KEY_NEGO data length', frame.data.length, 0, LIMITS.keyNegoData);
  const flags =
    (frame.fin ? NEGO_FIN : 0) |
    (frame.reject ? NEGO_REJECT : 0) |
    (frame.retire ? NEGO_RETIRE : 0) |
    (frame.renegotiate ? NEGO_RENEGOTIATE : 0);
  const fault = flagFault(flags);
  if (fault) throw fieldMisuse(fault);
  return controlFrame(TYPE.KEY_NEGO, flags, 4 + frame.data.length)
    .u8(frame.keyId)
    .u8(frame.algorithm)
    .u16(frame.data.length)
    .bytes(frame.data)
    .finish();
}

function flagFault(flags: number): string | undefined {
  const ending = flags & (NEGO_REJECT | NEGO_RETIRE);
  if (ending === (NEGO_REJECT | NEGO_RETIRE)) return 'KEY_NEGO with both REJECT and RETIRE';
  if (ending !== 0 && (flags & NEGO_RENEGOTIATE) !== 0)
    return 'KEY_NEGO with RENEGOTIATE that ends something';
  if (ending !== 0 && (flags & NEGO_FIN) === 0) return 'KEY_NEGO with REJECT or RETIRE but without FIN';
  return undefined;
}
