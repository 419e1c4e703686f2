import { fieldMisuse } from './errors.ts';
import type { ControlFrame } from './frame.ts';
import { encodeFrontHello } from './frames/front-hello.ts';
import { encodeFrontNego } from './frames/front-nego.ts';
import { encodeFrontSent } from './frames/front-sent.ts';
import { encodeGoaway } from './frames/goaway.ts';
import { encodeHeaders } from './frames/headers.ts';
import { encodeKeyGone } from './frames/key-gone.ts';
import { encodeKeyNego } from './frames/key-nego.ts';
import { encodeKeySwitch } from './frames/key-switch.ts';
import { encodeKeyUpdate } from './frames/key-update.ts';
import { encodePadding } from './frames/padding.ts';
import { encodePing } from './frames/ping.ts';
import { encodeRstStream } from './frames/rst-stream.ts';
import { encodeSettings } from './frames/settings.ts';
import { encodeStreamEnd } from './frames/stream-end.ts';
import { encodeSynReply } from './frames/syn-reply.ts';
import { encodeSynStream } from './frames/syn-stream.ts';
import { encodeWindowUpdate } from './frames/window-update.ts';

/** The complete frame, head included, in a buffer of exactly its size. Throws scope `usage` on a wrong field. */
export function encodeControl(frame: ControlFrame): Uint8Array {
  switch (frame.type) {
    case 'syn-stream':
      return encodeSynStream(frame);
    case 'syn-reply':
      return encodeSynReply(frame);
    case 'headers':
      return encodeHeaders(frame);
    case 'rst-stream':
      return encodeRstStream(frame);
    case 'settings':
      return encodeSettings(frame);
    case 'ping':
      return encodePing(frame);
    case 'goaway':
      return encodeGoaway(frame);
    case 'window-update':
      return encodeWindowUpdate(frame);
    case 'key-nego':
      return encodeKeyNego(frame);
    case 'key-switch':
      return encodeKeySwitch(frame);
    case 'stream-end':
      return encodeStreamEnd(frame);
    case 'key-update':
      return encodeKeyUpdate(frame);
    case 'key-gone':
      return encodeKeyGone(frame);
    case 'front-hello':
      return encodeFrontHello(frame);
    case 'front-nego':
      return encodeFrontNego(frame);
    case 'front-sent':
      return encodeFrontSent(frame);
    case 'padding':
      return encodePadding(frame);
    case 'unknown':
      throw fieldMisuse(
        'a frame of an unknown type cannot be encoded: forward its bytes as they were received',
      );
  }
}
