import { GOAWAY, RST } from './constants.ts';

/**
 * What an error ends: the whole session, one stream, or only the call that was made wrongly. A `usage` error is
 * ours, not the peer's, and never becomes bytes on the wire.
 */
export type ErrorScope = 'session' | 'stream' | 'usage';

export type FrameErrorCode =
  /** A frame that breaks a rule of spec chapter 1. */
  | 'ERR_KEYMUX_FRAME'
  /** A frame or header block over a limit of spec 1.7. */
  | 'ERR_KEYMUX_FRAME_TOO_LARGE'
  /** A frame outside an envelope that belongs inside, or the reverse (spec 1.5). */
  | 'ERR_KEYMUX_FRAME_PLACE'
  /** A SEALED or PADDING frame that no correct sender makes (spec 1.5, 1.7). */
  | 'ERR_KEYMUX_ENVELOPE'
  /** A header block, name or value that breaks spec 1.3. */
  | 'ERR_KEYMUX_HEADER'
  /** A header block that does not inflate; the compression state is lost (spec 1.3). */
  | 'ERR_KEYMUX_HEADER_COMPRESSION'
  /** The saved state of a session that is cut, changed, or not of this version (spec 13.2). */
  | 'ERR_KEYMUX_HAND_OVER'
  /** A field that the caller of an encoder set out of its range. */
  | 'ERR_KEYMUX_FRAME_FIELD';

/** Every error that this package throws on purpose. Messages name types, fields and lengths, never contents. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
  readonly code: FrameErrorCode;
  readonly scope: ErrorScope;
  /**
   * The status to send: of GOAWAY if scope is `session`, of RST_STREAM if it is `stream` (spec 1.9). For `usage`
   * it is INTERNAL_ERROR, in case a caller's mistake ends a session after all.
   */
  readonly status: number;
  /** The stream that the error ends, if the one who threw it knew: a header block does not say whose it is. */
  readonly streamId: number | undefined;

  constructor(code: FrameErrorCode, scope: ErrorScope, status: number, message: string, streamId?: number) {
    super(message);
    this.code = code;
    this.scope = scope;
    this.status = status;
    this.streamId = streamId;
  }
}

/** The general case of spec 1.1: a frame breaks a rule, the session ends. */
export function malformed(message: string): FrameError {
  return new FrameError('ERR_KEYMUX_FRAME', 'session', GOAWAY.PROTOCOL_ERROR, message);
}

export function frameTooLarge(message: string): FrameError {
  return new FrameError('ERR_KEYMUX_FRAME_TOO_LARGE', 'session', GOAWAY.FRAME_TOO_LARGE, message);
}

export function misplaced(message: string): FrameError {
  return new FrameError('ERR_KEYMUX_FRAME_PLACE', 'session', GOAWAY.KEY_FAILURE, message);
}

export function badEnvelope(message: string): FrameError {
  return new FrameError('ERR_KEYMUX_ENVELOPE', 'session', GOAWAY.KEY_FAILURE, message);
}

export function compressionLost(status: number, message: string): FrameError {
  return new FrameError('ERR_KEYMUX_HEADER_COMPRESSION', 'session', status, message);
}

export function malformedBlock(message: string): FrameError {
  return new FrameError('ERR_KEYMUX_HEADER', 'stream', RST.PROTOCOL_ERROR, message);
}

export function blockTooLarge(message: string): FrameError {
  return new FrameError('ERR_KEYMUX_FRAME_TOO_LARGE', 'stream', RST.FRAME_TOO_LARGE, message);
}

export function fieldMisuse(message: string): FrameError {
  return new FrameError('ERR_KEYMUX_FRAME_FIELD', 'usage', GOAWAY.INTERNAL_ERROR, message);
}

export function headerMisuse(message: string): FrameError {
  return new FrameError('ERR_KEYMUX_HEADER', 'usage', GOAWAY.INTERNAL_ERROR, message);
}

export function stateMisuse(message: string): FrameError {
  return new FrameError('ERR_KEYMUX_HAND_OVER', 'usage', GOAWAY.INTERNAL_ERROR, message);
}
