import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { curl, curlMissing } from '../support/curl.ts';
import { keymuxInside } from '../support/inside.ts';
import { bodyOf, connectClient, keeperOf } from '../support/library.ts';
import { jsonLines, KeymuxProcess, keymux } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { closedPort, httpServer } from '../support/servers.ts';
import { getVia, type Stage, setStage } from '../support/stage.ts';
import { makeKey, startTunnel } from '../support/tunnel.ts';
import { readCapture, tunnelOf, Wiretap } from '../support/wiretap.ts';

const shared = new Scope();
const scope = new Scope();
let stage: Stage;
beforeAll(async () => {
  stage = await setStage(shared);
});
afterEach(() => scope.close());
afterAll(() => shared.close());

describe('flows between separate processes, as wiretaps on both hops see them', () => {
  test('S1: secured proxy and secured origin, two keys, and the proxy a dumb router', async () => {
    const { keys, secret, password } = stage;
    const ask = ['keymux://alpha.test/account', '--data', password];
    const { code, results, hop1, hop2 } = await getVia(scope, stage, [
      ...ask,
      '--proxy-key',
      keys.proxy,
      '--key',
      keys.alpha,
    ]);
    expect(code).toBe(0);
    expect(results).toMatchObject([{ status: 200, level: 'authenticated', answer: 'authenticated' }]);
    const legs = results[0]?.legs as { key: { id: number; label: string } }[];
    expect(legs).toMatchObject([
      {
        from: 'client',
        level: 'authenticated',
        key: { id: 1, algorithm: 'psk-x25519', forwardSecrecy: true },
      },
      { to: 'alpha.test', level: 'authenticated', key: { id: 1, algorithm: 'psk-x25519' } },
      { from: 'alpha.test', level: 'authenticated', key: { id: 1, algorithm: 'psk-x25519' } },
    ]);
    expect(legs[0]?.key.label).not.toBe(legs[1]?.key.label);

    for (const hop of [hop1, hop2]) {
      expect(hop.sees(secret)).toBe(false);
      expect(hop.sees(password)).toBe(false);
      expect(hop.sees('account')).toBe(false);
    }
    const outer = readCapture(hop1.only);
    expect(outer.up.negotiated).toEqual(['1/3']);
    expect(outer.down.negotiated).toEqual(['1/3']);
    expect(outer.up.frames).not.toContain('syn-stream');
    expect(outer.down.frames).not.toContain('syn-reply');
    // What runs inside is the origin's business: the same bytes on both hops, encrypted once.
    const inner = tunnelOf(hop1.only);
    expect(inner.up.equals(hop2.only.up)).toBe(true);
    expect(inner.down.equals(hop2.only.down)).toBe(true);
    const nested = readCapture(inner);
    expect(nested.up.negotiated).toEqual(['1/3']);
    expect(nested.up.frames).toContain('sealed:1');
    expect(nested.down.frames).toContain('sealed:1');
    expect(nested.up.opened).toEqual([]);
  });

  test('S2: a clear request; the origin prompts with an even ID and seals its answer, on the same connection', async () => {
    const { keys, secret } = stage;
    const { code, results, hop1, hop2 } = await getVia(scope, stage, [
      'keymux://alpha.test/login',
      '--clear',
      '--key',
      keys.alpha,
    ]);
    expect(code).toBe(0);
    expect(results).toMatchObject([{ status: 200, level: 'none', answer: 'authenticated' }]);
    for (const capture of [tunnelOf(hop1.only), hop2.only]) {
      const { up, down } = readCapture(capture);
      expect(up.opened).toEqual([1]);
      expect(down.frames.indexOf('key-nego')).toBeGreaterThan(-1);
      expect(down.negotiated).toEqual(['2/3']);
      expect(up.negotiated).toEqual(['2/3']);
      expect(down.frames).not.toContain('syn-reply');
      expect(down.frames).toContain('sealed:2');
    }
    for (const hop of [hop1, hop2]) expect(hop.sees(secret)).toBe(false);
  });

  test('S3: two hosts behind one connection, each with a key of its own', async () => {
    const { keys, secret, password } = stage;
    const { code, results, hop1, hop2 } = await getVia(scope, stage, [
      ...['keymux://alpha.test/account', 'keymux://beta.test/account', '--data', password],
      ...['--proxy-key', keys.proxy, '--key', `alpha.test=${keys.alpha}`, '--key', `beta.test=${keys.beta}`],
    ]);
    expect(code).toBe(0);
    expect(results).toMatchObject([
      { url: 'keymux://alpha.test/account', status: 200, answer: 'authenticated' },
      { url: 'keymux://beta.test/account', status: 200, answer: 'authenticated' },
    ]);
    const { up, down } = readCapture(hop2.only);
    expect(up.negotiated).toEqual(['1/3', '3/3']);
    for (const direction of [up, down])
      expect(direction.frames).toEqual(expect.arrayContaining(['sealed:1', 'sealed:3']));
    expect(hop1.captures).toHaveLength(1);
    for (const hop of [hop1, hop2]) {
      expect(hop.sees(secret)).toBe(false);
      expect(hop.sees(password)).toBe(false);
    }
  });

  test('M3: the same exchange in the clear is readable on both hops', async () => {
    const { secret, password } = stage;
    const { code, results, hop1, hop2 } = await getVia(scope, stage, [
      'keymux://alpha.test/account',
      '--data',
      password,
      '--clear',
    ]);
    expect(code).toBe(0);
    expect(results).toMatchObject([{ status: 200, level: 'none', answer: 'none' }]);
    for (const hop of [hop1, hop2]) {
      expect(hop.sees(secret)).toBe(true);
      expect(hop.sees(password)).toBe(true);
      const { up, down } = readCapture(hop.only);
      expect(
        [...up.frames, ...down.frames].filter((type) => type === 'key-nego' || type.startsWith('sealed')),
      ).toEqual([]);
    }
  });

  test('without a proxy: the key is asked for once, and client streams are odd', async () => {
    const { origin, keys, secret } = stage;
    const tap = await Wiretap.start(scope, origin.port);
    const urls = ['/', '/account', '/login'].map((path) => `keymux://alpha.test${path}`);
    const args = ['get', ...urls, '--key', keys.alpha, '--connect-to', tap.address, '--json'];
    const { code, stdout } = await keymux(args);
    expect(code).toBe(0);
    expect(jsonLines(stdout).map(({ status, level }) => [status, level])).toEqual([
      [200, 'authenticated'],
      [200, 'authenticated'],
      [200, 'authenticated'],
    ]);
    expect(readCapture(tap.only).up.negotiated).toEqual(['1/3']);
    expect(tap.sees(secret)).toBe(false);
  });

  test.each([
    ['psk', ['1/1']],
    ['spiped', ['1/2', '1/2']],
    ['psk-x25519', ['1/3']],
    ['hybrid', ['1/6']],
    ['hybrid,psk', ['1/6']],
  ])('--algorithm %s is what is negotiated on both hops', async (algorithm, negotiated) => {
    const { keys, secret } = stage;
    const { code, results, hop1, hop2 } = await getVia(scope, stage, [
      ...['keymux://alpha.test/account', '--proxy-key', keys.proxy, '--key', keys.alpha],
      ...['--algorithm', algorithm, '--proxy-algorithm', algorithm],
    ]);
    expect(code).toBe(0);
    expect(results).toMatchObject([{ status: 200, level: 'authenticated' }]);
    for (const hop of [hop1, hop2]) {
      expect(readCapture(hop.only).up.negotiated).toEqual(negotiated);
      expect(hop.sees(secret)).toBe(false);
    }
  });

  test.skipIf(curlMissing)(
    'S8: a server that knows nothing of keymux, sealed as far as the proxy',
    async () => {
      const secret = 'CANARY-for-a-plain-server';
      const port = await httpServer(scope, (_request, response) => response.end(secret));
      const far = await Wiretap.start(scope, port);
      const { proxy, key } = await startTunnel(scope, { allow: [far.address] });
      const near = await Wiretap.start(scope, proxy.port);
      const local = await KeymuxProcess.start(scope, ['connect', near.address, '--key', key]);
      const ask = ['-x', `http://${local.address}`, `http://${far.address}/${secret}`];
      expect(await curl(ask)).toMatchObject({ code: 0, stdout: secret });
      expect(near.sees(secret)).toBe(false);
      expect(far.sees(secret)).toBe(true);
      expect(readCapture(near.only).up.negotiated).toEqual(['1/3']);
    },
  );
});

describe('other carriers between separate processes', () => {
  test('a WebSocket to the proxy: its secret stays one', async () => {
    const { keys, secret, proxy, origin } = stage;
    const tap = await Wiretap.start(scope, proxy.port);
    const way = ['--via', `ws://${tap.address}/`, '--proxy-key', keys.proxy, '--connect-to', origin.address];
    const args = ['get', 'keymux://alpha.test/account', ...way, '--key', keys.alpha, '--json'];
    const { code, stdout } = await keymux(args);
    expect(code).toBe(0);
    expect(jsonLines(stdout)).toMatchObject([{ status: 200, level: 'authenticated' }]);
    expect(tap.only.up.toString('latin1')).toMatch(/^GET \/ HTTP\/1\.1\r\n.*Upgrade: websocket/s);
    expect(tap.sees(secret)).toBe(false);
  });

  test('a Unix socket to the origin', async () => {
    const path = (await scope.directory())('origin.sock');
    const args = ['origin', '--key', `alpha.test=${stage.keys.alpha}`, '--listen', `unix:${path}`];
    const origin = await KeymuxProcess.start(scope, args, { KEYMUX_SECRET: stage.secret });
    expect(origin.address).toBe(`unix:${path}`);
    const { keeper, labels } = await keeperOf({ file: stage.keys.alpha, authorities: ['alpha.test'] });
    const client = await connectClient(scope, origin.address, { keeper });
    const label = String(labels[0]);
    const key = await client.negotiate({ algorithm: 2, label, authority: 'alpha.test' });
    const answer = await client.request({ host: 'alpha.test', path: '/account', key });
    expect(await bodyOf(answer)).toContain(stage.secret);
  });
});

describe('what goes wrong has an exit code of its own', () => {
  const get = async (args: readonly string[]): Promise<number | null> =>
    (await keymux(['get', ...args])).code;
  const inside = async (args: readonly string[]): Promise<number | null> =>
    (await keymuxInside(['get', ...args])).code;

  test('4: another key than the origin has', async () => {
    const { origin, keys } = stage;
    const other = await makeKey(scope);
    const to = ['keymux://alpha.test/', '--connect-to', origin.address];
    expect(await get([...to, '--key', other])).toBe(4);
    expect(await get([...to, '--key', keys.beta])).toBe(4); // known, but not for this host
    expect(await get([...to, '--key', keys.alpha])).toBe(0);
    expect(await get([...to, '--key', other, '--algorithm', 'psk'])).toBe(4);
  });

  test('4: another key than the proxy has', async () => {
    const other = await makeKey(scope);
    const { code, stderr, hop2 } = await getVia(scope, stage, ['keymux://alpha.test/', '--proxy-key', other]);
    expect(code).toBe(4);
    expect(stderr).toMatch(/because of a key/);
    expect(hop2.captures).toHaveLength(0);
  });

  test('3: nobody listens, here or behind the proxy', async () => {
    const nobody = `127.0.0.1:${await closedPort()}`;
    const url = 'keymux://alpha.test/';
    expect(await inside([url, '--connect-to', nobody])).toBe(3);
    expect(await inside([url, '--via', nobody])).toBe(3);
    expect(await inside([url, '--via', stage.proxy.address, '--connect-to', nobody])).toBe(3);
  });

  test('5: the proxy does not allow the destination', async () => {
    const { proxy, keys } = stage;
    const via = ['--via', proxy.address, '--proxy-key', keys.proxy, '--connect-to', '127.0.0.1:1'];
    const { code, stderr } = await keymux(['get', 'keymux://alpha.test/', ...via]);
    expect(code).toBe(5);
    expect(stderr).toMatch(/403/);
  });

  test('5: the answer is protected less than required', async () => {
    const { origin, secret } = stage;
    const to = ['keymux://alpha.test/account', '--connect-to', origin.address];
    const { code, stdout } = await keymux(['get', ...to, '--level', 'authenticated']);
    expect(code).toBe(5);
    expect(stdout).not.toContain(secret);
  });

  test('2: what is asked for makes no sense', async () => {
    expect(await inside([])).toBe(2);
    expect(await inside(['ftp://alpha.test/'])).toBe(2);
    expect(await inside(['keymux://alpha.test/', '--key', '/nonexistent'])).toBe(2);
    expect(await inside(['keymux://alpha.test/', '--connect-to', 'nonsense'])).toBe(2);
    expect(await inside(['keymux://alpha.test/', '--no-such-option'])).toBe(2);
  });
});
