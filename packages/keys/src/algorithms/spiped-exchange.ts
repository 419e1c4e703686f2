import { concat } from '../bytes.ts';
import {
  type DhKey,
  equalBytes,
  GROUP14_LENGTH,
  HASH_LENGTH,
  hmacSha256,
  isGroup14Public,
  pbkdf2Sha256,
} from '../crypto.ts';
import { keyFailure } from '../errors.ts';
import type { Reader } from '../reader.ts';
import { Secret } from '../secret.ts';

/**
 * The values of spiped's DESIGN, steps C3/S3 to C7/S7, byte by byte and without any framing of ours: the real spiped
 * speaks the same. `client` is spiped's client, here the initiator.
 */
export interface Nonces {
  readonly client: Uint8Array;
  readonly server: Uint8Array;
}

/** dhmac_C and dhmac_S (C3, S3): prove that a Diffie-Hellman value comes from a holder of K. 32 bytes each. */
export interface ExchangeMacs {
  readonly client: Secret;
  readonly server: Secret;
}

export function exchangeMacs(k: Secret, nonces: Nonces): ExchangeMacs {
  const dk1 = k.use((bytes) => pbkdf2Sha256(bytes, concat(nonces.client, nonces.server), 1, 2 * HASH_LENGTH));
  return {
    client: Secret.take(dk1.subarray(0, HASH_LENGTH)),
    server: Secret.take(dk1.subarray(HASH_LENGTH)),
  };
}

/** y || h (C4, S5), 288 bytes. */
export function proveValue(y: Uint8Array, mac: Secret): Uint8Array {
  return concat(
    y,
    mac.use((key) => hmacSha256(key, y)),
  );
}

/**
 * Takes y || h apart (C5, S4) and returns y. Throws KeyError (session) unless 1 < y < p - 1 and h is right. spiped itself lets y = 1
 * pass, by which a side turns off forward secrecy; here forward secrecy is not optional.
 */
export function readValue(reader: Reader, mac: Secret): Uint8Array {
  const y = reader.take(GROUP14_LENGTH);
  const h = reader.take(HASH_LENGTH);
  if (!isGroup14Public(y)) throw keyFailure('group');
  if (
    !equalBytes(
      h,
      mac.use((key) => hmacSha256(key, y)),
    )
  )
    throw keyFailure('wrong-key');
  return y;
}

/** dk_2 = E_C || H_C || E_S || H_S (C6 and C7, S6 and S7), 128 bytes. Rejects with KeyError (session) if no honest peer can have sent `peer`. */
export async function sessionKeys(k: Secret, nonces: Nonces, own: DhKey, peer: Uint8Array): Promise<Secret> {
  const shared = await own.agree(peer);
  if (shared === undefined) throw keyFailure('group');
  const salt = concat(nonces.client, nonces.server, shared);
  const keys = k.use((bytes) => Secret.take(pbkdf2Sha256(bytes, salt, 1, 4 * HASH_LENGTH)));
  shared.fill(0);
  salt.fill(0);
  return keys;
}
