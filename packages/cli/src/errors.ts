/** The configuration, or the command line, cannot be used. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'ERR_KEYMUX_CONFIG';
}
