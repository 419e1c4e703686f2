export {
  DIGEST_LENGTH,
  FLAG_CLEAR,
  FLAG_FIN,
  FLAG_PAYLOAD_OUTSIDE,
  FLAG_UNIDIRECTIONAL,
  GOAWAY,
  HEAD_LENGTH,
  LIMITS,
  type Limits,
  MAX_LENGTH,
  MAX_STREAM_ID,
  MAX_WINDOW_DELTA,
  NEGO_FIN,
  NEGO_REJECT,
  NEGO_RETIRE,
  RST,
  SEALED_HEAD_LENGTH,
  SETTING,
  TAG_LENGTH,
  TYPE,
  VERSION,
} from './constants.ts';
export {
  type ControlItem,
  type DataItem,
  type DecoderOptions,
  FrameDecoder,
  type Item,
  type SealedItem,
} from './decoder.ts';
export { compressionDictionary } from './dictionary.ts';
export { encodeControl } from './encode.ts';
export { type ErrorScope, FrameError, type FrameErrorCode } from './errors.ts';
export type { ControlFrame, HeaderList, Place } from './frame.ts';
export { encodeDataHead } from './frames/data.ts';
export { encodeFrontHello, type FrontHello, MAX_ADDRESS } from './frames/front-hello.ts';
export { encodeFrontNego, type FrontNego } from './frames/front-nego.ts';
export { encodeFrontSent, type FrontSent } from './frames/front-sent.ts';
export { encodeGoaway, type Goaway } from './frames/goaway.ts';
export { encodeHeaders, type Headers } from './frames/headers.ts';
export { encodeKeyGone, type KeyGone } from './frames/key-gone.ts';
export { decodeKeyNego, encodeKeyNego, type KeyNego } from './frames/key-nego.ts';
export { encodeKeySwitch, type KeySwitch } from './frames/key-switch.ts';
export { encodeKeyUpdate, type KeyUpdate } from './frames/key-update.ts';
export { encodePadding, type Padding } from './frames/padding.ts';
export { encodePing, type Ping } from './frames/ping.ts';
export { encodeRstStream, type RstStream } from './frames/rst-stream.ts';
export { encodeSealedHead } from './frames/sealed.ts';
export { encodeSettings, type Setting, type Settings, settingOf } from './frames/settings.ts';
export { encodeStreamEnd, type StreamEnd } from './frames/stream-end.ts';
export { encodeSynReply, type SynReply } from './frames/syn-reply.ts';
export { encodeSynStream, type SynStream } from './frames/syn-stream.ts';
export type { UnknownControl } from './frames/unknown.ts';
export { encodeWindowUpdate, type WindowUpdate } from './frames/window-update.ts';
export { decodeHeaderBlock, encodeHeaderBlock } from './header-block.ts';
export { HeaderCompressor, HeaderDecompressor } from './header-compression.ts';
export { StateReader } from './state-reader.ts';
export { StateWriter } from './state-writer.ts';
