export type PipeErrorCode =
  /** The target was not reached, or the handshake not finished, in time. */
  | 'ERR_KEYMUX_TIMEOUT'
  /** The other side ended the connection in the middle. */
  | 'ERR_KEYMUX_CARRIER_ENDED'
  /** The peer ended the handshake as spiped does when the keys differ. What this side itself finds wrong is a KeyError with this code. */
  | 'ERR_KEYMUX_KEY_FAILURE'
  /** The connection was ended on this side. */
  | 'ERR_KEYMUX_CLOSED';

/** Why a connection failed, for the local user: the peer learns nothing but that it is over (spec 11.5). */
export class PipeError extends Error {
  override readonly name = 'PipeError';
  readonly code: PipeErrorCode;

  constructor(code: PipeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
