import { ascii, concat } from '../bytes.ts';
import {
  aeadKey,
  bcryptPbkdf,
  decryptAes256Ctr,
  ED25519_KEY_LENGTH,
  Ed25519Key,
  equalBytes,
  openAes256Gcm,
  TAG_LENGTH,
} from '../crypto.ts';
import { LocalSigner } from './local-signer.ts';
import { decodePublicKey, ED25519, OtherKeyType } from './public-key.ts';
import { decodeBase64, SshFormatError, SshReader } from './ssh-wire.ts';

/** The passphrase is missing or wrong. */
export class PassphraseError extends SshFormatError {
  readonly given: boolean;

  constructor(given: boolean) {
    super(given ? 'does not open with this passphrase' : 'is protected by a passphrase, and none was given');
    this.given = given;
  }
}

/** Whether this is a private key in OpenSSH's format that needs a passphrase. Throws SshFormatError. */
export function needsPassphrase(text: string): boolean {
  const blob = unarmor(text);
  try {
    return openEnvelope(blob).cipher !== 'none';
  } finally {
    blob.fill(0);
  }
}

/** The public key of a private key file, which needs no passphrase. Throws SshFormatError. */
export function publicHalf(text: string): Uint8Array {
  const blob = unarmor(text);
  try {
    return openEnvelope(blob).identity;
  } finally {
    blob.fill(0);
  }
}

/**
 * Reads an Ed25519 private key in OpenSSH's format (PROTOCOL.key), as ssh-keygen writes it. Throws SshFormatError, whose message says what is wrong with
 * the file; PassphraseError if it is the passphrase.
 *
 *     "openssh-key-v1\0" | string cipher | string kdf | string kdf options | uint32 number of keys
 *     string public key | string private part, encrypted | tag, if the cipher makes one
 */
export function parseOpenSshPrivateKey(text: string, passphrase?: Uint8Array): LocalSigner {
  const blob = unarmor(text);
  let plain: Uint8Array | undefined;
  try {
    const envelope = openEnvelope(blob);
    const isProtected = envelope.cipher !== 'none';
    if (isProtected && (passphrase?.length ?? 0) === 0) throw new PassphraseError(false);
    plain = decrypt(envelope, passphrase ?? new Uint8Array(0));
    return readPrivatePart(plain, envelope.identity, isProtected);
  } finally {
    blob.fill(0);
    plain?.fill(0);
  }
}

interface Envelope {
  readonly cipher: 'none' | keyof typeof CIPHERS;
  readonly salt: Uint8Array;
  readonly rounds: number;
  /** The public key that stands outside of what is encrypted. */
  readonly identity: Uint8Array;
  readonly body: Uint8Array;
  readonly tag: Uint8Array;
}

function openEnvelope(blob: Uint8Array): Envelope {
  const reader = new SshReader(blob);
  if (!equalBytes(reader.take(MAGIC.length), MAGIC))
    throw new SshFormatError('is not a private key of OpenSSH');
  const cipher = reader.text();
  const kdf = reader.text();
  const options = new SshReader(reader.string());
  const count = reader.u32();
  if (count !== 1) throw new SshFormatError(`holds ${count} keys; it must hold one`);
  const identity = decodePublicKey(reader.string());
  const body = reader.string();
  const { salt, rounds } = readKdfOptions(kdf, options);
  if (cipher === 'none') {
    if (kdf !== 'none') throw new SshFormatError('has a passphrase but no cipher');
    reader.end();
    return { cipher, salt, rounds, identity, body, tag: new Uint8Array(0) };
  }
  if (cipher !== AES_CTR && cipher !== AES_GCM) {
    throw new SshFormatError(
      `is encrypted with ${printableName(cipher)}; only ${AES_CTR} and ${AES_GCM} are read here. "ssh-keygen -p -Z ${AES_CTR} -f FILE" encrypts it anew`,
    );
  }
  if (kdf !== 'bcrypt') throw new SshFormatError('has a cipher but no passphrase');
  const tag = reader.take(CIPHERS[cipher].tag);
  reader.end();
  return { cipher, salt, rounds, identity, body, tag };
}

function readKdfOptions(kdf: string, options: SshReader): { salt: Uint8Array; rounds: number } {
  if (kdf === 'none') {
    options.end();
    return { salt: new Uint8Array(0), rounds: 0 };
  }
  if (kdf !== 'bcrypt')
    throw new SshFormatError(`stretches its passphrase with ${printableName(kdf)}, not bcrypt`);
  const salt = options.string();
  const rounds = options.u32();
  options.end();
  if (salt.length < 8 || salt.length > 64 || rounds < 1 || rounds > MAX_ROUNDS) {
    throw new SshFormatError(
      `asks for ${rounds} rounds of bcrypt with a salt of ${salt.length} bytes; 1 to ${MAX_ROUNDS} and 8 to 64 are read here`,
    );
  }
  return { salt, rounds };
}

/** The private part in a buffer of its own, padding included. */
function decrypt({ cipher, salt, rounds, body, tag }: Envelope, passphrase: Uint8Array): Uint8Array {
  const block = cipher === 'none' ? 8 : 16;
  if (body.length === 0 || body.length % block !== 0)
    throw new SshFormatError('has a private part of odd length');
  if (cipher === 'none') return Uint8Array.from(body);
  const { iv: ivLength } = CIPHERS[cipher];
  const material = bcryptPbkdf(passphrase, salt, rounds, 32 + ivLength);
  const [key, iv] = [material.subarray(0, 32), material.subarray(32)];
  try {
    if (cipher === AES_CTR) return decryptAes256Ctr(key, iv, body);
    const plain = openAes256Gcm(aeadKey(key), iv, new Uint8Array(0), concat(body, tag));
    if (plain === undefined) throw new PassphraseError(true);
    return plain;
  } finally {
    material.fill(0);
  }
}

/**
 *     uint32 check | uint32 check, the same | string type | string public key | string seed, public key | string comment | 1, 2, 3, ...
 */
function readPrivatePart(plain: Uint8Array, identity: Uint8Array, isProtected: boolean): LocalSigner {
  const reader = new SshReader(plain);
  const check = reader.u32();
  if (reader.u32() !== check) {
    if (isProtected) throw new PassphraseError(true);
    throw new SshFormatError('is damaged: its check numbers differ');
  }
  const type = reader.text();
  if (type !== ED25519) throw new OtherKeyType(type);
  const inner = reader.string();
  const pair = reader.string();
  const comment = reader.text();
  readPadding(reader);
  const seed = pair.subarray(0, ED25519_KEY_LENGTH);
  const outer = pair.subarray(ED25519_KEY_LENGTH);
  if (seed.length !== ED25519_KEY_LENGTH) throw new SshFormatError('has a private key of the wrong length');
  // Whoever could exchange the public half would have this side answer for another identity.
  const derived = Ed25519Key.ofSeed(seed).publicKey;
  for (const half of [inner, outer, identity]) {
    if (!equalBytes(half, derived))
      throw new SshFormatError('has a public half that does not belong to its private half');
  }
  return new LocalSigner(seed, comment);
}

function readPadding(reader: SshReader): void {
  if (reader.left >= 16) throw new SshFormatError('has too much padding');
  for (let expected = 1; reader.left > 0; expected++) {
    if (reader.u8() !== expected) throw new SshFormatError('has wrong padding');
  }
}

function unarmor(text: string): Uint8Array {
  const lines = text.trim().split(/\r?\n/);
  if (lines[0] !== BEGIN) throw new SshFormatError(whatElse(lines[0] ?? ''));
  if (lines.at(-1) !== END) throw new SshFormatError('is cut off: its last line is missing');
  return decodeBase64(lines.slice(1, -1).join(''));
}

/** What a file is that does not begin as it should. */
function whatElse(first: string): string {
  if (/^(ssh|ecdsa|sk)-\S+ /.test(first)) return 'is a public key; the private key is the file without .pub';
  if (/^-----BEGIN .*PRIVATE KEY-----$/.test(first) || first.startsWith('PuTTY-User-Key-File')) {
    return `is a private key, but not an Ed25519 key in OpenSSH's format; "ssh-keygen -t ed25519 -f FILE" makes one`;
  }
  return `is not a private key; "ssh-keygen -t ed25519 -f FILE" makes one`;
}

function printableName(name: string): string {
  return /^[a-z0-9@.-]{1,40}$/.test(name) ? name : 'something unknown';
}

const MAGIC = ascii('openssh-key-v1\0');
const BEGIN = '-----BEGIN OPENSSH PRIVATE KEY-----';
const END = '-----END OPENSSH PRIVATE KEY-----';
const AES_CTR = 'aes256-ctr';
const AES_GCM = 'aes256-gcm@openssh.com';
const CIPHERS = { [AES_CTR]: { iv: 16, tag: 0 }, [AES_GCM]: { iv: 12, tag: TAG_LENGTH } } as const;
/** ssh-keygen's default is 24 or less; a file that asks for ten thousand would block this process for a minute. */
const MAX_ROUNDS = 1024;
