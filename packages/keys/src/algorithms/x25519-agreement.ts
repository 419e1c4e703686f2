import { equalBytes, type X25519Key } from '../crypto.ts';
import { keyFailure } from '../errors.ts';
import { Secret } from '../secret.ts';

/** X25519(own, peer). Throws KeyError (session) if `peer` is this side's own value, or of small order. */
export function agreeX25519(own: X25519Key, peer: Uint8Array): Secret {
  if (equalBytes(own.publicValue, peer)) throw keyFailure('own-message');
  const shared = own.agree(peer);
  if (shared === undefined) throw keyFailure('public-key');
  return Secret.take(shared);
}
