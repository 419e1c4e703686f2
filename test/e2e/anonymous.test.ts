import { afterEach, describe, expect, test } from 'vitest';
import { curl, curlMissing } from '../support/curl.ts';
import { jsonLines, KeymuxProcess, keymux } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { httpServer } from '../support/servers.ts';
import { makeKey } from '../support/tunnel.ts';
import { readCapture, Wiretap } from '../support/wiretap.ts';

const SECRET = 'CANARY-behind-an-anonymous-key';
const URL = 'keymux://a.test/account';
const ANONYMOUS = ['--algorithm', 'anonymous'];

const scope = new Scope();
afterEach(() => scope.close());

async function origin(...args: string[]) {
  const server = await KeymuxProcess.start(scope, ['origin', ...args], { KEYMUX_SECRET: SECRET });
  const tap = await Wiretap.start(scope, server.port);
  return { server, tap, to: [URL, '--connect-to', tap.address, '--json'] };
}

describe('keymux with keys that prove nobody', () => {
  test('get needs no key file, its level is passive, and a wiretap sees nothing', async () => {
    const { tap, to } = await origin('--host', 'a.test', '--anonymous');
    const { code, stdout } = await keymux(['get', ...to, ...ANONYMOUS]);
    expect(code).toBe(0);
    expect(jsonLines(stdout)).toMatchObject([{ status: 200, level: 'passive', answer: 'passive' }]);
    expect(readCapture(tap.only).up.negotiated).toEqual(['1/5']);
    expect(tap.sees(SECRET)).toBe(false);
  });

  test('C18: they never satisfy who requires authenticated', async () => {
    const { to } = await origin('--host', 'a.test', '--anonymous');
    const { code, stderr } = await keymux(['get', ...to, ...ANONYMOUS, '--level', 'authenticated']);
    expect(code).toBe(5);
    expect(stderr).toMatch(/has level "passive", but "authenticated" is required/);
  });

  test('the origin prompts with one where a host has no key, if the client takes it', async () => {
    const { tap, to } = await origin('--host', 'a.test', '--anonymous', '--sealed');
    const { code, stdout } = await keymux(['get', ...to, ...ANONYMOUS, '--clear']);
    expect(code).toBe(0);
    expect(jsonLines(stdout)).toMatchObject([{ status: 200, level: 'none', answer: 'passive' }]);
    expect(readCapture(tap.only).up.negotiated).toEqual(['2/5']);
    expect(tap.sees(SECRET)).toBe(false);
    expect((await keymux(['get', ...to, '--clear'])).code).toBe(1); // 426: this client allows none
    expect(tap.sees(SECRET)).toBe(false);
  });

  test('a host with a key is not reached without it', async () => {
    const key = await makeKey(scope, 'a');
    const { to } = await origin('--key', `a.test=${key}`, '--host', 'b.test', '--anonymous');
    expect((await keymux(['get', ...to, ...ANONYMOUS])).code).toBe(4);
    expect((await keymux(['get', ...to, '--key', key])).code).toBe(0);
  });

  test('are refused by who has not asked for them', async () => {
    const { to } = await origin('--host', 'a.test');
    const { code, stderr } = await keymux(['get', ...to, ...ANONYMOUS]);
    expect(code).toBe(4);
    expect(stderr).toMatch(
      /the peer does not allow anonymous; it would accept psk, spiped, psk-x25519, hybrid/,
    );
  });

  test.skipIf(curlMissing)('connect and proxy tunnel under them', async () => {
    const port = await httpServer(scope, (_request, response) => response.end(SECRET));
    const allow = ['--allow', `127.0.0.1:${port}`];
    const proxy = await KeymuxProcess.start(scope, ['proxy', '--anonymous', ...allow]);
    const tap = await Wiretap.start(scope, proxy.port);
    const local = await KeymuxProcess.start(scope, ['connect', tap.address, ...ANONYMOUS]);
    const ask = ['-x', `http://${local.address}`, `http://127.0.0.1:${port}/`];
    expect(await curl(ask)).toMatchObject({ code: 0, stdout: SECRET });
    expect(tap.sees(SECRET)).toBe(false);
    expect(await local.atLeast(1, 'connected')).toMatchObject([{ level: 'passive' }]);
    expect(await proxy.atLeast(1, 'connect')).toMatchObject([
      { status: 200, level: 'passive', identity: 'anonymous' },
    ]);
  });

  test('a proxy that wants a key does not take them', async () => {
    const proxy = await KeymuxProcess.start(scope, ['proxy', '--key', await makeKey(scope)]);
    const args = ['get', URL, '--via', proxy.address, '--proxy-algorithm', 'anonymous'];
    const { code, stderr } = await keymux(args);
    expect(code).toBe(4);
    expect(stderr).toMatch(/the peer does not allow anonymous/);
  });

  test.each([
    [['get', URL, '--algorithm', 'anonymous', '--key', 'some.key'], /takes no --key/],
    [['get', URL, '--proxy-algorithm', 'anonymous', '--proxy-key', 'k'], /takes no --proxy-key/],
    [['get', URL, '--algorithm', 'psk-x25519,anonymous'], /write anonymous alone/],
    [
      ['get', URL, '--algorithm', 'rot13'],
      /algorithm is "rot13": write psk, spiped, psk-x25519, anonymous, hybrid/,
    ],
    [['connect', 'p.test', '--algorithm', 'anonymous', '--key', 'k'], /neither --key nor --clear/],
    [['connect', 'p.test', '--algorithm', 'anonymous', '--clear'], /neither --key nor --clear/],
    [['origin', '--host', 'a', '--algorithm', 'anonymous'], /--anonymous is for those without/],
    [['origin', '--host', 'a', '--sealed'], /--sealed needs a key for each host/],
  ])('%j cannot be meant', async (args, message) => {
    const { code, stderr } = await keymux(args);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });
});
