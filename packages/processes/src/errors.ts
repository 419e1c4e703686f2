/** A process could not be started, or does not stay up. */
export class ProcessError extends Error {
  override readonly name = 'ProcessError';
  readonly code = 'ERR_KEYMUX_PROCESS';
  /** The exit status that the program should end with. */
  readonly exitCode: number;

  constructor(message: string, exitCode: number, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** The exit status of a program that failed for no reason that has one. */
export const FAILURE = 1;
