import { FrameError, GOAWAY } from '@keymux/frames';
import {
  type Origin,
  SESSION_ERRORS,
  type SessionErrorCode,
  STREAM_ERRORS,
  type StreamErrorCode,
} from './error-table.ts';

/**
 * An error that ends the session. `status` is the GOAWAY status the peer is told (spec 7.1); the message is for the
 * local log and is never sent.
 */
export class SessionError extends Error {
  override readonly name = 'SessionError';
  readonly scope: 'session' | 'carrier';
  readonly code: string;
  readonly status: number;
  readonly origin: Origin;

  constructor(code: string, status: number, origin: Origin, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.scope =
      (SESSION_ERRORS as Record<string, { scope: 'session' | 'carrier' }>)[code]?.scope ?? 'session';
    this.status = status;
    this.origin = origin;
  }
}

/** What the table says of this code; `options` makes it more exact. */
function sessionError(
  code: SessionErrorCode,
  message: string,
  options: ErrorOptions & { readonly status?: number; readonly origin?: Origin } = {},
): SessionError {
  const { status, origin, ...cause } = options;
  const meaning = SESSION_ERRORS[code];
  return new SessionError(code, status ?? meaning.status, origin ?? meaning.origin, message, cause);
}

const STACK_LIMIT = 'stackTraceLimit';

/**
 * What `make` returns, an error, without a stack. For those that the peer causes, or the end of a session: a stack would show how the event loop came
 * here, and costs ten times as much as all else.
 */
export function withoutStack<E extends Error>(make: () => E): E {
  const limit: unknown = Reflect.get(Error, STACK_LIMIT);
  Reflect.set(Error, STACK_LIMIT, 0); // which does nothing where it is frozen
  try {
    return make();
  } finally {
    Reflect.set(Error, STACK_LIMIT, limit);
  }
}

/** A call that cannot be carried out as asked. It never reaches the wire. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly scope = 'usage';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** An error that ends one stream; the peer is told `status` by RST_STREAM. */
export class StreamError extends Error {
  override readonly name = 'StreamError';
  readonly scope = 'stream';
  readonly code: StreamErrorCode;
  readonly status: number;
  readonly origin: Origin;

  constructor(code: StreamErrorCode, message: string) {
    super(message);
    const { status, origin } = STREAM_ERRORS[code];
    this.code = code;
    this.status = status;
    this.origin = origin;
  }
}

/** The host that holds a key is gone from behind its front (spec 10.3). The session and its other keys live on. */
export class KeyGoneError extends Error {
  override readonly name = 'KeyGoneError';
  readonly scope = 'key';
  readonly code: string;
  /** As of GOAWAY. */
  readonly status: number;

  constructor(code: string, status: number, message: string) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** What the status of KEY_GONE, or of a GOAWAY under the key, means for whoever waits. `authority` is known once the key is established. */
export function keyGone(keyId: number, authority: string | undefined, status: number): KeyGoneError {
  const whose = authority === undefined ? `of key ${keyId}` : `${authority} (key ${keyId})`;
  switch (status) {
    case GOAWAY.OK:
      return new KeyGoneError(
        'ERR_KEYMUX_GOING_AWAY',
        status,
        `the host ${whose} has shut down; negotiate another key`,
      );
    case GOAWAY.KEY_FAILURE:
      return new KeyGoneError(
        'ERR_KEYMUX_KEY_FAILURE',
        status,
        `the host ${whose} ended the key: it may not be served here, hold another key under this label, or have noticed tampering; it does not tell which`,
      );
    default:
      return new KeyGoneError(
        'ERR_KEYMUX_HOST_GONE',
        status,
        `the host ${whose} cannot be reached behind the front (status ${status}); try again later`,
      );
  }
}

/** The peer broke the framing or session rules. */
export const protocolError = (message: string): SessionError => sessionError('ERR_KEYMUX_PROTOCOL', message);

/**
 * Anything that has to do with keys went wrong. The peer learns one and the same status whatever the cause (rule R4 of
 * the threat model); `reason` stays here.
 */
export const keyFailure = (reason: string, cause?: unknown): SessionError =>
  sessionError('ERR_KEYMUX_KEY_FAILURE', reason, { cause });

/** We cannot seal what belongs under this key; to send it otherwise, or not at all, would be worse than to end. */
export const cannotSeal = (keyId: number, cause?: unknown): SessionError =>
  sessionError('ERR_KEYMUX_KEY_FAILURE', `key ${keyId} cannot seal: it is not established, or used up`, {
    origin: 'local',
    cause,
  });

/** A direction is bound to a key that is gone: nothing can prove what a KEY_SWITCH has to (spec 4.5). */
export const cannotProve = (keyId: number): SessionError =>
  sessionError(
    'ERR_KEYMUX_KEY_FAILURE',
    `key ${keyId} is gone, so nothing that is bound to it can be switched; keep a key until nothing is bound to it`,
    { origin: 'local' },
  );

/** The peer overdrew a budget (spec 7.3). */
export const overload = (message: string): SessionError => sessionError('ERR_KEYMUX_EXCESSIVE_LOAD', message);

/** The peer has ended the session because of an error (spec 7.1); it need not be told so. */
export const peerGone = (status: number): SessionError =>
  sessionError('ERR_KEYMUX_PEER_GONE', `the peer ended the session with status ${status}`);

/** The carrier ended inside a frame, or with `open` streams (spec 2.8). */
export const carrierEnded = (open: number): SessionError =>
  withoutStack(() =>
    sessionError(
      'ERR_KEYMUX_CARRIER_ENDED',
      open > 0
        ? `the connection ended with ${open} open ${open === 1 ? 'stream' : 'streams'}`
        : 'the connection ended inside a frame',
    ),
  );

/** The peer has sent nothing for `silence` milliseconds (spec 2.7). */
export const silent = (silence: number): SessionError =>
  sessionError('ERR_KEYMUX_TIMEOUT', `the peer has been silent for ${seconds(silence)}`);

const seconds = (milliseconds: number): string => `${Math.round(milliseconds / 1000)} s`;

/** The peer took longer over one frame than it may, or did not begin at all (spec 7.2). */
export const frameTooSlow = (limit: number): SessionError =>
  sessionError('ERR_KEYMUX_TIMEOUT', `the peer did not finish a frame within ${seconds(limit)}`, {
    status: GOAWAY.EXCESSIVE_LOAD,
  });

/** The peer does not read (spec 7.2). */
export const outputStuck = (limit: number): SessionError =>
  sessionError('ERR_KEYMUX_TIMEOUT', `the peer did not take what was sent to it within ${seconds(limit)}`, {
    status: GOAWAY.EXCESSIVE_LOAD,
  });

/** The session goes on in another process (spec 13). Nothing is said to the peer. */
export const handedOver = (): SessionError =>
  sessionError('ERR_KEYMUX_HANDED_OVER', 'the session was handed over');

/** The peer sent more than the session window allows. */
export const flowControlError = (message: string): SessionError =>
  sessionError('ERR_KEYMUX_FLOW_CONTROL', message);

/** Makes a session error of whatever was thrown while a frame was handled. */
export function toSessionError(error: unknown): SessionError {
  if (error instanceof SessionError) return error;
  if (error instanceof FrameError && error.scope === 'session') {
    return new SessionError(error.code, error.status, 'remote', error.message, { cause: error });
  }
  const message = error instanceof Error ? error.message : String(error);
  return sessionError('ERR_KEYMUX_INTERNAL', `internal error: ${message}`, { cause: error });
}
