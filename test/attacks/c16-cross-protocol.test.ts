import { createHash, createPublicKey, sign, verify } from 'node:crypto';
import type { Signer } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { identified, type People } from '../support/identified.ts';
import { Scope } from '../support/scope.ts';
import { type SshIdentity, string } from '../support/ssh-identity.ts';
import { ALPHA, expectKeyFailure, failureOf, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** What SSH has a key sign to log in (RFC 4252, 7). */
function userauthRequest(message: string): Buffer {
  return Buffer.concat([
    string(createHash('sha256').update(message).digest()),
    Buffer.of(50),
    ...['alice', 'ssh-connection', 'publickey'].map(string),
    Buffer.of(1),
    string('ssh-ed25519'),
    string(message),
  ]);
}

/** What `ssh-keygen -Y sign` signs, for a purpose of its own. */
function sshsig(namespace: string, message: string, hash = 'sha512'): Buffer {
  const digest = createHash(hash).update(message).digest();
  return Buffer.concat([Buffer.from('SSHSIG'), string(namespace), string(''), string(hash), string(digest)]);
}

describe('C16: signatures across protocols', () => {
  test('the agent is asked for nothing but SSHSIG data in our own namespace', async () => {
    const { who, victims, negotiate } = await identified(scope);
    const key = await negotiate();
    await tell(victims.client.request({ host: ALPHA, path: '/', key }));
    const asked = [...who.alice.asked, ...who.host.asked];
    expect(asked).toHaveLength(2);
    for (const data of asked) {
      const rest = Buffer.concat([string('session-identity@keymux'), string(''), string('sha512')]);
      const expected = Buffer.concat([Buffer.from('SSHSIG'), rest]);
      expect(data.subarray(0, expected.length)).toEqual(expected);
      expect(data).toHaveLength(expected.length + 4 + 64);
      // As a request to log in it does not even begin: the session identifier would be 1,397,966,931 bytes long.
      expect(data.readUInt32BE(0)).toBeGreaterThan(data.length);
    }
    expect(new Set(asked.map((data) => data.toString('hex'))).size).toBe(2);
  });

  /** A thief that has a signature of Alice's agent, made for something else. */
  function replaying(of: (who: People) => SshIdentity, data: Buffer) {
    return (who: People): Signer => {
      const { signer, privateKey } = of(who);
      const signature = sign(null, data, privateKey);
      expect(verify(null, data, createPublicKey(privateKey), signature)).toBe(true);
      return { identity: signer.identity, comment: '', sign: async () => signature };
    };
  }

  const made: readonly (readonly [string, Buffer])[] = [
    ['an SSH login', userauthRequest('session')],
    ['a file', sshsig('file', 'message')],
    ['git', sshsig('git', 'message')],
    ['our purpose, but another run', sshsig('session-identity@keymux', 'message')],
    ['our purpose, with another hash', sshsig('session-identity@keymux', 'message', 'sha256')],
    ['nothing', Buffer.alloc(0)],
  ];

  test.each(made)('a signature of Alice for %s does not let anybody in', async (_what, data) => {
    const { victims, negotiate } = await identified(scope, {
      clientSigner: replaying(({ alice }) => alice, data),
    });
    await failureOf(negotiate().then((key) => tell(victims.client.request({ host: ALPHA, path: '/', key }))));
    await expectKeyFailure(victims);
    expect(victims.delivered).toEqual([]);
    expect(victims.sessions[0]?.key(1)).toBeUndefined();
  });

  test.each(made)('a signature of the host for %s convinces no client', async (_what, data) => {
    const { who, victims, negotiate } = await identified(scope, {
      originSigner: replaying(({ host }) => host, data),
    });
    expect(await failureOf(negotiate())).toBeDefined();
    expect(who.alice.asked).toEqual([]);
    await expectKeyFailure(victims);
  });
});
