import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ascii, concat, u8, u32 } from '../src/bytes.ts';
import { encodePublicKey } from '../src/identity/public-key.ts';
import { sshString } from '../src/identity/ssh-wire.ts';
import { SignedData } from '../src/identity/sshsig.ts';
import { fingerprint, type Signer, SshAgent } from '../src/index.ts';
import { generateKey, startAgent, temporaryFolder } from './openssh.ts';
import { signerOf } from './signers.ts';

const folder = temporaryFolder();
const agent = await startAgent(folder);
const key = generateKey(join(folder, 'key'));
const rsa = generateKey(join(folder, 'rsa'), '-t', 'rsa', '-b', '2048');
const constrained = generateKey(join(folder, 'asks'));
agent.add(key.path);
agent.add(rsa.path);

const DATA = SignedData.of(ascii('what is to be signed'));
const never = new AbortController().signal;

describe('a real ssh-agent', () => {
  it('lists its Ed25519 keys, and signs what verifies', async () => {
    const signers = await new SshAgent(agent.socket).signers();
    expect(signers.map(({ identity }) => fingerprint(identity))).toEqual([key.fingerprint]);
    const [signer] = signers as [Signer];
    expect(signer.comment).toBe('alice@laptop');
    expect(DATA.isSignedBy(signer.identity, await signer.sign(DATA, never))).toBe(true);
  });

  it('refuses in words: a key that needs confirmation, and one that is gone', async () => {
    agent.add('-c', constrained.path);
    const signers = await new SshAgent(agent.socket).signers();
    const confirming = signers.find(({ identity }) => fingerprint(identity) === constrained.fingerprint);
    agent.add('-d', constrained.path);
    await expect(confirming?.sign(DATA, never)).rejects.toMatchObject({
      code: 'ERR_KEYMUX_IDENTITY',
      message: expect.stringContaining('refused to sign'),
    });
  });

  it('is found by the environment', async () => {
    expect(await SshAgent.fromEnvironment({ SSH_AUTH_SOCK: agent.socket }).signers()).toHaveLength(1);
    for (const environment of [{}, { SSH_AUTH_SOCK: '' }]) {
      expect(() => SshAgent.fromEnvironment(environment)).toThrow(/SSH_AUTH_SOCK is not set/);
    }
    await expect(new SshAgent(join(folder, 'nothing')).signers()).rejects.toThrow(
      /cannot be reached \(ENOENT\)/,
    );
  });
});

describe('an agent that does not behave', () => {
  let server: Server | undefined;
  const sockets = new Set<Socket>();
  let counter = 0;

  /** An agent that answers everything with these bytes. */
  async function answering(...chunks: Uint8Array[]): Promise<string> {
    const path = join(folder, `fake-${counter++}`);
    server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('data', () => {
        for (const chunk of chunks) socket.write(chunk);
      });
    });
    await new Promise<void>((resolve) => server?.listen(path, resolve));
    return path;
  }

  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    server?.close();
  });

  const message = (type: number, ...parts: Uint8Array[]): Uint8Array => {
    const content = concat(u8(type), ...parts);
    return concat(u32(content.length), content);
  };
  const own = signerOf('agent');
  const blob = sshString(encodePublicKey(own.identity));
  const one = message(12, u32(1), blob, sshString(ascii('x')));

  it.each([
    ['says no', message(5), /answered with message 5/],
    ['answers something else', message(14, blob), /answered with message 14/],
    ['sends a message that is too large', u32(256 * 1024 + 1), /262145 bytes/],
    ['sends an empty message', u32(0), /0 bytes/],
    ['sends two answers', concat(one, one), /more than one answer/],
    ['sends more after the last key', message(12, u32(0), u8(0)), /1 bytes after/],
    [
      'lists more keys than it sends',
      message(12, u32(2), blob, sshString(ascii('x'))),
      /ends inside a field/,
    ],
    ['lists too many keys', message(12, u32(0xffffffff)), /4294967295 keys/],
    ['sends a length beyond the end', message(12, u32(1), u32(0xffffffff)), /ends inside a field/],
  ])('and %s is refused', async (_, answer, problem) => {
    const asked = new SshAgent(await answering(answer)).signers();
    await expect(asked).rejects.toMatchObject({
      code: 'ERR_KEYMUX_IDENTITY',
      message: expect.stringMatching(problem),
    });
  });

  it('byte by byte is as good as at once', async () => {
    const path = await answering(...[...one].map((byte) => Uint8Array.of(byte)));
    expect(await new SshAgent(path).signers()).toHaveLength(1);
  });

  it('and passes weak keys on gets none of them used', async () => {
    const weak = sshString(concat(sshString(ascii('ssh-ed25519')), sshString(new Uint8Array(32))));
    const path = await answering(message(12, u32(1), weak, sshString(ascii('x'))));
    expect(await new SshAgent(path).signers()).toEqual([]);
  });

  it('and closes, or never answers, is given up', async () => {
    const silent = new SshAgent(await answering(), { timeout: 50 });
    await expect(silent.signers()).rejects.toThrow(/did not answer within 50 ms/);
    const closing = createServer((socket) => socket.end());
    const path = join(folder, 'closing');
    await new Promise<void>((resolve) => closing.listen(path, resolve));
    await expect(new SshAgent(path).signers()).rejects.toThrow(/without an answer/);
    closing.close();
  });

  it('is given up when nobody waits any more', async () => {
    const abort = new AbortController();
    const asked = new SshAgent(await answering()).signers(abort.signal);
    abort.abort(new Error('nobody waits'));
    await expect(asked).rejects.toThrow('nobody waits');
    await expect(new SshAgent('nowhere').signers(AbortSignal.abort(new Error('before')))).rejects.toThrow(
      'before',
    );
  });

  it('and signs as somebody else, or something else, is refused', async () => {
    const wrong = [await signerOf('another').sign(DATA), await own.sign(SignedData.of(ascii('another')))];
    for (const signature of wrong) {
      const signed = sshString(concat(sshString(ascii('ssh-ed25519')), sshString(signature)));
      // It lists our key first, and signs then.
      const path = join(folder, `fake-${counter++}`);
      const answers = [one, message(14, signed)];
      const lying = createServer((socket) => socket.once('data', () => socket.write(answers.shift() ?? one)));
      await new Promise<void>((resolve) => lying.listen(path, resolve));
      const [signer] = (await new SshAgent(path).signers()) as [Signer];
      await expect(signer.sign(DATA, never)).rejects.toThrow(/a signature that is not right/);
      lying.close();
    }
  });
});
