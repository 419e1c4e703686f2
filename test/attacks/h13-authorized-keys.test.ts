import { afterEach, describe, expect, test } from 'vitest';
import { identified } from '../support/identified.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, expectKeyFailure, failureOf, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** Alice meets an origin whose authorized_keys has this line for her. */
async function enter(line: (key: string) => string) {
  const { victims, negotiate } = await identified(scope, { authorizedKeys: ({ alice }) => line(alice.line) });
  const { client } = victims;
  const failure = await failureOf(
    negotiate().then((key) => tell(client.request({ host: ALPHA, path: '/', key }))),
  );
  return { victims, failure };
}

describe('H13: authorized_keys', () => {
  test.each([
    '',
    'from="127.0.0.1" ',
    'from="127.0.0.0/8,10.0.0.1" ',
    'expiry-time="20990101" ',
    'restrict ',
    'no-pty,no-agent-forwarding ',
    'permitopen="a.test:443" ',
  ])('control: with options "%s" Alice comes in', async (options) => {
    const { victims, failure } = await enter((key) => `${options}${key} alice`);
    expect(failure).toBeUndefined();
    expect(victims.delivered).toHaveLength(1);
  });

  test.each([
    'command="/bin/true"',
    'environment="PATH=/"',
    'principals="alice"',
    'cert-authority',
    'tunnel="0"',
    'permitlisten="8080"',
    'permitopen="a.test"',
    'permitopen="*"',
    'from="10.9.8.7"',
    'from="!127.0.0.1,*"',
    'from="localhost"',
    'from=""',
    'from=127.0.0.1',
    'expiry-time="20200101"',
    'expiry-time="tomorrow"',
    'expiry-time="20990101",expiry-time="20200101"',
    'verify-required',
    'touch-required',
    'no-touch-required',
    'something-of-tomorrow',
    'restrict,something-of-tomorrow',
    'RESTRICT,command="x"',
    'from="127.0.0.1',
    ',',
  ])('with option %s nobody comes in', async (option) => {
    const { victims, failure } = await enter((key) => `${option} ${key} alice`);
    expect(failure).toBeDefined();
    expect(victims.delivered).toEqual([]);
    await expectKeyFailure(victims);
  });

  test.each<[string, (key: string) => string]>([
    ['is commented out', (key) => `# ${key} alice`],
    ['names another type', (key) => key.replace('ssh-ed25519', 'ssh-rsa')],
    ['is a certificate', (key) => key.replace('ssh-ed25519', 'ssh-ed25519-cert-v01@openssh.com')],
    ['is cut off', (key) => key.slice(0, -4)],
    [
      'is of somebody else',
      () =>
        `ssh-ed25519 ${Buffer.concat([Buffer.from('0000000b7373682d6564323535313900000020', 'hex'), Buffer.alloc(32, 7)]).toString('base64')} alice`,
    ],
  ])('a line that %s lets nobody in', async (_what, line) => {
    const { victims, failure } = await enter(line);
    expect(failure).toBeDefined();
    expect(victims.delivered).toEqual([]);
  });
});
