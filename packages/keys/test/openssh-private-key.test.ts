import { chmodSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { needsPassphrase, parseOpenSshPrivateKey } from '../src/identity/openssh-private-key.ts';
import { fingerprint, formatPublicKey } from '../src/identity/public-key.ts';
import { SignedData } from '../src/identity/sshsig.ts';
import { readIdentityFile, readPublicIdentity } from '../src/index.ts';
import { generateKey, sshKeygen, temporaryFolder } from './openssh.ts';

const folder = temporaryFolder();
const SECRET = Buffer.from('correct horse');
const plain = generateKey(join(folder, 'plain'));
const ctr = generateKey(join(folder, 'ctr'), '-N', 'correct horse', '-a', '2');
const gcm = generateKey(
  join(folder, 'gcm'),
  '-N',
  'correct horse',
  '-a',
  '2',
  '-Z',
  'aes256-gcm@openssh.com',
);

describe('a private key made by ssh-keygen', () => {
  it.each([
    ['without a passphrase', plain, undefined],
    ['with aes256-ctr', ctr, SECRET],
    ['with aes256-gcm', gcm, SECRET],
  ])('%s is read', async (_, key, passphrase) => {
    const signer = parseOpenSshPrivateKey(key.privateText, passphrase);
    expect(formatPublicKey(signer.identity)).toBe(key.publicText);
    expect(fingerprint(signer.identity)).toBe(key.fingerprint);
    expect(signer.comment).toBe('alice@laptop');
    expect(needsPassphrase(key.privateText)).toBe(passphrase !== undefined);
    const data = SignedData.of(Buffer.from('x'));
    expect(data.isSignedBy(signer.identity, await signer.sign(data))).toBe(true);
  });

  it.each([
    ['aes256-ctr', ctr],
    ['aes256-gcm', gcm],
  ])('protected with %s, says whether the passphrase is missing or wrong', (_, key) => {
    expect(() => parseOpenSshPrivateKey(key.privateText)).toThrow(/none was given/);
    expect(() => parseOpenSshPrivateKey(key.privateText, Buffer.alloc(0))).toThrow(/none was given/);
    for (const wrong of ['Correct horse', 'correct horse ', 'x'.repeat(200)]) {
      expect(() => parseOpenSshPrivateKey(key.privateText, Buffer.from(wrong))).toThrow(/does not open/);
    }
  });

  it('does not show the key, however it is printed', () => {
    const signer = parseOpenSshPrivateKey(plain.privateText);
    const seed = blobOf(plain.privateText).subarray(161, 193);
    const shown = inspect(signer, { depth: 9, showHidden: true }) + JSON.stringify(signer);
    expect(shown).not.toContain(seed.toString('hex'));
    expect(shown).not.toContain([...seed.subarray(0, 4)].join(', '));
  });

  it.each([
    ['RSA', ['-t', 'rsa', '-b', '2048'], /ssh-rsa; only ssh-ed25519/],
    ['ECDSA', ['-t', 'ecdsa'], /ecdsa-sha2-nistp256; only ssh-ed25519/],
    ['PEM', ['-t', 'rsa', '-b', '2048', '-m', 'PEM'], /not an Ed25519 key in OpenSSH's format/],
    ['PKCS #8', ['-t', 'ecdsa', '-m', 'PKCS8'], /not an Ed25519 key in OpenSSH's format/],
    [
      'another cipher',
      ['-N', 'correct horse', '-Z', 'aes128-ctr'],
      /aes128-ctr.*ssh-keygen -p -Z aes256-ctr/,
    ],
    ['too many rounds', ['-N', 'x', '-a', '9'], /9000 rounds/],
  ])('of another kind (%s) is refused in words', (name, options, message) => {
    let { privateText } = generateKey(join(folder, name.replaceAll(' ', '-')), ...options);
    if (name === 'too many rounds') {
      privateText = changed(privateText, (blob) => blob.writeUInt32BE(9000, blob.indexOf('bcrypt') + 30));
    }
    expect(() => parseOpenSshPrivateKey(privateText, SECRET)).toThrow(message);
  });

  it('is refused if it was cut anywhere', () => {
    const blob = blobOf(plain.privateText);
    for (let length = 0; length < blob.length; length++) {
      expect(() => parseOpenSshPrivateKey(armored(blob.subarray(0, length))), `${length}`).toThrow(
        expect.objectContaining({ name: 'SshFormatError' }),
      );
    }
    expect(() => parseOpenSshPrivateKey(armored(Buffer.concat([blob, Buffer.of(0)])))).toThrow(/bytes after/);
    expect(() => parseOpenSshPrivateKey(plain.privateText.slice(0, -40))).toThrow(/cut off/);
    expect(() => parseOpenSshPrivateKey('')).toThrow(/is not a private key/);
    expect(() => parseOpenSshPrivateKey(`${plain.publicText} x`)).toThrow(/is a public key/);
  });

  it('is refused, or means the same, if any byte was changed', () => {
    const blob = blobOf(plain.privateText);
    const comment = blob.indexOf('alice@laptop', 190);
    for (let offset = 0; offset < blob.length; offset++) {
      if (offset >= comment - 1 && offset < comment + 12) continue; // the comment and its length
      const text = changed(plain.privateText, (bytes) => bytes.writeUInt8((bytes[offset] ?? 0) ^ 1, offset));
      expect(() => parseOpenSshPrivateKey(text), `${offset}`).toThrow(
        expect.objectContaining({ name: 'SshFormatError' }),
      );
    }
  });

  it('H14: is refused with a public half of another key, in each of the three places', () => {
    const other = Buffer.from(generateKey(join(folder, 'other')).publicText.split(' ')[1] ?? '', 'base64');
    const own = Buffer.from(plain.publicText.split(' ')[1] ?? '', 'base64').subarray(-32);
    const blob = blobOf(plain.privateText);
    const places = [...blob.keys()].filter((at) => blob.subarray(at, at + 32).equals(own));
    expect(places).toHaveLength(3);
    for (const chosen of [...places.map((place) => [place]), places.slice(0, 2)]) {
      const text = changed(plain.privateText, (bytes) => {
        for (const place of chosen) other.copy(bytes, place, other.length - 32);
      });
      expect(() => parseOpenSshPrivateKey(text)).toThrow(/does not belong to its private half/);
    }
  });

  it('is refused in a file that holds two', () => {
    const text = changed(plain.privateText, (bytes) => bytes.writeUInt32BE(2, 35));
    expect(() => parseOpenSshPrivateKey(text)).toThrow(/holds 2 keys/);
  });
});

describe('readIdentityFile', () => {
  it('asks for a passphrase three times at most, and wipes what it is given', async () => {
    const given: Uint8Array[] = [];
    const answers = ['wrong', 'correct horse'];
    const ask = async (): Promise<Uint8Array> => {
      const answer = Buffer.from(answers.shift() ?? 'wrong');
      given.push(answer);
      return answer;
    };
    expect(fingerprint((await readIdentityFile(ctr.path, ask)).identity)).toBe(ctr.fingerprint);
    await expect(readIdentityFile(ctr.path, ask)).rejects.toMatchObject({
      code: 'ERR_KEYMUX_IDENTITY',
      message: expect.stringContaining('does not open with this passphrase'),
    });
    expect(given).toHaveLength(5);
    expect(given.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true);
  });

  it('shows the public key without a passphrase, and only where a private key stands', async () => {
    for (const { path, fingerprint: expected } of [plain, ctr, gcm])
      expect(fingerprint(await readPublicIdentity(path))).toBe(expected);
    await expect(readPublicIdentity(`${plain.path}.pub`)).rejects.toMatchObject({
      code: 'ERR_KEYMUX_IDENTITY',
    });
  });

  it('says how to give a passphrase where nobody can be asked', async () => {
    for (const ask of [undefined, async () => undefined]) {
      await expect(readIdentityFile(gcm.path, ask)).rejects.toThrow(/SSH_ASKPASS/);
    }
  });

  it('refuses a file that others can read, that is no file, or that does not exist', async () => {
    await readIdentityFile(plain.path);
    const open = join(folder, 'open');
    writeFileSync(open, plain.privateText);
    for (const mode of [0o640, 0o604, 0o660]) {
      chmodSync(open, mode);
      await expect(readIdentityFile(open)).rejects.toThrow(/others can read or change it.*chmod 600/);
    }
    await mkdir(join(folder, 'directory'));
    await expect(readIdentityFile(join(folder, 'directory'))).rejects.toThrow(/mode|regular file/);
    await expect(readIdentityFile(join(folder, 'nothing'))).rejects.toThrow(/does not exist/);
    const large = join(folder, 'large');
    writeFileSync(large, Buffer.alloc(65_537), { mode: 0o600 });
    await expect(readIdentityFile(large)).rejects.toThrow(/at most 65536/);
  });

  it('reads a key whose passphrase was changed by ssh-keygen -p', async () => {
    const { path, fingerprint: expected } = generateKey(join(folder, 'rekeyed'));
    sshKeygen('-q', '-p', '-N', 'new one', '-a', '1', '-f', path);
    const signer = await readIdentityFile(path, async () => Buffer.from('new one'));
    expect(fingerprint(signer.identity)).toBe(expected);
  });
});

function blobOf(text: string): Buffer {
  return Buffer.from(text.split('\n').slice(1, -2).join(''), 'base64');
}

function armored(blob: Buffer): string {
  const lines = blob.toString('base64').match(/.{1,70}/g) ?? [];
  return ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join(
    '\n',
  );
}

function changed(text: string, change: (blob: Buffer) => void): string {
  const blob = blobOf(text);
  change(blob);
  return armored(blob);
}
