import { HEAD_LENGTH, TYPE } from './constants.ts';
import type { ControlFrame, Place } from './frame.ts';
import type { ControlHead } from './frame-head.ts';
import { parseFrontHello } from './frames/front-hello.ts';
import { parseFrontNego } from './frames/front-nego.ts';
import { parseFrontSent } from './frames/front-sent.ts';
import { parseGoaway } from './frames/goaway.ts';
import { parseHeaders } from './frames/headers.ts';
import { parseKeyGone } from './frames/key-gone.ts';
import { parseKeyNego } from './frames/key-nego.ts';
import { parseKeySwitch } from './frames/key-switch.ts';
import { parseKeyUpdate } from './frames/key-update.ts';
import { parsePadding } from './frames/padding.ts';
import { parsePing } from './frames/ping.ts';
import { parseRstStream } from './frames/rst-stream.ts';
import { parseSettings } from './frames/settings.ts';
import { parseStreamEnd } from './frames/stream-end.ts';
import { parseSynReply } from './frames/syn-reply.ts';
import { parseSynStream } from './frames/syn-stream.ts';
import { parseWindowUpdate } from './frames/window-update.ts';
import { Reader } from './reader.ts';

/**
 * The typed frame of `bytes`, a complete control frame whose `head` has been judged. Byte fields of the result are
 * views into `bytes`.
 */
export function parseControl(head: ControlHead, bytes: Uint8Array, place: Place): ControlFrame {
  const { code, flags, length } = head;
  if (!head.known) return { type: 'unknown', code, flags, length };
  const body = new Reader(bytes, HEAD_LENGTH);
  switch (code) {
    case TYPE.SYN_STREAM:
      return parseSynStream(flags, body, place);
    case TYPE.SYN_REPLY:
      return parseSynReply(flags, body);
    case TYPE.HEADERS:
      return parseHeaders(flags, body);
    case TYPE.RST_STREAM:
      return parseRstStream(flags, body);
    case TYPE.SETTINGS:
      return parseSettings(flags, body);
    case TYPE.PING:
      return parsePing(flags, body);
    case TYPE.GOAWAY:
      return parseGoaway(flags, body);
    case TYPE.WINDOW_UPDATE:
      return parseWindowUpdate(flags, body);
    case TYPE.KEY_NEGO:
      return parseKeyNego(flags, body);
    case TYPE.KEY_SWITCH:
      return parseKeySwitch(flags, body);
    case TYPE.STREAM_END:
      return parseStreamEnd(flags, body);
    case TYPE.KEY_UPDATE:
      return parseKeyUpdate(flags, body);
    case TYPE.KEY_GONE:
      return parseKeyGone(flags, body);
    case TYPE.FRONT_HELLO:
      return parseFrontHello(flags, body);
    case TYPE.FRONT_NEGO:
      return parseFrontNego(flags, body);
    case TYPE.FRONT_SENT:
      return parseFrontSent(flags, body);
    case TYPE.PADDING:
      return parsePadding(flags, body);
    default:
      // SEALED is not parsed here, and every other known type is above.
      throw new Error(`no parser for control frame type ${code}`);
  }
}
