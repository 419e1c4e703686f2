import { HostMemory } from '@keymux/client';
import { Keyring, LocalKeeper } from '@keymux/keys';
import type { HostOptions } from '@keymux/origin';
import { afterEach, describe, expect, test } from 'vitest';
import { clearAnswer } from '../support/forge.ts';
import { at, type Meddler } from '../support/middle.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, BETA, codeOf, failureOf, Keys, setVictims, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

const MONTH = 30 * 86_400;
const keys = new Keys();
const host = (name: string, options: Partial<HostOptions> = {}): HostOptions => ({
  name,
  promptLabel: keys.of(name),
  handler: () => ({ status: 200, body: 'page' }),
  ...options,
});
const demanding = { hosts: [host(ALPHA, { sealed: true }), host(BETA)] };

const openMemory = async () => HostMemory.open((await scope.directory())('hosts.json'));

describe('a host that answers nothing in the clear', () => {
  test('says so under its key, and is never again asked in the clear, in any session', async () => {
    const memory = await openMemory();
    const { client, connect, middle } = await setVictims(scope, {
      keys,
      origin: demanding,
      client: { memory },
    });
    // The first time, before anything is known of the host: the origin prompts.
    const first = await client.request({ host: ALPHA, path: '/' });
    first.body.resume();
    expect(first.headers).toContainEqual(['keymux-level', `authenticated; max-age=${MONTH}`]);
    const again = await connect();
    const error = await failureOf(again.request({ host: ALPHA, path: '/secret' }));
    expect(codeOf(error)).toBe('ERR_KEYMUX_LEVEL');
    expect(String(error)).toMatch(
      /alpha\.test itself, until .*remembered in .*hosts\.json; nothing was sent/,
    );
    expect(middle.wires[1]?.sent('up', 'syn-stream')).toEqual([]);
    // Of others nothing is known.
    expect(await tell(again.request({ host: BETA, path: '/' }))).toMatchObject({
      status: 200,
      level: 'none',
    });
  });

  test('C7: the prompt is swallowed later, and a page shown instead: the client does not ask', async () => {
    const memory = await openMemory();
    let attack = false;
    const forge: Meddler = at('up syn-stream 0', (_passing, wire) => {
      if (!attack) return undefined;
      wire.send('down', clearAnswer(1, 'FORGED'));
      return [];
    });
    const { client, connect } = await setVictims(scope, {
      ...{ keys, origin: demanding, meddle: forge },
      client: { memory },
    });
    await tell(client.request({ host: ALPHA, path: '/' }));
    attack = true;
    const told = await tell((await connect()).request({ host: ALPHA, path: '/' })).catch((error) => error);
    expect(codeOf(told)).toBe('ERR_KEYMUX_LEVEL');
  });

  test('says nothing where nobody could believe it', async () => {
    const demand = { level: 'authenticated', maxAge: MONTH } as const;
    const origin = { hosts: [host(ALPHA, { demand })] };
    const { client } = await setVictims(scope, { keys, origin });
    const clear = await client.request({ host: ALPHA, path: '/' });
    clear.body.resume();
    expect(clear.headers).toEqual([]);
  });

  test('takes its demand back', async () => {
    const memory = await openMemory();
    const origin = { hosts: [host(ALPHA, { demand: { level: 'authenticated', maxAge: 0 } })] };
    const first = await setVictims(scope, { keys, origin: demanding, client: { memory } });
    await tell(first.client.request({ host: ALPHA, path: '/', key: await first.key(ALPHA) }));
    const second = await setVictims(scope, { keys, origin, client: { memory } });
    expect(codeOf(await failureOf(second.client.request({ host: ALPHA, path: '/' })))).toBe(
      'ERR_KEYMUX_LEVEL',
    );
    await tell(second.client.request({ host: ALPHA, path: '/', key: await second.key(ALPHA) }));
    expect((await tell(second.client.request({ host: ALPHA, path: '/' }))).status).toBe(200);
  });
});

test('an attacker on the way can neither plant a demand nor take one back', async () => {
  const memory = await openMemory();
  const forged = (value: string) => () => ({
    status: 200,
    headers: [['keymux-level', value]] as [string, string][],
  });
  const none = new LocalKeeper({ keyring: new Keyring() });
  const liar = async (value: string) => {
    const hosts = [{ name: ALPHA, handler: forged(value) }];
    return setVictims(scope, { keys, keeper: { origin: none }, origin: { hosts }, client: { memory } });
  };
  await tell((await liar(`authenticated; max-age=${MONTH}`)).client.request({ host: ALPHA, path: '/' }));
  expect(memory.requirement(ALPHA)).toBeUndefined();
  const honest = await setVictims(scope, { keys, origin: demanding, client: { memory } });
  await tell(honest.client.request({ host: ALPHA, path: '/' }));
  await failureOf((await liar('authenticated; max-age=0')).client.request({ host: ALPHA, path: '/' }));
  expect(memory.requirement(ALPHA)?.level).toBe('authenticated');
});
