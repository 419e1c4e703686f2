import { KeyError } from '../errors.ts';
import type { LocalSigner } from './local-signer.ts';
import {
  needsPassphrase,
  PassphraseError,
  parseOpenSshPrivateKey,
  publicHalf,
} from './openssh-private-key.ts';
import { type OwnedFileRules, ownedFileError, readOwnedFile } from './owned-file.ts';
import { SshFormatError } from './ssh-wire.ts';

const RULES: OwnedFileRules = {
  what: 'identity file',
  code: 'ERR_KEYMUX_IDENTITY',
  most: 65_536,
  forbidden: 0o077, // as ssh does
};

/** Asks the user for the passphrase of a file. The bytes are wiped after use; undefined gives up. */
export type AskPassphrase = (path: string, attempt: number) => Promise<Uint8Array | undefined>;

/**
 * Reads an OpenSSH private key from a file that only its owner can read. A passphrase is asked for if the key has one, three times at most.
 * Throws KeyError ERR_KEYMUX_IDENTITY.
 */
export async function readIdentityFile(path: string, ask?: AskPassphrase): Promise<LocalSigner> {
  return withText(path, (text) =>
    needsPassphrase(text) ? openProtected(path, text, ask) : parseOpenSshPrivateKey(text),
  );
}

/**
 * The identity of such a file, the 32 bytes of its public key, without asking for a passphrase: it stands outside of what the passphrase protects, so it is
 * for showing, and proves nothing. Throws KeyError ERR_KEYMUX_IDENTITY.
 */
export function readPublicIdentity(path: string): Promise<Uint8Array> {
  return withText(path, publicHalf);
}

async function withText<T>(path: string, action: (text: string) => T | Promise<T>): Promise<T> {
  // Before its mode is complained of, which for such a file is as it should be.
  if (path.endsWith('.pub'))
    throw ownedFileError(path, RULES, 'is a public key; the private key is the file without .pub');
  const content = await readOwnedFile(path, RULES);
  try {
    return await action(content.toString('latin1'));
  } catch (error) {
    if (error instanceof SshFormatError) throw ownedFileError(path, RULES, error.message, error);
    throw error;
  } finally {
    content.fill(0);
  }
}

async function openProtected(
  path: string,
  text: string,
  ask: AskPassphrase | undefined,
): Promise<LocalSigner> {
  let failure = new PassphraseError(false);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const passphrase = await ask?.(path, attempt);
    if (passphrase === undefined) break;
    try {
      return parseOpenSshPrivateKey(text, passphrase);
    } catch (error) {
      if (!(error instanceof PassphraseError)) throw error;
      failure = error;
    } finally {
      passphrase.fill(0);
    }
  }
  const remedy = failure.given
    ? ''
    : '; give it on a terminal, by SSH_ASKPASS, or add the key to an ssh-agent';
  throw new KeyError(RULES.code, `${RULES.what} ${path} ${failure.message}${remedy}`, { cause: failure });
}

const ATTEMPTS = 3;
