import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { formatPublicKey } from '@keymux/keys';

/**
 * Writes a new Ed25519 private key in OpenSSH's format, without a passphrase, since ssh-keygen may not be there. Returns its public key as it stands in
 * authorized_keys and known_hosts.
 */
export async function createIdentity(path: string): Promise<string> {
  const { x, d } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  const [identity, seed] = [Buffer.from(x ?? '', 'base64url'), Buffer.from(d ?? '', 'base64url')];
  const publicKey = Buffer.concat([string('ssh-ed25519'), string(identity)]);
  const check = randomBytes(4);
  const secret = [check, check, publicKey, string(Buffer.concat([seed, identity])), string('')];
  const none = [string('none'), string('none'), string('')];
  const file = [
    ...[Buffer.from('openssh-key-v1\0'), ...none, uint32(1), string(publicKey)],
    string(padded(Buffer.concat(secret))),
  ];
  const body = Buffer.concat(file).toString('base64');
  const text = `-----BEGIN OPENSSH PRIVATE KEY-----\n${body}\n-----END OPENSSH PRIVATE KEY-----\n`;
  await writeFile(path, text, { mode: 0o600, flag: 'wx' });
  return formatPublicKey(identity);
}

function string(value: string | Uint8Array): Buffer {
  return Buffer.concat([uint32(value.length), Buffer.from(value)]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Filled up with 1, 2, 3, ... to a multiple of 8. */
function padded(bytes: Uint8Array): Buffer {
  const gap = -bytes.length & 7;
  return Buffer.concat([bytes, Uint8Array.from({ length: gap }, (_, at) => at + 1)]);
}
