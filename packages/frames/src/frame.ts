/** The typed frames in one place. Each is defined in frames/ beside its parser, its encoder and its rules. */

import type { FrontHello } from './frames/front-hello.ts';
import type { FrontNego } from './frames/front-nego.ts';
import type { FrontSent } from './frames/front-sent.ts';
import type { Goaway } from './frames/goaway.ts';
import type { Headers } from './frames/headers.ts';
import type { KeyGone } from './frames/key-gone.ts';
import type { KeyNego } from './frames/key-nego.ts';
import type { KeySwitch } from './frames/key-switch.ts';
import type { KeyUpdate } from './frames/key-update.ts';
import type { Padding } from './frames/padding.ts';
import type { Ping } from './frames/ping.ts';
import type { RstStream } from './frames/rst-stream.ts';
import type { Settings } from './frames/settings.ts';
import type { StreamEnd } from './frames/stream-end.ts';
import type { SynReply } from './frames/syn-reply.ts';
import type { SynStream } from './frames/syn-stream.ts';
import type { UnknownControl } from './frames/unknown.ts';
import type { WindowUpdate } from './frames/window-update.ts';

/** A control frame that is handed out whole. SEALED and DATA are not: see SealedItem and DataItem. */
export type ControlFrame =
  | SynStream
  | SynReply
  | Headers
  | RstStream
  | Settings
  | Ping
  | Goaway
  | WindowUpdate
  | KeyNego
  | KeySwitch
  | StreamEnd
  | KeyUpdate
  | KeyGone
  | FrontHello
  | FrontNego
  | FrontSent
  | Padding
  | UnknownControl;

/** Where a frame stands: on the carrier itself, in the plaintext of an envelope (spec 1.5), or on the link of a front and a host (10.5). */
export type Place = 'outside' | 'inside' | 'link';

/**
 * Headers in order. A name that has several values occurs in several pairs, adjacent or not; their order is kept.
 * Each code point is one byte (ISO 8859-1, spec 1.3).
 */
export type HeaderList = readonly (readonly [name: string, value: string])[];

export type {
  FrontHello,
  FrontNego,
  FrontSent,
  Goaway,
  Headers,
  KeyGone,
  KeyNego,
  KeySwitch,
  KeyUpdate,
  Padding,
  Ping,
  RstStream,
  Settings,
  StreamEnd,
  SynReply,
  SynStream,
  UnknownControl,
  WindowUpdate,
};
