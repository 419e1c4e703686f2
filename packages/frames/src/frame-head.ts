import { FLAG_FIN, HEAD_LENGTH, type Limits, TYPE, VERSION } from './constants.ts';
import { frameTooLarge, malformed, misplaced } from './errors.ts';
import type { Place } from './frame.ts';
import { judgeLength } from './frame-lengths.ts';
import { uintAt } from './reader.ts';

/** A frame head that has been judged: nothing in it forbids to receive the rest. */
export type FrameHead = DataHead | ControlHead;

export interface DataHead {
  readonly kind: 'data';
  readonly streamId: number;
  readonly fin: boolean;
  /** Payload bytes. */
  readonly length: number;
}

export interface ControlHead {
  readonly kind: 'control';
  /** The type on the wire. */
  readonly code: number;
  readonly flags: number;
  /** Body bytes. */
  readonly length: number;
  /** Whether this receiver understands the type; if not, it skips the frame (1.6). */
  readonly known: boolean;
}

/** What a receiver has to know to judge a head. */
export interface Rules {
  readonly place: Place;
  /** Whether it announced keymux (2.6): else keymux's types are unknown to it. */
  readonly keymux: boolean;
  readonly limits: Limits;
}

/**
 * Reads the 8 bytes of a frame head and refuses what no body can make right, before any of the body is stored:
 * the version, stream 0, the place, and the length that the type allows (spec 1.1).
 */
export function judgeHead(head: Uint8Array, rules: Rules): FrameHead {
  const flags = head[4] as number;
  const length = uintAt(head, 5, 3);
  // The plaintext of an envelope is bounded, and its frames end in it.
  if (rules.place === 'inside' && HEAD_LENGTH + length > rules.limits.sealedPlaintext) {
    throw frameTooLarge(`a frame of length ${length} does not fit into an envelope`);
  }
  if ((head[0] as number) < 0x80) {
    if (rules.place === 'link') throw misplaced('DATA on the link of a front');
    return dataHead(uintAt(head, 0, 4), flags, length);
  }

  const version = uintAt(head, 0, 2) - 0x8000;
  if (version !== VERSION) throw malformed(`control frame of version ${version}, not ${VERSION}`);
  const code = uintAt(head, 2, 2);
  const known = isKnown(code, rules);
  if (known) judgePlace(code, rules.place);
  judgeLength(known ? code : undefined, length, rules.limits);
  return { kind: 'control', code, flags, length, known };
}

function dataHead(streamId: number, flags: number, length: number): DataHead {
  if (streamId === 0) throw malformed('DATA with stream ID 0');
  return { kind: 'data', streamId, fin: (flags & FLAG_FIN) !== 0, length };
}

function isKnown(code: number, { place, keymux }: Rules): boolean {
  if (place === 'link' && LINK_ONLY.has(code)) return true;
  return SPDY_TYPES.has(code) || (keymux && KEYMUX_TYPES.has(code));
}

function judgePlace(code: number, place: Place): void {
  if (place === 'inside' && code === TYPE.SEALED) throw misplaced('SEALED inside an envelope');
  if (place === 'inside' && code === TYPE.KEY_GONE) throw misplaced('KEY_GONE inside an envelope');
  if (place === 'outside' && INSIDE_ONLY.has(code)) {
    throw misplaced(`control frame type 0x${code.toString(16)} outside an envelope`);
  }
  if (place === 'link' && !ON_LINK.has(code)) {
    throw misplaced(`control frame type 0x${code.toString(16)} on the link of a front`);
  }
}

const INSIDE_ONLY: ReadonlySet<number> = new Set([
  TYPE.KEY_SWITCH,
  TYPE.STREAM_END,
  TYPE.KEY_UPDATE,
  TYPE.PADDING,
]);

const KEYMUX_TYPES: ReadonlySet<number> = new Set([
  TYPE.KEY_NEGO,
  TYPE.SEALED,
  TYPE.KEY_GONE,
  ...INSIDE_ONLY,
]);

const LINK_ONLY: ReadonlySet<number> = new Set([TYPE.FRONT_HELLO, TYPE.FRONT_NEGO, TYPE.FRONT_SENT]);

/** Frames of streams are nothing that a front could read, or a host send outside envelopes (10.5). */
const ON_LINK: ReadonlySet<number> = new Set([
  TYPE.SETTINGS,
  TYPE.PING,
  TYPE.GOAWAY,
  TYPE.KEY_NEGO,
  TYPE.SEALED,
  ...LINK_ONLY,
]);

const SPDY_TYPES: ReadonlySet<number> = new Set([
  TYPE.SYN_STREAM,
  TYPE.SYN_REPLY,
  TYPE.RST_STREAM,
  TYPE.SETTINGS,
  TYPE.PING,
  TYPE.GOAWAY,
  TYPE.HEADERS,
  TYPE.WINDOW_UPDATE,
]);
