/** The numbers of the wire, each with its section of spec/. Nothing here computes. */

/** Version of every control frame: SPDY/3 and SPDY/3.1 both send 3 (1.1). */
export const VERSION = 3;

/** Bytes before the body or payload of every frame (1.1). */
export const HEAD_LENGTH = 8;

/** Bytes of a SEALED frame that stay readable: the head, the key ID and the generation (1.5). */
export const SEALED_HEAD_LENGTH = 10;

/** Bytes of the authentication tag that ends a SEALED frame (1.5, 4.1). */
export const TAG_LENGTH = 16;

/** Bytes of a digest, a SHA-256: of KEY_SWITCH (1.5, 4.5), and of a direction of a session (3.6, 10.5). */
export const DIGEST_LENGTH = 32;

/** Largest stream ID: 31 bits (1.2). */
export const MAX_STREAM_ID = 0x7fff_ffff;

/** Largest delta of one WINDOW_UPDATE: 31 bits (1.2). */
export const MAX_WINDOW_DELTA = 0x7fff_ffff;

/** Largest length that a frame head can state: 24 bits (1.1). */
export const MAX_LENGTH = 0xff_ffff;

/** Control frame types: SPDY/3.1's (1.2), keymux's (1.5), and those of a front and its hosts (10.3, 10.5). */
export const TYPE = {
  SYN_STREAM: 1,
  SYN_REPLY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PING: 6,
  GOAWAY: 7,
  HEADERS: 8,
  WINDOW_UPDATE: 9,
  FRONT_HELLO: 0x46,
  KEY_GONE: 0x47,
  KEY_NEGO: 0x4b,
  FRONT_NEGO: 0x4e,
  FRONT_SENT: 0x4f,
  PADDING: 0x50,
  SEALED: 0x53,
  KEY_SWITCH: 0x54,
  STREAM_END: 0x55,
  KEY_UPDATE: 0x56,
} as const;

/** Flag of DATA, SYN_STREAM, SYN_REPLY and HEADERS: the sender's half of the stream ends (1.2). */
export const FLAG_FIN = 0x01;
/** Flag of SYN_STREAM: the receiver cannot reply (1.2). */
export const FLAG_UNIDIRECTIONAL = 0x02;
/** Flag of SYN_STREAM inside an envelope: the stream's DATA travels outside envelopes (1.2, 4.6). */
export const FLAG_PAYLOAD_OUTSIDE = 0x80;
/** Flag of SETTINGS: parsed, otherwise ignored (1.2). */
export const FLAG_CLEAR = 0x01;

/** Flags of KEY_NEGO (1.5): the sender's last message of the run; refusal of a run; end of a key; first message of a renegotiation. */
export const NEGO_FIN = 0x01;
export const NEGO_REJECT = 0x02;
export const NEGO_RETIRE = 0x04;
export const NEGO_RENEGOTIATE = 0x08;

/** SETTINGS identifiers that mean something here (1.4); all others are ignored. */
export const SETTING = {
  MAX_CONCURRENT_STREAMS: 4,
  INITIAL_WINDOW_SIZE: 7,
  KEYMUX: 0x4b4d58,
  KEYMUX_SWITCH_LIMIT: 0x4b4d53,
  KEYMUX_FRONT: 0x4b4d46,
} as const;

/** Status codes of RST_STREAM (1.9). */
export const RST = {
  PROTOCOL_ERROR: 1,
  INVALID_STREAM: 2,
  REFUSED_STREAM: 3,
  UNSUPPORTED_VERSION: 4,
  CANCEL: 5,
  INTERNAL_ERROR: 6,
  FLOW_CONTROL_ERROR: 7,
  STREAM_IN_USE: 8,
  STREAM_ALREADY_CLOSED: 9,
  FRAME_TOO_LARGE: 11,
} as const;

/** Status codes of GOAWAY (1.9). */
export const GOAWAY = {
  OK: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 7,
  FRAME_TOO_LARGE: 11,
  KEY_FAILURE: 0x4b01,
  EXCESSIVE_LOAD: 0x4b02,
} as const;

/** What a receiver accepts and a sender keeps to (1.7). A receiver may be configured to accept less. */
export interface Limits {
  /** Length of SYN_STREAM, SYN_REPLY and HEADERS, in bytes after the head. */
  readonly headerFrameLength: number;
  /** Bytes of a header block: names + values + 32 for each pair of the block. */
  readonly headerBlockBytes: number;
  /** Values in a header block; a value among several of one name counts like any other. */
  readonly headerPairs: number;
  /** Entries of one SETTINGS frame. */
  readonly settingsEntries: number;
  /** Bytes of data of one KEY_NEGO frame. */
  readonly keyNegoData: number;
  /** Bytes of plaintext in one envelope. */
  readonly sealedPlaintext: number;
  /** Length of a control frame of an unknown type, in bytes after the head. */
  readonly unknownLength: number;
}

export const LIMITS: Limits = {
  headerFrameLength: 65_546,
  headerBlockBytes: 65_536,
  headerPairs: 100,
  settingsEntries: 64,
  keyNegoData: 8_192,
  sealedPlaintext: 66_560,
  unknownLength: 65_546,
};
