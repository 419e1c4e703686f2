import { readFile, stat, writeFile } from 'node:fs/promises';
import { Cookies, HostPolicy } from '@keymux/client';
import { ALGORITHM, ANONYMOUS_LABEL, type KeyInfo } from '@keymux/keys';
import type { Handler } from '@keymux/origin';
import { afterEach, describe, expect, test } from 'vitest';
import { Scope } from '../support/scope.ts';
import { ALPHA, BETA, codeOf, failureOf, Keys, setVictims } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** What a request travels under. */
type Way = 'clear' | 'anonymous' | 'psk' | 'x25519' | 'connection';

interface Asked {
  readonly way: Way;
  readonly host?: string;
  /** What the origin is to set, with commas between. */
  readonly set?: string;
  readonly path?: string;
}

/** An origin that sets what it is asked to, and a client with a jar. `ask` tells what cookies came. */
async function setJar(cookies: Cookies, keys = new Keys()) {
  const handler: Handler = ({ headers, path }) => {
    const sent = headers.filter(([name]) => name === 'cookie').map(([, value]) => value);
    const set = decodeURIComponent(new URL(path, 'http://x').searchParams.get('set') ?? '').split(',');
    const lines = set.filter(Boolean).map((line): [string, string] => ['set-cookie', line]);
    return { status: 200, headers: lines, body: sent.join(' and ') };
  };
  const keeper = () => keys.keeper({ anonymous: [ALPHA, BETA] });
  const hosts = [ALPHA, BETA].map((name) => ({ name, handler }));
  const victims = await setVictims(scope, {
    keys,
    keeper: { client: keeper(), origin: keeper() },
    origin: { hosts },
    client: { cookies },
  });
  const made = new Map<string, Promise<KeyInfo>>();
  const make = (way: Way, host: string): Promise<KeyInfo> | undefined => {
    const label = ANONYMOUS_LABEL;
    switch (way) {
      case 'clear':
        return undefined;
      case 'anonymous':
        return victims.client.negotiate({ algorithm: ALGORITHM.ANONYMOUS, label, authority: host });
      case 'connection':
        return victims.key('');
      default:
        return victims.key(host, way === 'psk' ? ALGORITHM.PSK : ALGORITHM.PSK_X25519);
    }
  };
  const ask = async ({ way, host = ALPHA, set = '', path = '/' }: Asked): Promise<string> => {
    const name = `${way} ${host}`;
    const running = made.get(name) ?? make(way, host);
    if (running !== undefined) made.set(name, running);
    const key = await running;
    const query = set === '' ? '' : `?set=${encodeURIComponent(set)}`;
    const answer = await victims.client.request({ host, path: path + query, key });
    return Buffer.concat(await answer.body.toArray()).toString();
  };
  return { ask, victims };
}

const WAYS: Way[] = ['clear', 'anonymous', 'psk', 'x25519'];

describe('S6: what was learned under a key never travels over a weaker stream', () => {
  // In the order of their strength: `psk` has no forward secrecy, but proves the peer, which an anonymous key does not.
  const goes: Record<Way, Way[]> = {
    clear: WAYS,
    anonymous: ['anonymous', 'x25519'],
    psk: ['psk', 'x25519'],
    x25519: ['x25519'],
    connection: [],
  };
  test.each(WAYS)('a cookie that came %s', async (way) => {
    const { ask } = await setJar(Cookies.inMemory());
    await ask({ way, set: 'id=42' });
    const sent: string[] = [];
    for (const back of WAYS) if ((await ask({ way: back })) === 'id=42') sent.push(back);
    expect(sent).toEqual(goes[way]);
  });

  test('to no other host, whatever Domain says', async () => {
    const { ask } = await setJar(Cookies.inMemory());
    await ask({ way: 'x25519', set: 'a=1; Domain=test,b=2' });
    expect(await ask({ way: 'x25519', host: BETA })).toBe('');
    expect(await ask({ way: 'x25519' })).toBe('a=1; b=2');
  });

  test('to no other holder of a key for the same host', async () => {
    const cookies = Cookies.inMemory();
    const [one, other] = [await setJar(cookies), await setJar(cookies)];
    await one.ask({ way: 'x25519', set: 'id=42' });
    expect(await other.ask({ way: 'x25519' })).toBe('');
    await other.ask({ way: 'x25519', set: 'id=43' });
    expect(await one.ask({ way: 'x25519' })).toBe('id=42');
  });

  test('a weaker answer neither changes, shadows, removes nor pushes out a stronger cookie', async () => {
    const { ask } = await setJar(Cookies.inMemory());
    await ask({ way: 'x25519', set: 'id=42; Path=/' });
    for (const way of ['clear', 'anonymous', 'psk'] as const) {
      await ask({ way, set: 'id=evil' });
      await ask({ way, set: 'id=evil; Path=/deep', path: '/deep' });
      await ask({ way, set: 'id=; Max-Age=0' });
      for (let at = 0; at < 80; at += 20) {
        await ask({ way, set: Array.from({ length: 20 }, (_, n) => `c${at + n}=x`).join(',') });
      }
    }
    expect(await ask({ way: 'x25519', path: '/deep' })).toMatch(/^id=42; c/);
  });

  test('a weaker answer sets no cookie with the name of a stronger one, also where that does not go', async () => {
    const { ask } = await setJar(Cookies.inMemory());
    await ask({ way: 'x25519', set: 'id=42; Path=/deep' });
    await ask({ way: 'psk', set: 'id=evil; Path=/' });
    expect(await ask({ way: 'x25519', path: '/' })).toBe('');
    expect(await ask({ way: 'x25519', path: '/deep' })).toBe('id=42');
  });

  test('a stronger answer takes the place of a weaker cookie', async () => {
    const { ask } = await setJar(Cookies.inMemory());
    await ask({ way: 'clear', set: 'id=clear,other=1' });
    expect(await ask({ way: 'x25519', set: 'id=sealed' })).toBe('id=clear; other=1');
    expect(await ask({ way: 'x25519' })).toBe('id=sealed; other=1');
    expect(await ask({ way: 'clear' })).toBe('other=1');
  });

  test('Secure, and the prefixes of names, are for peers that are proven', async () => {
    const { ask } = await setJar(Cookies.inMemory());
    const set = 'a=1; Secure,__Host-b=2; Secure; Path=/,__Secure-c=3; Secure,__Host-d=4,e=5';
    await ask({ way: 'clear', set });
    await ask({ way: 'anonymous', set });
    expect(await ask({ way: 'x25519' })).toBe('e=5');
    await ask({ way: 'x25519', set });
    expect(await ask({ way: 'x25519' })).toBe('a=1; __Host-b=2; __Secure-c=3; e=5');
  });

  test('what is no cookie, or too much of one, is passed over', async () => {
    const { ask } = await setJar(Cookies.inMemory());
    await ask({ way: 'clear', set: `nothing,=x,big=${'x'.repeat(5000)},ok=1` });
    expect(await ask({ way: 'clear' })).toBe('ok=1');
  });
});

describe('S6: credentials that the caller gives', () => {
  const credentials: [string, string][] = [
    ['authorization', 'Basic c2VjcmV0'],
    ['Authorization', 'Basic c2VjcmV0'],
    ['cookie', 'id=secret'],
  ];
  test.each(credentials)('%s %s: only for who is proven', async (name, value) => {
    const { victims } = await setJar(Cookies.inMemory());
    const { client, key, middle } = victims;
    const ask = (under?: KeyInfo) =>
      client.request({ host: ALPHA, path: '/', headers: [[name, value]], key: under });
    const anonymous = { algorithm: ALGORITHM.ANONYMOUS, label: ANONYMOUS_LABEL, authority: ALPHA };
    for (const under of [undefined, await client.negotiate(anonymous), await key('')]) {
      const error = await failureOf(ask(under));
      expect(error).toMatchObject({ code: 'ERR_KEYMUX_LEVEL', part: 'credentials' });
      expect(String(error)).toMatch(/credentials for alpha\.test .*nothing was sent/);
      expect(String(error)).not.toContain(value);
    }
    expect(middle.wire.sent('up', 'syn-stream')).toEqual([]);
    expect((await ask(await key(ALPHA))).status).toBe(200);
  });

  test('in the clear only if the caller says so', async () => {
    const { victims } = await setJar(Cookies.inMemory());
    const headers: [string, string][] = [['authorization', 'Basic c2VjcmV0']];
    const answer = await victims.client.request({ host: ALPHA, path: '/', headers, credentialLevel: 'none' });
    expect(answer.status).toBe(200);
  });

  test('they do not lower what is required of the host', async () => {
    const { victims } = await setJar(Cookies.inMemory());
    const policy = new HostPolicy({ default: 'authenticated' });
    const { client } = await setVictims(scope, { keys: victims.keys, client: { policy } });
    const asked = client.request({ host: ALPHA, path: '/', credentialLevel: 'none' });
    expect(codeOf(await failureOf(asked))).toBe('ERR_KEYMUX_LEVEL');
  });
});

describe('the file of a jar', () => {
  test('keeps what each cookie was learned under, and is for this user only', async () => {
    const path = (await scope.directory())('jar.json');
    const keys = new Keys();
    const { ask } = await setJar(await Cookies.open(path), keys);
    await ask({ way: 'clear', set: 'open=1' });
    await ask({ way: 'x25519', set: 'id=42; HttpOnly; Max-Age=1000' });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const later = await setJar(await Cookies.open(path), keys);
    expect(await later.ask({ way: 'clear' })).toBe('open=1');
    expect(await later.ask({ way: 'psk' })).toBe('open=1');
    expect(await later.ask({ way: 'x25519' })).toBe('id=42; open=1');
    const stranger = await setJar(await Cookies.open(path));
    expect(await stranger.ask({ way: 'x25519' })).toBe('open=1');
  });

  test.each([
    ['damaged', (text: string) => text.slice(0, -5)],
    ['with a level that there is not', (text: string) => text.replace('"authenticated"', '"nothing"')],
    ['without what it was learned under', (text: string) => text.replace('"learned"', '"forgotten"')],
  ])('%s: it is refused', async (_how, damage) => {
    const path = (await scope.directory())('jar.json');
    const { ask } = await setJar(await Cookies.open(path));
    await ask({ way: 'x25519', set: 'id=42' });
    await writeFile(path, damage(await readFile(path, 'utf8')));
    const error = await failureOf(Cookies.open(path));
    expect(codeOf(error)).toBe('ERR_KEYMUX_STATE_FILE');
    expect(String(error)).not.toContain('42');
  });
});
