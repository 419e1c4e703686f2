import { fingerprint } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { identified } from '../support/identified.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, failureOf, Keys, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** The attacker has stolen Alice's private key, and wants to be the host towards her. */
describe('H11: key compromise impersonation', () => {
  test('control: with it he is Alice towards the host', async () => {
    const { who, victims, negotiate } = await identified(scope, {
      clientSigner: ({ alice }) => alice.signer,
    });
    await tell(victims.client.request({ host: ALPHA, path: '/', key: await negotiate() }));
    expect(victims.sessions[0]?.key(1)?.peer).toContain(fingerprint(who.alice.signer.identity));
  });

  test('as the host he proves her own identity: she refuses', async () => {
    const { victims, negotiate } = await identified(scope, { originSigner: ({ alice }) => alice.signer });
    expect(await failureOf(negotiate())).toBeDefined();
    expect(victims.client.session.key(1)).toBeUndefined();
  });

  test('also if her own identity is the one that she knows for the host', async () => {
    const { victims, negotiate } = await identified(scope, {
      originSigner: ({ alice }) => alice.signer,
      knownHosts: ({ alice }) => `[${ALPHA}]:6121 ${alice.line}`,
    });
    expect(await failureOf(negotiate())).toBeDefined();
    expect(victims.client.session.key(1)).toBeUndefined();
  });

  test('he claims the identity of the host, and signs with her key: she refuses', async () => {
    const { victims, negotiate } = await identified(scope, {
      originSigner: ({ alice, host }) => ({
        identity: host.signer.identity,
        comment: '',
        sign: (data, signal) => alice.signer.sign(data, signal),
      }),
    });
    expect(await failureOf(negotiate())).toBeDefined();
    expect(victims.client.session.key(1)).toBeUndefined();
  });

  test('with a shared key, who steals it is the host: written down, not prevented', async () => {
    const stolen = new Keys();
    const thief = await setVictims(scope, { keys: stolen });
    expect(await thief.key(ALPHA)).toMatchObject({ level: 'authenticated', peer: `psk:${stolen.of(ALPHA)}` });
  });
});
