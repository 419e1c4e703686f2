import { ascii, concat, u32 } from '../bytes.ts';
import { ED25519_SIGNATURE_LENGTH, equalBytes, sha512, verifyEd25519 } from '../crypto.ts';
import { decodePublicKey, ED25519, encodePublicKey } from './public-key.ts';
import { decodeBase64, SshFormatError, SshReader, sshString } from './ssh-wire.ts';

/**
 * What our signatures are for (PROTOCOL.sshsig). It is inside what is signed, so no signature for SSH logins, git or files is ever one of ours, nor
 * the other way round, although they are made with the same keys.
 */
export const NAMESPACE = 'session-identity@keymux';

/**
 * The bytes that a signature in SSHSIG format is made over. Only this file makes instances, and signers take nothing else: there is no way to
 * have them sign bytes that somebody chose (rule R9).
 *
 *     "SSHSIG" | string namespace | string reserved | string hash algorithm | string H(message)
 */
export class SignedData {
  readonly #bytes: Uint8Array;

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The bytes to sign. Throws TypeError for what only looks like an instance. */
  static bytesOf(data: SignedData): Uint8Array {
    return data.#bytes;
  }

  static of(message: Uint8Array): SignedData {
    return new SignedData(
      concat(
        MAGIC,
        sshString(ascii(NAMESPACE)),
        NO_STRING,
        sshString(ascii(HASH)),
        sshString(sha512(message)),
      ),
    );
  }

  /** Whether `signature`, the 64 bytes that Ed25519 makes, is the identity's over these bytes. */
  isSignedBy(identity: Uint8Array, signature: Uint8Array): boolean {
    return verifyEd25519(identity, this.#bytes, signature);
  }
}

/** A signature as a file of its own, as `ssh-keygen -Y verify` takes it. */
export function encodeSshsig(identity: Uint8Array, signature: Uint8Array): Uint8Array {
  return concat(
    MAGIC,
    u32(VERSION),
    sshString(encodePublicKey(identity)),
    sshString(ascii(NAMESPACE)),
    NO_STRING,
    sshString(ascii(HASH)),
    sshString(encodeSignature(signature)),
  );
}

/** Wraps an encoded signature in lines of text. */
export function armorSshsig(encoded: Uint8Array): string {
  const lines =
    Buffer.from(encoded)
      .toString('base64')
      .match(/.{1,70}/g) ?? [];
  return `${[BEGIN, ...lines, END].join('\n')}\n`;
}

/** Takes lines of text apart. Throws SshFormatError. */
export function unarmorSshsig(text: string): Uint8Array {
  const lines = text.replace(/\r?\n$/, '').split(/\r?\n/);
  if (lines[0] !== BEGIN || lines.at(-1) !== END) throw new SshFormatError('is not an SSH signature');
  return decodeBase64(lines.slice(1, -1).join(''));
}

/**
 * Who made an encoded signature, and its 64 bytes. Refuses every other format version, namespace, hash or type of key. Says nothing about whether
 * the signature is right. Throws SshFormatError.
 */
export function decodeSshsig(encoded: Uint8Array): {
  readonly identity: Uint8Array;
  readonly signature: Uint8Array;
} {
  const reader = new SshReader(encoded);
  if (!equalBytes(reader.take(MAGIC.length), MAGIC)) throw new SshFormatError('is not an SSH signature');
  if (reader.u32() !== VERSION) throw new SshFormatError('has another format version');
  const identity = decodePublicKey(reader.string());
  if (reader.text() !== NAMESPACE) throw new SshFormatError('was made for another purpose');
  if (reader.string().length > 0) throw new SshFormatError('uses a reserved field');
  if (reader.text() !== HASH) throw new SshFormatError(`was made with another hash than ${HASH}`);
  const signature = decodeSignature(reader.string());
  reader.end();
  return { identity, signature };
}

/** Who signed `message`; undefined if the signature is not right. Throws SshFormatError if it is none of ours. */
export function verifySshsig(encoded: Uint8Array, message: Uint8Array): Uint8Array | undefined {
  const { identity, signature } = decodeSshsig(encoded);
  return SignedData.of(message).isSignedBy(identity, signature) ? identity : undefined;
}

/** An Ed25519 signature as SSH writes it, agents too: `string` type, `string` signature (RFC 8709). Throws SshFormatError. */
export function decodeSignature(blob: Uint8Array): Uint8Array {
  const reader = new SshReader(blob);
  if (reader.text() !== ED25519) throw new SshFormatError('has a signature of another type');
  const signature = reader.string();
  reader.end();
  if (signature.length !== ED25519_SIGNATURE_LENGTH)
    throw new SshFormatError('has a signature of the wrong length');
  return Uint8Array.from(signature);
}

function encodeSignature(signature: Uint8Array): Uint8Array {
  return concat(sshString(ascii(ED25519)), sshString(signature));
}

const MAGIC = ascii('SSHSIG');
const VERSION = 1;
const HASH = 'sha512';
const NO_STRING = sshString(new Uint8Array(0));
const BEGIN = '-----BEGIN SSH SIGNATURE-----';
const END = '-----END SSH SIGNATURE-----';
