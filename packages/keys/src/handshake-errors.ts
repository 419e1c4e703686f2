import { type KeyError, usageError } from './errors.ts';
import type { Offer } from './keeper.ts';

/** The local user asked for a key that the keyring does not have for this use. */
export function unknownKey({ label, authority }: Offer): KeyError {
  const use = authority === '' ? 'the peer itself' : `"${authority}"`;
  return usageError(
    `no key labelled "${label}" may be used for ${use} on this side; add it, or correct label or authority`,
    'ERR_KEYMUX_KEY_UNKNOWN',
  );
}
