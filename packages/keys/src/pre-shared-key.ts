import { ascii } from './bytes.ts';
import { hkdfExpand, hkdfExtract, sha256 } from './crypto.ts';
import { usageError } from './errors.ts';
import { Secret } from './secret.ts';

/** Limits of a key file in bytes (spec 3.5). */
export const KEY_FILE_MIN = 32;
export const KEY_FILE_MAX = 1024 * 1024;

/** A key that both sides hold as the same file (spec 3.5). The same file serves spiped. */
export class PreSharedKey {
  /** The default label: both sides derive it, and an observer learns no name from it. */
  readonly label: string;
  /** K = H(file), the key as spiped uses it. */
  readonly spipedKey: Secret;
  /** K_psk, the key as our own algorithms use it. */
  readonly psk: Secret;

  /** Makes the key of a file's content, which stays the caller's to wipe. Throws KeyError (usage) outside the limits. */
  constructor(file: Uint8Array) {
    if (file.length < KEY_FILE_MIN || file.length > KEY_FILE_MAX) {
      throw usageError(
        `a key has ${KEY_FILE_MIN} bytes to 1 MiB, this one ${file.length}; "keymux keygen" makes one`,
        'ERR_KEYMUX_KEY_FILE',
      );
    }
    const k = sha256(file);
    const psk = hkdfExtract(PSK_SALT, k);
    this.label = `k-${Buffer.from(hkdfExpand(psk, LABEL_INFO, 8)).toString('hex')}`;
    this.spipedKey = Secret.take(k);
    this.psk = Secret.take(psk);
  }

  wipe(): void {
    this.spipedKey.wipe();
    this.psk.wipe();
  }
}

const PSK_SALT = ascii('keymux/1 psk');
const LABEL_INFO = ascii('keymux/1 label');
