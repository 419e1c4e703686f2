import fc from 'fast-check';
import { DAMAGE, type Damage, damaged, hex, must, pick } from '../checks.ts';
import {
  decodeSshsig,
  needsPassphrase,
  parseOpenSshPrivateKey,
  publicHalf,
  SshFormatError,
  seeded,
  signerOf,
  unarmorSshsig,
} from '../internals.ts';
import { target } from '../target.ts';

interface Case {
  readonly kind: number;
  readonly inside: readonly Damage[];
  readonly outside: readonly Damage[];
  readonly passphrase: boolean;
}

const { identity } = signerOf('client');
const seed = seeded('identity of client')(32);

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const string = (content: string | Uint8Array): Buffer => {
  const bytes = Buffer.from(content as string);
  return Buffer.concat([u32(bytes.length), bytes]);
};
const publicKey = Buffer.concat([string('ssh-ed25519'), string(identity)]);

/** A private key as PROTOCOL.key has it; with a cipher the private part is noise, which no passphrase opens. */
function privateKey(cipher: string): Buffer {
  const plain = Buffer.concat([
    ...[u32(7), u32(7), string('ssh-ed25519'), string(identity), string(Buffer.concat([seed, identity]))],
    string('alice'),
  ]);
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]).subarray(
    0,
    (16 - (plain.length % 16)) % 16,
  );
  const kdf =
    cipher === 'none'
      ? [string('none'), string('')]
      : [string('bcrypt'), string(Buffer.concat([string('saltsalt'), u32(1)]))];
  const tag = cipher.startsWith('aes256-gcm') ? Buffer.alloc(16) : Buffer.alloc(0);
  const head = [Buffer.from('openssh-key-v1\0'), string(cipher), ...kdf, u32(1), string(publicKey)];
  const short = padding.subarray(0, (8 - (plain.length % 8)) % 8);
  return Buffer.concat([...head, string(Buffer.concat([plain, cipher === 'none' ? short : padding])), tag]);
}

const signature = Buffer.concat([
  ...[
    Buffer.from('SSHSIG'),
    u32(1),
    string(publicKey),
    string('session-identity@keymux'),
    string(''),
    string('sha512'),
  ],
  string(Buffer.concat([string('ssh-ed25519'), string(Buffer.alloc(64, 1))])),
]);

const FILES = [
  { label: 'OPENSSH PRIVATE KEY', blob: privateKey('none') },
  { label: 'SSH SIGNATURE', blob: signature },
  { label: 'OPENSSH PRIVATE KEY', blob: privateKey('aes256-ctr') },
  { label: 'OPENSSH PRIVATE KEY', blob: privateKey('aes256-gcm@openssh.com') },
];

/** A damaged identity file is refused with what is wrong with it, or is the identity that it was. */
export const identityFile = target<Case>({
  name: 'identity-file',
  cases: fc.record({
    // What has a passphrase takes a hundred times as long.
    kind: fc.oneof(
      { weight: 12, arbitrary: fc.nat(1) },
      { weight: 1, arbitrary: fc.integer({ min: 2, max: 3 }) },
    ),
    inside: fc.array(DAMAGE, { maxLength: 2 }),
    outside: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(DAMAGE, { maxLength: 2 })),
    passphrase: fc.boolean(),
  }),
  check: ({ kind, inside, outside, passphrase }) => {
    const { label, blob } = pick(FILES, kind) as (typeof FILES)[number];
    const base64 = Buffer.from(damaged(blob, inside)).toString('base64');
    const lines = base64.match(/.{1,70}/g) ?? [];
    const armored = [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
    const text = Buffer.from(damaged(Buffer.from(armored), outside)).toString('latin1');
    if (label === 'SSH SIGNATURE') {
      const decoded = refusedOr(() => decodeSshsig(unarmorSshsig(text)));
      must(decoded === undefined || decoded.signature.length === 64, 'a signature has 64 bytes');
      return;
    }
    refusedOr(() => needsPassphrase(text));
    const half = refusedOr(() => publicHalf(text));
    const rounds = roundsIn(text);
    if (passphrase && rounds > 4) return; // it would be read, but take long
    const signer = refusedOr(() =>
      parseOpenSshPrivateKey(text, passphrase ? Buffer.from('secret') : undefined),
    );
    if (signer === undefined) return;
    must(half !== undefined && hex(half) === hex(signer.identity), 'both halves belong together');
  },
  runs: 200,
});

/** The result, undefined if it was refused as a file that is not what it should be. */
function refusedOr<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (error instanceof SshFormatError) return undefined;
    throw error;
  }
}

/** Rounds of bcrypt that the file may ask for: the four bytes behind the salt, wherever that is. */
function roundsIn(text: string): number {
  const bytes = Buffer.from(text.split('\n').slice(1, -2).join(''), 'base64');
  const at = bytes.indexOf('saltsalt') + 8;
  return at < 8 || at + 4 > bytes.length ? 0 : bytes.readUInt32BE(at);
}
