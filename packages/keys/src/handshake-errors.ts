import { type KeyError, usageError } from './errors.ts';
import type { Offer } from './keeper.ts';

/** The local user asked for a key that the keyring does not have for this use. */
export function unknownKey({ label, authority }: Offer): KeyError {
  return usageError(
    `no key labelled "${label}" may be used for ${use(authority)} on this side; add it, or correct label or authority`,
    'ERR_KEYMUX_KEY_UNKNOWN',
  );
}

/** The local user asked to prove an identity that this side does not have for this use. */
export function unknownIdentity({ label, authority }: Offer): KeyError {
  return usageError(
    `there is no identity "${label}" to prove to ${use(authority)} on this side; give one, or correct label or authority`,
    'ERR_KEYMUX_KEY_UNKNOWN',
  );
}

/** The local user asked for an anonymous key that this side's own policy does not allow. */
export function notAnonymous({ authority }: Offer): KeyError {
  return usageError(
    `this side does not allow anonymous keys for ${use(authority)}; allow them, or share a key`,
    'ERR_KEYMUX_KEY_UNKNOWN',
  );
}

function use(authority: string): string {
  return authority === '' ? 'the peer itself' : `"${authority}"`;
}
