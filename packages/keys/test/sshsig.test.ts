import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ascii, concat } from '../src/bytes.ts';
import { Ed25519Key } from '../src/crypto.ts';
import { parseOpenSshPrivateKey } from '../src/identity/openssh-private-key.ts';
import { encodePublicKey, sameIdentity } from '../src/identity/public-key.ts';
import { SshFormatError, sshString } from '../src/identity/ssh-wire.ts';
import {
  armorSshsig,
  decodeSshsig,
  encodeSshsig,
  NAMESPACE,
  SignedData,
  unarmorSshsig,
  verifySshsig,
} from '../src/identity/sshsig.ts';
import { generateKey, sshKeygen, temporaryFolder } from './openssh.ts';
import { VECTOR_FOLDER } from './shared-vectors.ts';

const folder = temporaryFolder();
const key = generateKey(join(folder, 'key'));
const signer = parseOpenSshPrivateKey(key.privateText);
const MESSAGE = Buffer.from('what both sides of a run agree on');
const foreign = join(VECTOR_FOLDER, 'sshsig-ed25519.sig');

async function ours(): Promise<Uint8Array> {
  return encodeSshsig(signer.identity, await signer.sign(SignedData.of(MESSAGE)));
}

function signWithOpenssh(namespace: string, ...options: string[]): Uint8Array {
  const path = join(folder, 'message');
  writeFileSync(path, MESSAGE);
  const args = ['-Y', 'sign', '-f', key.path, '-n', namespace, ...options];
  return unarmorSshsig(execFileSync('ssh-keygen', args, { input: MESSAGE, stdio: 'pipe' }).toString());
}

describe('a signature in SSHSIG format', () => {
  it('is accepted by ssh-keygen -Y verify in our namespace, and in no other', async () => {
    const [signature, allowed] = [join(folder, 'sig'), join(folder, 'allowed_signers')];
    writeFileSync(signature, armorSshsig(await ours()));
    writeFileSync(allowed, `alice ${key.publicText}\n`);
    const verify = (namespace: string, message: Uint8Array): string =>
      execFileSync(
        'ssh-keygen',
        ['-Y', 'verify', '-f', allowed, '-I', 'alice', '-n', namespace, '-s', signature],
        {
          input: message,
          stdio: 'pipe',
        },
      ).toString();
    expect(verify(NAMESPACE, MESSAGE)).toMatch(/^Good "session-identity@keymux" signature/);
    expect(() => verify('file', MESSAGE)).toThrow();
    expect(() => verify(NAMESPACE, Buffer.from('another'))).toThrow();
  });

  it('made by ssh-keygen -Y sign in our namespace is accepted', () => {
    const signature = signWithOpenssh(NAMESPACE);
    expect(sameIdentity(verifySshsig(signature, MESSAGE) as Uint8Array, signer.identity)).toBe(true);
    expect(verifySshsig(signature, Buffer.from('another'))).toBeUndefined();
  });

  it('C16: made for another purpose, with another hash, or by another type of key is refused', () => {
    for (const namespace of ['file', 'git', 'session-identity@keymuX', `${NAMESPACE}2`]) {
      expect(() => verifySshsig(signWithOpenssh(namespace), MESSAGE)).toThrow(/another purpose/);
    }
    expect(() => verifySshsig(signWithOpenssh(NAMESPACE, '-O', 'hashalg=sha256'), MESSAGE)).toThrow(/hash/);
    const rsa = generateKey(join(folder, 'rsa'), '-t', 'rsa', '-b', '2048');
    const args = ['-Y', 'sign', '-f', rsa.path, '-n', NAMESPACE];
    const text = execFileSync('ssh-keygen', args, { input: MESSAGE, stdio: 'pipe' }).toString();
    expect(() => verifySshsig(unarmorSshsig(text), MESSAGE)).toThrow(/ssh-rsa; only/);
  });

  it('C16: is made over bytes that begin with SSHSIG, so they are no SSH login', async () => {
    const bytes = SignedData.bytesOf(SignedData.of(MESSAGE));
    expect(Buffer.from(bytes.subarray(0, 6)).toString()).toBe('SSHSIG');
    expect(Buffer.from(bytes).includes(NAMESPACE)).toBe(true);
    // What sshd has a client sign begins with a session ID of 32 or 64 bytes, as a string.
    const login = concat(sshString(new Uint8Array(32)), Uint8Array.of(50), sshString(ascii('alice')));
    for (const forged of [login, { bytes: login }, Object.create(SignedData.prototype)]) {
      await expect(signer.sign(forged as SignedData)).rejects.toThrow(TypeError);
    }
    // Nor is such a signature, which an SSH client makes with the same key, one of ours.
    const own = Ed25519Key.ofSeed(new Uint8Array(32).fill(7));
    expect(SignedData.of(MESSAGE).isSignedBy(own.publicKey, own.sign(login))).toBe(false);
    expect(SignedData.of(MESSAGE).isSignedBy(own.publicKey, own.sign(bytes))).toBe(true);
  });

  it('is refused if any byte of it was changed, cut off or added', async () => {
    const whole = await ours();
    for (let offset = 0; offset < whole.length; offset++) {
      const changed = Uint8Array.from(whole);
      changed[offset] = (changed[offset] ?? 0) ^ 1;
      expect(accepted(changed), `byte ${offset}`).toBe(false);
      expect(accepted(whole.subarray(0, offset)), `${offset} bytes`).toBe(false);
    }
    expect(accepted(concat(whole, Uint8Array.of(0)))).toBe(false);
  });

  it('is refused with the key of somebody else', async () => {
    const other = parseOpenSshPrivateKey(generateKey(join(folder, 'other')).privateText);
    const { signature } = decodeSshsig(await ours());
    expect(verifySshsig(encodeSshsig(other.identity, signature), MESSAGE)).toBeUndefined();
  });

  it('in lines of text comes back as it was, and is refused if the lines are not right', async () => {
    const text = armorSshsig(await ours());
    expect(unarmorSshsig(text)).toEqual(await ours());
    expect(unarmorSshsig(text.replaceAll('\n', '\r\n'))).toEqual(await ours());
    for (const wrong of [
      '',
      text.slice(5),
      text.replace('-----END', '-----XXX'),
      `x\n${text}`,
      text.replace('U1NI', 'U1N*'),
    ]) {
      expect(() => unarmorSshsig(wrong)).toThrow(SshFormatError);
    }
  });

  it.skipIf(!existsSync(foreign))(
    "from OpenSSH's own tests is taken apart, and refused for its namespace",
    () => {
      const encoded = unarmorSshsig(readFileSync(foreign, 'utf8'));
      expect(() => decodeSshsig(encoded)).toThrow(/another purpose/);
      // With our namespace in its place it is well-formed, and wrong.
      const namespace = sshString(ascii('unittest'));
      const at = Buffer.from(encoded).indexOf(namespace);
      const ourNamespace = sshString(ascii(NAMESPACE));
      const renamed = concat(encoded.subarray(0, at), ourNamespace, encoded.subarray(at + namespace.length));
      const publicText = readFileSync(join(VECTOR_FOLDER, 'sshsig-ed25519.pub'), 'utf8').split(' ')[1] ?? '';
      const { identity } = decodeSshsig(renamed);
      expect(Buffer.from(encodePublicKey(identity)).toString('base64')).toBe(publicText);
      expect(verifySshsig(renamed, readFileSync(join(VECTOR_FOLDER, 'sshsig-signed-data')))).toBeUndefined();
    },
  );

  it('has a fingerprint as ssh-keygen says', () => {
    expect(sshKeygen('-lf', key.path)).toContain(key.fingerprint);
  });
});

function accepted(encoded: Uint8Array): boolean {
  try {
    return verifySshsig(encoded, MESSAGE) !== undefined;
  } catch (error) {
    if (error instanceof SshFormatError) return false;
    throw error;
  }
}
