/** A session could not be handed over. */
export class HandOverError extends Error {
  override readonly name = 'HandOverError';
  readonly code = 'ERR_KEYMUX_HAND_OVER';
  /** Whether it is lost with that: nobody has it, or it is not known who. If not, it goes on where it was. */
  readonly lost: boolean;

  constructor(message: string, lost: boolean, options?: ErrorOptions) {
    super(message, options);
    this.lost = lost;
  }
}
