import type { Level } from '@keymux/session';

export interface LevelShortfall {
  /** What would be, or was, protected too little. */
  readonly part: 'request' | 'answer' | 'credentials';
  readonly required: Level;
  /** `hop` if the level would do, but the key speaks for the peer of the session and not for the host. */
  readonly reached: Level | 'hop';
  /** Who requires it: a rule of this side, the host's own demand, the request. */
  readonly because: string;
}

/** Something would be protected less than is required: it was not sent, or not used. */
export class LevelError extends Error {
  override readonly name = 'LevelError';
  readonly code = 'ERR_KEYMUX_LEVEL';
  readonly part: LevelShortfall['part'];
  readonly required: Level;

  constructor(host: string, shortfall: LevelShortfall) {
    super(explain(host, shortfall));
    this.part = shortfall.part;
    this.required = shortfall.required;
  }
}

function explain(host: string, { part, required, reached, because }: LevelShortfall): string {
  const by = `"${required}" is required by ${because}`;
  if (part === 'answer') {
    const lack =
      reached === 'none'
        ? 'It came in the clear: ask under a key of the host, or its operator to seal such answers'
        : 'The server sealed it with such a key: ask its operator';
    return `the answer of ${host} has level "${reached}", but ${by}; it was not used. ${lack}`;
  }
  const what = part === 'request' ? 'the request' : 'credentials';
  const proof = required === 'passive' ? '' : ' and proves the peer';
  const remedy = `Negotiate a key that speaks for ${host}${proof}, or change that rule`;
  if (reached === 'hop')
    return `${what} for ${host} would be sealed for the peer of this session only, but end to end is required by ${because}; nothing was sent. ${remedy}`;
  const lack = reached === 'none' ? `this side has no key for ${host}` : 'the key at hand proves nobody';
  return `${what} for ${host} would have level "${reached}", but ${by}; nothing was sent: ${lack}. ${remedy}`;
}

/** A key does not speak for the host that is asked. */
export class HostKeyError extends Error {
  override readonly name = 'HostKeyError';
  readonly code = 'ERR_KEYMUX_HOST_KEY';

  constructor(host: string, part: 'request' | 'answer') {
    super(
      part === 'answer'
        ? `the answer is sealed with a key that does not speak for ${host}; it was not used`
        : `the key of the request does not speak for ${host}; nothing was sent. Negotiate one with this authority`,
    );
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
