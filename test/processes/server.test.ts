import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientOptions } from '@keymux/client';
import { ALGORITHM, type KeyInfo } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { bodyOf, connectClient, keeperOf } from '../support/library.ts';
import { foundInMemory } from '../support/memory.ts';
import { ProcessFamily } from '../support/process-family.ts';
import { keymux } from '../support/processes.ts';
import { longTermKeys } from '../support/reference-keys.ts';
import { Scope } from '../support/scope.ts';
import { makeKey } from '../support/tunnel.ts';
import { ALPHA, codeOf, failureOf, tell } from '../support/victims.ts';

// A server is several processes by default. These tests need what the kernel says of processes.
const scope = new Scope();
afterEach(() => scope.close());

const MANY = { KEYMUX_SINGLE_PROCESS: 'false' };
const REQUEST = { host: ALPHA, path: '/' };

async function originOf(workers: number) {
  const file = await makeKey(scope, ALPHA);
  const family = await ProcessFamily.start(scope, [
    'origin',
    '--key',
    `${ALPHA}=${file}`,
    '--workers',
    String(workers),
  ]);
  const { keeper, labels } = await keeperOf({ file, authorities: [ALPHA] });
  const connect = async (options: ClientOptions = {}) => {
    const client = await connectClient(scope, family.address, { keeper, ...options });
    const ask = () =>
      client.negotiate({ algorithm: ALGORITHM.PSK_X25519, label: String(labels[0]), authority: ALPHA });
    return { client, ask, request: { ...REQUEST, key: await ask() } };
  };
  return { file, family, connect };
}

describe.skipIf(process.platform !== 'linux')('a server of several processes', () => {
  test('is a keeper and workers, each bounded, and ends whole, with status 0', async () => {
    const { family, connect } = await originOf(2);
    expect(family.admin.events.map(({ event, process }) => process ?? event)).toEqual([
      ...['keeper', 'acceptor', 'worker 1', 'worker 2'],
      'listening',
    ]);
    expect(family.admin.all('process-start').map(({ restricted }) => restricted)).toEqual([
      true,
      true,
      true,
      true,
    ]);
    const { client, request } = await connect();
    await tell(client.request(request));
    await client.close();
    expect(await family.admin.stop(20_000)).toBe(0);
    await family.gone();
    expect(family.admin.events.at(-1)).toMatchObject({ event: 'draining' });
    expect(family.admin.all('process-exit')).toEqual([]);
  });

  test('H17: the acceptor forgets the keys of a session that it has given away', async () => {
    const { family, connect } = await originOf(1);
    const sessionKeys: Record<string, Uint8Array> = {};
    const { client, request } = await connect({
      keyLog: (_, entry) => {
        const { from, key } = entry();
        sessionKeys[from] = Uint8Array.from(key);
      },
    });
    await tell(client.request(request));
    expect(await foundInMemory(family.pid('worker 1'), sessionKeys)).toEqual(['client', 'server']);
    await expect
      .poll(() => foundInMemory(family.pid('acceptor'), sessionKeys), { interval: 500 })
      .toEqual([]);
  });

  test('H17: the long-term key is in the memory of the keeper alone', async () => {
    const { file, family, connect } = await originOf(1);
    const { client, request } = await connect();
    await tell(client.request(request));
    const bytes = await readFile(file);
    const { K, Kpsk } = longTermKeys(bytes);
    const forms = Object.entries({ file: bytes, K, Kpsk }).flatMap(([name, key]) => [
      [name, key] as const,
      ...(['hex', 'base64', 'base64url'] as const).map(
        (form) => [`${name} ${form}`, key.toString(form)] as const,
      ),
    ]);
    const longTerm = Object.fromEntries(forms);
    expect(await foundInMemory(family.pid('keeper'), longTerm)).toEqual(['K', 'Kpsk']);
    // Each has the host's name, which shows that its memory was searched.
    const control = { ...longTerm, control: ALPHA };
    for (const name of ['acceptor', 'worker 1'])
      expect(await foundInMemory(family.pid(name), control)).toEqual(['control']);
    expect(await foundInMemory(family.admin.pid, control)).toEqual(['control']);
  });

  test('of which the keeper is killed: sessions go on, new keys are refused for now, then made again', async () => {
    const { family, connect } = await originOf(1);
    const { client, ask, request } = await connect();
    const replaced = family.replaced('keeper');
    family.kill('keeper');
    expect(await family.admin.next('process-exit')).toMatchObject({ process: 'keeper', signal: 'SIGKILL' });
    await tell(client.request(request)); // the key is the session's
    expect(codeOf(await failureOf(ask()))).toBe('ERR_KEYMUX_NEGOTIATION_REJECTED');
    await replaced;
    let key: KeyInfo | undefined;
    // The worker looks for it every now and then; each attempt uses up one of 128 key IDs.
    for (; key === undefined; await delay(200)) key = await ask().catch(() => undefined);
    await tell(client.request({ ...REQUEST, key }));
    expect(family.admin.all('process-exit')).toHaveLength(1);
  });

  test('of which a worker is killed: it is said and replaced', async () => {
    const { family, connect } = await originOf(1);
    const { client, request } = await connect();
    await tell(client.request(request)); // so the worker has it
    const ended = client.session.closed;
    const replaced = family.replaced('worker 1');
    family.kill('worker 1');
    await ended;
    await replaced;
    expect(family.admin.all('process-exit')).toMatchObject([{ process: 'worker 1', signal: 'SIGKILL' }]);
    const next = await connect();
    await tell(next.client.request(next.request));
  });

  test('of which the admin is killed: none is left', async () => {
    const { family, connect } = await originOf(2);
    await connect();
    process.kill(family.admin.pid, 'SIGKILL');
    await family.gone();
  });

  test('reads configuration and keys again in all processes, or in none', async () => {
    const place = await scope.directory();
    const [first, second] = [await makeKey(scope, 'first'), await makeKey(scope, 'second')];
    const config = place('origin.json');
    const write = (file: string) =>
      writeFile(config, JSON.stringify({ key: [`${ALPHA}=${file}`], workers: 2 }));
    await write(first);
    const family = await ProcessFamily.start(scope, ['origin', '--config', config]);
    const { keeper, labels } = await keeperOf(
      ...[first, second].map((file) => ({ file, authorities: [ALPHA] })),
    );
    const ask = async (label: string | undefined) => {
      const client = await connectClient(scope, family.address, { keeper });
      const request = { algorithm: ALGORITHM.PSK_X25519, label: String(label), authority: ALPHA };
      return { client, key: await client.negotiate(request) };
    };
    const { client, key } = await ask(labels[0]);
    await write('/nowhere/second.key');
    family.admin.kill('SIGHUP');
    expect(await family.admin.next('reload-refused')).toMatchObject({
      error: expect.stringContaining('/nowhere/second.key'),
    });
    await ask(labels[0]);
    await write(second);
    family.admin.kill('SIGHUP');
    await family.admin.next('reloaded');
    await tell(client.request({ ...REQUEST, key }));
    const next = await ask(labels[1]);
    await tell(next.client.request({ ...REQUEST, key: next.key }));
    expect(codeOf(await failureOf(ask(labels[0])))).toBe('ERR_KEYMUX_KEY_FAILURE');
    expect(family.admin.all('process-start')).toHaveLength(4);
  });

  test('keeps what comes by WebSocket where it was accepted', async () => {
    const { file, family } = await originOf(1);
    const { keeper, labels } = await keeperOf({ file, authorities: [ALPHA] });
    const client = await connectClient(scope, `ws://${family.address}`, { keeper });
    const key = await client.negotiate({
      ...{ algorithm: ALGORITHM.PSK_X25519, label: String(labels[0]), authority: ALPHA },
    });
    family.kill('worker 1');
    await tell(client.request({ ...REQUEST, key }));
  });

  test('bounds the connections of a client in each worker', async () => {
    const file = await makeKey(scope, ALPHA);
    const limit = ['--limit', 'connections-per-client=3', '--workers', '1'];
    const family = await ProcessFamily.start(scope, ['origin', '--key', `${ALPHA}=${file}`, ...limit]);
    const { keeper, labels } = await keeperOf({ file, authorities: [ALPHA] });
    const ask = async () => {
      const client = await connectClient(scope, family.address, { keeper });
      const request = { algorithm: ALGORITHM.PSK_X25519, label: String(labels[0]), authority: ALPHA };
      await tell(client.request({ ...REQUEST, key: await client.negotiate(request) }));
    };
    for (let count = 0; count < 3; count++) await ask();
    expect(await failureOf(ask())).toBeInstanceOf(Error);
    expect(await family.admin.next('refused')).toMatchObject({ connections: 1 });
  });

  test('has no debugger to open', async () => {
    const { family, connect } = await originOf(1);
    for (const pid of family.pids) process.kill(pid, 'SIGUSR1');
    const { client, request } = await connect();
    await tell(client.request(request));
    expect(family.admin.stderr).not.toMatch(/debugger/i);
  });

  test('serves files, and has its workers write key logs', async () => {
    const place = await scope.directory();
    await mkdir(place('site'));
    await writeFile(place('site/index.html'), 'a page');
    const file = await makeKey(scope, ALPHA);
    const family = await ProcessFamily.start(scope, [
      ...['origin', '--workers', '1', '--key', `${ALPHA}=${file}`],
      ...['--dir', `${ALPHA}=${place('site')}`, '--keylog', `${ALPHA}=${place('keys.log')}`],
    ]);
    const { keeper, labels } = await keeperOf({ file, authorities: [ALPHA] });
    const client = await connectClient(scope, family.address, { keeper });
    const key = await client.negotiate({
      ...{ algorithm: ALGORITHM.PSK_X25519, label: String(labels[0]), authority: ALPHA },
    });
    expect(await bodyOf(await client.request({ ...REQUEST, key }))).toBe('a page');
    expect(await readFile(place('keys.log'), 'utf8')).not.toBe('');
    expect(family.admin.stderr.match(/can read everything/g)).toHaveLength(1);
  });
});

describe('a server of several processes that cannot start says why, once, and leaves none', () => {
  const fails = async (args: readonly string[]) => {
    const { code, stdout, stderr } = await keymux([...args, '--workers', '2'], {
      env: { ...process.env, ...MANY },
    });
    expect(stdout).toBe('');
    return { code, text: stderr.replace(/^warning: .*\n/gm, '') };
  };

  test('no key file', async () => {
    const { code, text } = await fails(['origin', '--key', `${ALPHA}=/nowhere/a.key`, '--listen', '0']);
    expect(code).toBe(2);
    expect(text).toMatch(/^keymux: key file \/nowhere\/a\.key does not exist/);
  });

  test('no directory', async () => {
    const { code, text } = await fails(['origin', '--dir', `${ALPHA}=/nowhere`, '--listen', '0']);
    expect(code).toBe(2);
    expect(text).toMatch(/^keymux: directory "\/nowhere" cannot be served\n {2}because: .*\n$/);
  });

  test('a host without a key that must have one', async () => {
    const { code, text } = await fails(['origin', '--host', ALPHA, '--sealed', '--listen', '0']);
    expect(code).toBe(2);
    expect(text).toBe(
      `keymux: --sealed needs a key for each host: give --key ${ALPHA}=FILE, --identity or --anonymous\n`,
    );
  });

  test('a port that is taken', async () => {
    const { family } = await originOf(1);
    const { code, text } = await fails(['proxy', '--clear', '--listen', family.address]);
    expect(code).toBe(1);
    expect(text).toContain(`${family.address} is taken`);
    expect(text.match(/keymux:/g)).toHaveLength(1);
  });

  const noUser: [string[], string] = [['--user', 'nobody-of-that-name'], 'there is no such user'];
  test.each<[string[], string]>([
    [['--workers', '0'], 'workers is 0: write a whole number from 1 to 256'],
    [['--single-process', '--workers', '2'], '--workers is for a server of several processes'],
    [['--single-process', '--user', 'nobody'], '--user is for a server of several processes'],
    ...(process.getuid?.() === 0 ? [noUser] : []),
  ])('%j', async (args, reason) => {
    const many = args.includes('--single-process') ? {} : MANY;
    const run = await keymux(['proxy', '--clear', ...args], { env: { ...process.env, ...many } });
    expect(run.code).toBe(2);
    expect(run.stderr).toContain(reason);
  });
});
