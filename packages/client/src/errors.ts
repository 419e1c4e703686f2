import type { Level } from '@keymux/session';

/** The answer is protected less than was asked for; it was thrown away. */
export class LevelError extends Error {
  override readonly name = 'LevelError';
  readonly code = 'ERR_KEYMUX_LEVEL';

  constructor(host: string, required: Level, reached: Level) {
    super(`the answer of ${host} has level "${reached}", but "${required}" is required; it was not used`);
  }
}

/** The answer is sealed with a key that does not speak for the host that was asked. It was thrown away. */
export class HostKeyError extends Error {
  override readonly name = 'HostKeyError';
  readonly code = 'ERR_KEYMUX_HOST_KEY';

  constructor(host: string) {
    super(`the answer is sealed with a key that does not speak for ${host}; it was not used`);
  }
}

/** A CONNECT was refused, or a request was answered by nothing. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly code = 'ERR_KEYMUX_REFUSED';
  /** The HTTP status of the refusal; 0 if there was no answer. */
  readonly status: number;

  constructor(destination: string, status: number, reason: string) {
    super(
      `${destination}: refused${status === 0 ? '' : ` with ${status}`}${reason === '' ? '' : ` (${reason})`}`,
    );
    this.status = status;
  }
}
