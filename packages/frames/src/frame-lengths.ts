import { DIGEST_LENGTH, HEAD_LENGTH, type Limits, TAG_LENGTH, TYPE } from './constants.ts';
import { badEnvelope, type FrameError, frameTooLarge, malformed } from './errors.ts';

/**
 * Refuses a length that the type of the frame does not allow (the tables of spec 1.2 and 1.5, the limits of 1.7).
 *
 * @param code the type, or undefined for one that this receiver does not know
 */
export function judgeLength(code: number | undefined, length: number, limits: Limits): void {
  const rule = (code !== undefined && RULES.get(code)) || UNKNOWN;
  const max = rule.max(limits);
  if (length < rule.min) throw rule.tooShort(`${rule.frame} of length ${length}, shorter than ${rule.min}`);
  if (length > max) throw rule.tooLong(`${rule.frame} of length ${length}, longer than ${max}`);
  if (code === TYPE.SETTINGS && length % 8 !== 4) {
    throw malformed(`SETTINGS of length ${length}, which is not 4 + 8 x n`);
  }
}

interface LengthRule {
  /** The name of the type, for messages. */
  readonly frame: string;
  readonly min: number;
  readonly max: (limits: Limits) => number;
  readonly tooShort: (message: string) => FrameError;
  readonly tooLong: (message: string) => FrameError;
}

function exactly(frame: string, length: number): LengthRule {
  return { frame, min: length, max: () => length, tooShort: malformed, tooLong: malformed };
}

function withHeaderBlock(frame: string, min: number): LengthRule {
  const max = (limits: Limits) => limits.headerFrameLength;
  return { frame, min, max, tooShort: malformed, tooLong: frameTooLarge };
}

const UNKNOWN: LengthRule = {
  frame: 'unknown control frame',
  min: 0,
  max: (limits) => limits.unknownLength,
  tooShort: malformed,
  tooLong: frameTooLarge,
};

const SETTINGS: LengthRule = {
  frame: 'SETTINGS',
  min: 4,
  max: (limits) => 4 + 8 * limits.settingsEntries,
  tooShort: malformed,
  tooLong: malformed,
};

const KEY_NEGO: LengthRule = {
  frame: 'KEY_NEGO',
  min: 4,
  max: (limits) => 4 + limits.keyNegoData,
  tooShort: malformed,
  tooLong: malformed,
};

const SEALED: LengthRule = {
  frame: 'SEALED',
  // Key ID, generation, at least one frame without a body, tag.
  min: 2 + HEAD_LENGTH + TAG_LENGTH,
  max: (limits) => 2 + limits.sealedPlaintext + TAG_LENGTH,
  tooShort: badEnvelope,
  tooLong: badEnvelope,
};

/** Version, length of the address, port, three numbers; an address of at most 64 characters. */
const FRONT_HELLO: LengthRule = {
  frame: 'FRONT_HELLO',
  min: 16,
  max: () => 16 + 64,
  tooShort: malformed,
  tooLong: malformed,
};

/** A digest and a whole KEY_NEGO frame. */
const FRONT_NEGO: LengthRule = {
  frame: 'FRONT_NEGO',
  min: DIGEST_LENGTH + HEAD_LENGTH + 4,
  max: (limits) => DIGEST_LENGTH + HEAD_LENGTH + 4 + limits.keyNegoData,
  tooShort: malformed,
  tooLong: malformed,
};

const PADDING: LengthRule = {
  frame: 'PADDING',
  min: 0,
  max: (limits) => limits.sealedPlaintext - HEAD_LENGTH,
  tooShort: badEnvelope,
  tooLong: badEnvelope,
};

const RULES: ReadonlyMap<number, LengthRule> = new Map<number, LengthRule>([
  [TYPE.SYN_STREAM, withHeaderBlock('SYN_STREAM', 10)],
  [TYPE.SYN_REPLY, withHeaderBlock('SYN_REPLY', 4)],
  [TYPE.HEADERS, withHeaderBlock('HEADERS', 4)],
  [TYPE.RST_STREAM, exactly('RST_STREAM', 8)],
  [TYPE.SETTINGS, SETTINGS],
  [TYPE.PING, exactly('PING', 4)],
  [TYPE.GOAWAY, exactly('GOAWAY', 8)],
  [TYPE.WINDOW_UPDATE, exactly('WINDOW_UPDATE', 8)],
  [TYPE.KEY_NEGO, KEY_NEGO],
  [TYPE.SEALED, SEALED],
  [TYPE.KEY_SWITCH, exactly('KEY_SWITCH', 48)],
  [TYPE.STREAM_END, exactly('STREAM_END', 12)],
  [TYPE.KEY_UPDATE, exactly('KEY_UPDATE', 8)],
  [TYPE.KEY_GONE, exactly('KEY_GONE', 8)],
  [TYPE.FRONT_HELLO, FRONT_HELLO],
  [TYPE.FRONT_NEGO, FRONT_NEGO],
  [TYPE.FRONT_SENT, exactly('FRONT_SENT', 36)],
  [TYPE.PADDING, PADDING],
]);
