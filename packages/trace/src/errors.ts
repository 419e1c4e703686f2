/** What was given as a capture is none, or is damaged. */
export class CaptureError extends Error {
  override readonly name = 'CaptureError';
  readonly code = 'ERR_KEYMUX_CAPTURE';
}
