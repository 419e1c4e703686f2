import { GOAWAY, RST } from '@keymux/frames';

/** Whose fault an error is. */
export type Origin = 'local' | 'remote' | 'user';

interface Meaning<Scope extends string> {
  /** What it ends (spec 7.1). A carrier takes its session with it. */
  readonly scope: Scope;
  readonly origin: Origin;
  /** What the peer is told: of RST_STREAM if the scope is `stream`, else of GOAWAY. */
  readonly status: number;
}

const stream = (status: number): Meaning<'stream'> => ({ scope: 'stream', origin: 'remote', status });
const session = (status: number, origin: Origin = 'remote'): Meaning<'session'> => ({
  scope: 'session',
  origin,
  status,
});
const carrier = (status: number): Meaning<'carrier'> => ({ scope: 'carrier', origin: 'remote', status });

/** Errors that end one stream: what their code means. Those of header blocks come from the frames, which know their status. */
export const STREAM_ERRORS = {
  ERR_KEYMUX_EARLY: stream(RST.REFUSED_STREAM),
  ERR_KEYMUX_FLOW_CONTROL: stream(RST.FLOW_CONTROL_ERROR),
  ERR_KEYMUX_HEADERS: stream(RST.FRAME_TOO_LARGE),
  ERR_KEYMUX_NO_REPLY: stream(RST.PROTOCOL_ERROR),
  ERR_KEYMUX_NO_STREAM: stream(RST.INVALID_STREAM),
  ERR_KEYMUX_REFUSED: stream(RST.REFUSED_STREAM),
  ERR_KEYMUX_SLOT: stream(RST.PROTOCOL_ERROR),
  ERR_KEYMUX_STALLED: stream(RST.CANCEL),
  ERR_KEYMUX_STREAM_CLOSED: stream(RST.STREAM_ALREADY_CLOSED),
  ERR_KEYMUX_STREAM_IN_USE: stream(RST.STREAM_IN_USE),
} as const;

/** Errors that end the session, or come with the end of its carrier. */
export const SESSION_ERRORS = {
  ERR_KEYMUX_CARRIER: carrier(GOAWAY.OK),
  ERR_KEYMUX_CARRIER_ENDED: carrier(GOAWAY.PROTOCOL_ERROR),
  ERR_KEYMUX_DESTROYED: session(GOAWAY.OK, 'local'),
  ERR_KEYMUX_EXCESSIVE_LOAD: session(GOAWAY.EXCESSIVE_LOAD),
  ERR_KEYMUX_FLOW_CONTROL: session(GOAWAY.FLOW_CONTROL_ERROR),
  ERR_KEYMUX_HANDED_OVER: session(GOAWAY.OK, 'user'),
  ERR_KEYMUX_INTERNAL: session(GOAWAY.INTERNAL_ERROR, 'local'),
  ERR_KEYMUX_KEY_FAILURE: session(GOAWAY.KEY_FAILURE),
  ERR_KEYMUX_PEER_GONE: session(GOAWAY.OK),
  ERR_KEYMUX_PROTOCOL: session(GOAWAY.PROTOCOL_ERROR),
  ERR_KEYMUX_TIMEOUT: session(GOAWAY.OK),
} as const;

export type StreamErrorCode = keyof typeof STREAM_ERRORS;
export type SessionErrorCode = keyof typeof SESSION_ERRORS;
