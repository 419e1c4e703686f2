import { REJECT_REASON } from '@keymux/keys';

/** What the program's exit status tells scripts. Documented in `keymux --help` and the README. */
export const EXIT = {
  OK: 0,
  /** Something failed that has no code of its own. */
  FAILURE: 1,
  /** The command line, the configuration or a key file cannot be used. */
  USAGE: 2,
  /** The peer, proxy or destination cannot be reached. */
  UNREACHABLE: 3,
  /** The keys of the two sides do not fit, or somebody tampered. */
  KEY_MISMATCH: 4,
  /** The peer refused, or what came was protected less than required. */
  DENIED: 5,
  /** The peer is shutting down. */
  DRAINING: 6,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const BY_CODE = new Map<string, ExitCode>([
  ['ERR_KEYMUX_USAGE', EXIT.USAGE],
  ['ERR_KEYMUX_CONFIG', EXIT.USAGE],
  ['ERR_KEYMUX_ADDRESS', EXIT.USAGE],
  ['ERR_KEYMUX_RULE', EXIT.USAGE],
  ['ERR_KEYMUX_KEY_FILE', EXIT.USAGE],
  ['ERR_KEYMUX_IDENTITY', EXIT.USAGE],
  ['ERR_KEYMUX_TRUST_FILE', EXIT.USAGE],
  ['ERR_KEYMUX_CAPTURE', EXIT.USAGE],
  ['ERR_KEYMUX_STATE_FILE', EXIT.USAGE],
  ['ERR_KEYMUX_POLICY', EXIT.USAGE],
  ['ERR_KEYMUX_KEY_FAILURE', EXIT.KEY_MISMATCH],
  ['ERR_KEYMUX_NEGOTIATION_REJECTED', EXIT.KEY_MISMATCH],
  ['ERR_KEYMUX_HOST_KEY', EXIT.KEY_MISMATCH],
  ['ERR_KEYMUX_LEVEL', EXIT.DENIED],
  ['ERR_KEYMUX_GOING_AWAY', EXIT.DRAINING],
  ['ERR_KEYMUX_HOST_GONE', EXIT.UNREACHABLE],
  ['ECONNREFUSED', EXIT.UNREACHABLE],
  ['ECONNRESET', EXIT.UNREACHABLE],
  ['EHOSTUNREACH', EXIT.UNREACHABLE],
  ['ENETUNREACH', EXIT.UNREACHABLE],
  ['ENOTFOUND', EXIT.UNREACHABLE],
  ['EAI_AGAIN', EXIT.UNREACHABLE],
  ['ETIMEDOUT', EXIT.UNREACHABLE],
  ['ERR_KEYMUX_TIMEOUT', EXIT.UNREACHABLE],
  ['ERR_KEYMUX_NO_ANSWER', EXIT.UNREACHABLE],
  ['ERR_KEYMUX_UPGRADE', EXIT.UNREACHABLE],
  ['ERR_KEYMUX_CARRIER', EXIT.UNREACHABLE],
  ['ERR_KEYMUX_CARRIER_ENDED', EXIT.UNREACHABLE],
]);

/** The exit status for an error, by its code or that of what caused it. */
export function exitCodeOf(error: unknown): ExitCode {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const { code, status, syscall, reason, exitCode } = cause as Error & Record<string, unknown>;
    if (code === 'ERR_KEYMUX_PROCESS') return exitCode as ExitCode; // as the process that failed has it
    // Why a keeper was not reached says more than that it was not.
    if (code === 'ERR_KEYMUX_KEEPER_AWAY') {
      const why = exitCodeOf(cause.cause);
      return why === EXIT.FAILURE ? EXIT.UNREACHABLE : why;
    }
    if (code === 'ERR_KEYMUX_REFUSED')
      return status === 502 || status === 504 ? EXIT.UNREACHABLE : EXIT.DENIED;
    if (code === 'ERR_KEYMUX_NEGOTIATION_REJECTED' && reason === REJECT_REASON.NOT_NOW)
      return EXIT.UNREACHABLE;
    if (syscall === 'connect') return EXIT.UNREACHABLE; // also to a Unix socket that is not there
    const exit = typeof code === 'string' ? BY_CODE.get(code) : undefined;
    if (exit !== undefined) return exit;
  }
  return EXIT.FAILURE;
}
