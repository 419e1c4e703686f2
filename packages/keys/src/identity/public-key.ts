import { ascii, concat } from '../bytes.ts';
import { ED25519_KEY_LENGTH, equalBytes, isEd25519Public, sha256 } from '../crypto.ts';
import { decodeBase64, SshFormatError, SshReader, sshString } from './ssh-wire.ts';

/** The one type of key that an identity can have. */
export const ED25519 = 'ssh-ed25519';

/** A public key of another type than Ed25519: well-formed, but no identity here. */
export class OtherKeyType extends SshFormatError {
  readonly type: string;

  constructor(type: string) {
    super(`has a key of type ${printable(type)}; only ${ED25519} keys can be identities here`);
    this.type = type;
  }
}

/** An identity, which is the 32 bytes of the public key and nothing else, as SSH writes it: `string` type, `string` key (RFC 8709). */
export function encodePublicKey(identity: Uint8Array): Uint8Array {
  return concat(sshString(ascii(ED25519)), sshString(identity));
}

/** The identity in an encoded public key. Throws OtherKeyType, or SshFormatError also for keys that nobody can have honestly. */
export function decodePublicKey(blob: Uint8Array): Uint8Array {
  const reader = new SshReader(blob);
  const type = reader.text();
  if (type !== ED25519) throw new OtherKeyType(type);
  const identity = reader.string();
  reader.end();
  if (identity.length !== ED25519_KEY_LENGTH) throw new SshFormatError('has a key of the wrong length');
  if (!isEd25519Public(identity))
    throw new SshFormatError('has a weak key: of small order, or not canonical');
  return Uint8Array.from(identity);
}

/** The identity of `TYPE BASE64`, the two fields that key files, authorized_keys and known_hosts have in common. */
export function parsePublicKey(type: string, base64: string): Uint8Array {
  if (!/^[a-z0-9@.-]{1,64}$/.test(type)) throw new SshFormatError('has no key type where one should be');
  const blob = decodeBase64(base64);
  if (new SshReader(blob).text() !== type)
    throw new SshFormatError('names another key type than its key has');
  return decodePublicKey(blob);
}

/** `TYPE BASE64`, one line without its end. */
export function formatPublicKey(identity: Uint8Array): string {
  return `${ED25519} ${Buffer.from(encodePublicKey(identity)).toString('base64')}`;
}

/** `SHA256:...`, as ssh-keygen -l prints it. */
export function fingerprint(identity: Uint8Array): string {
  const hash = Buffer.from(sha256(encodePublicKey(identity))).toString('base64');
  return `SHA256:${hash.replace(/=+$/, '')}`;
}

/** An identity for people and logs. */
export function describeIdentity(identity: Uint8Array, name = ''): string {
  const suffix = name === '' ? '' : ` (${printable(name)})`;
  return `${ED25519} ${fingerprint(identity)}${suffix}`;
}

export function sameIdentity(a: Uint8Array, b: Uint8Array): boolean {
  return equalBytes(a, b);
}

/** Text of a file or a peer without what could steer a terminal or break a line of a log. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e\u00a0-\u1fff]/g, '?').slice(0, 256);
}
