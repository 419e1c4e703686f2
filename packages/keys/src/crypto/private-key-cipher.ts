import { createDecipheriv } from 'node:crypto';
import { pbkdf } from 'bcrypt-pbkdf';
import { secretBytes } from '../bytes.ts';

/** Decrypts with AES-256 in counter mode, which authenticates nothing: for private key files only, which have a check of their own. */
export function decryptAes256Ctr(key: Uint8Array, iv: Uint8Array, body: Uint8Array): Uint8Array {
  if (iv.length !== 16) throw new RangeError('a counter block has 16 bytes');
  const decipher = createDecipheriv('aes-256-ctr', key, iv);
  const text = decipher.update(body);
  decipher.final();
  return text;
}

/** OpenBSD's bcrypt_pbkdf, which stretches the passphrase of a private key file. Synchronous: about 5 ms a round. */
export function bcryptPbkdf(
  passphrase: Uint8Array,
  salt: Uint8Array,
  rounds: number,
  length: number,
): Uint8Array {
  const key = secretBytes(length);
  if (pbkdf(passphrase, passphrase.length, salt, salt.length, key, length, rounds) !== 0) {
    throw new RangeError('bcrypt_pbkdf takes a passphrase and a salt that are not empty');
  }
  return key;
}
