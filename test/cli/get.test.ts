import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { ALGORITHM } from '@keymux/keys';
import { type Handler, type HostOptions, Origin, type OriginResponse } from '@keymux/origin';
import { ConnectProxy } from '@keymux/proxy';
import type { MuxSession } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { keeperOf } from '../support/library.ts';
import { payload, payloadBuffer } from '../support/payload.ts';
import { jsonLines, KeymuxProcess, keymux, PROGRAM } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { makeKey } from '../support/tunnel.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** An origin for a.test in this process; returns the arguments that make `keymux get` reach it. */
async function serve(
  handler: Handler,
  options: { key?: string } & Pick<HostOptions, 'sealed' | 'promptAlgorithm'> = {},
): Promise<string[]> {
  const { key, ...host } = options;
  const keys = key === undefined ? undefined : await keeperOf({ file: key, authorities: ['a.test'] });
  const origin = new Origin({
    hosts: [{ name: 'a.test', handler, ...host, ...(keys && { promptLabel: String(keys.labels[0]) }) }],
    keeper: keys?.keeper,
  });
  const sessions: MuxSession[] = [];
  origin.on('session', (session) => sessions.push(session));
  const { port } = (await origin.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
  scope.defer(() => {
    for (const session of sessions) session.destroy();
    return origin.close();
  });

  return ['--connect-to', `127.0.0.1:${port}`, ...(key === undefined ? [] : ['--key', key])];
}

const answer = (body: OriginResponse['body'], status = 200): OriginResponse =>
  body === undefined ? { status } : { status, body };

describe('keymux get', () => {
  test('writes the body to standard output, byte for byte, and the rest to standard error', async () => {
    const body = 'line\n\u00e4\u0000end without newline';
    const to = await serve(() => answer(body), { key: await makeKey(scope) });
    const { code, stdout, stderr } = await keymux(['get', 'keymux://a.test/', ...to]);
    expect([code, stdout]).toEqual([0, body]);
    expect(stderr).toMatch(/200 OK/);
    expect(stderr).toMatch(
      /client -> a\.test: sealed with key 1 \(psk-x25519, k-[0-9a-f]+, forward secrecy\)/,
    );
    expect(stderr).toMatch(/a\.test -> client: sealed with key 1/);
  });

  test('a host that is an IPv6 address has a key as others have', async () => {
    const key = await makeKey(scope);
    const { keeper } = await keeperOf({ file: key, authorities: ['::1'] });
    const origin = new Origin({ hosts: [{ name: '::1', handler: () => answer('six') }], keeper });
    scope.defer(() => origin.close());
    const { port } = (await origin.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    for (const url of ['keymux://[::1]/', 'keymux://[::1]:99/', 'keymux://[0:0::1]/']) {
      const args = ['get', url, '--key', `::1=${key}`, '--connect-to', `127.0.0.1:${port}`, '--json'];
      expect(jsonLines((await keymuxInside(args)).stdout)).toMatchObject([
        { status: 200, level: 'authenticated' },
      ]);
    }
  });

  test('--json tells what was sealed, under which key, at which level', async () => {
    const to = await serve(() => answer('body'), { key: await makeKey(scope) });
    const { code, stdout } = await keymuxInside(['get', 'keymux://a.test/x', ...to, '--json']);
    expect(code).toBe(0);
    expect(jsonLines(stdout)).toMatchObject([
      { url: 'keymux://a.test/x', status: 200, bytes: 4, level: 'authenticated', answer: 'authenticated' },
    ]);
  });

  test('--proxy-algorithm is for the proxy alone: a host cannot prompt with it', async () => {
    const key = await makeKey(scope);
    const promptAlgorithm = ALGORITHM.PSK;
    const [, to = '', ...keyed] = await serve(() => answer('sealed'), { key, sealed: true, promptAlgorithm });
    const { keeper } = await keeperOf({ file: key, authorities: [''] });
    const proxy = new ConnectProxy({ keeper, allow: ['127.0.0.1:*'], level: 'authenticated' });
    const { port } = (await proxy.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    scope.defer(() => proxy.close());
    const via = ['--via', `127.0.0.1:${port}`, '--proxy-key', key, '--proxy-algorithm', 'psk'];
    const ask = (...args: string[]) =>
      keymuxInside([
        'get',
        'keymux://a.test/',
        '--connect-to',
        to,
        ...keyed,
        '--clear',
        ...via,
        ...args,
        '--json',
      ]);
    expect(jsonLines((await ask('--algorithm', 'psk')).stdout)).toMatchObject([{ status: 200 }]);
    expect(jsonLines((await ask()).stdout)).toMatchObject([{ status: 426, answer: 'none' }]);
  });

  test('sends method and body', async () => {
    const to = await serve(async ({ method, body }) => {
      const chunks: Buffer[] = await body.toArray();
      return answer(`${method}:${Buffer.concat(chunks)}`);
    });
    const ask = async (...args: string[]): Promise<string> =>
      (await keymux(['get', 'keymux://a.test/', ...to, ...args])).stdout;
    expect(await ask()).toBe('GET:');
    expect(await ask('-d', 'text')).toBe('POST:text');
    const file = (await scope.directory())('body');
    await writeFile(file, 'from a file');
    expect(await ask('-X', 'put', '-d', `@${file}`)).toBe('PUT:from a file');
  });

  test('-o makes a complete file', async () => {
    const bytes = 3 * 2 ** 20 + 7;
    const to = await serve(() => answer(payload(bytes)), { key: await makeKey(scope) });
    const file = await scope.directory();
    expect((await keymux(['get', 'keymux://a.test/', ...to, '-o', file('out')])).code).toBe(0);
    expect((await readFile(file('out'))).equals(payloadBuffer(bytes))).toBe(true);
    expect(await readdir(file('.'))).toEqual(['out']);
  });

  test('-o leaves nothing of a download that failed, and what was there before', async () => {
    const to = await serve(() => answer(Readable.from(failing())));
    const file = await scope.directory();
    await writeFile(file('kept'), 'as it was');
    for (const name of ['new', 'kept']) {
      const { code } = await keymux(['get', 'keymux://a.test/', ...to, '-o', file(name)]);
      expect(code).not.toBe(0);
    }
    expect(await readdir(file('.'))).toEqual(['kept']);
    expect(await readFile(file('kept'), 'utf8')).toBe('as it was');
  });

  test.skipIf(process.platform === 'win32')(
    '-o writes to a pipe, and puts no file in its place',
    async () => {
      const to = await serve(() => answer('body'));
      const pipe = (await scope.directory())('pipe');
      execFileSync('mkfifo', [pipe]);
      const read = readFile(pipe, 'utf8');
      expect((await keymux(['get', 'keymux://a.test/', ...to, '-o', pipe])).code).toBe(0);
      expect((await stat(pipe)).isFIFO()).toBe(true);
      expect(await read).toBe('body');
    },
  );

  test.each(['SIGINT', 'SIGTERM'] as const)('-o leaves nothing when %s ends it', async (signal) => {
    const to = await serve(() => answer(Readable.from(unfinished())));
    const file = await scope.directory();
    const changes = watch(file('.'));
    scope.defer(() => changes.close());
    const appeared = once(changes, 'change');
    const url = 'keymux://a.test/';
    const child = spawn(process.execPath, [PROGRAM, 'get', url, ...to, '-o', file('out')], {
      stdio: 'ignore',
    });
    const closed = once(child, 'close');
    await appeared;
    let left = once(changes, 'change');
    // Until something of it is written, the file may be there and not yet be guarded.
    while ((await stat(file('out.part'))).size === 0) {
      await left;
      left = once(changes, 'change');
    }
    child.kill(signal);
    expect(await closed).toEqual([null, signal]);
    expect(await readdir(file('.'))).toEqual([]);
  });

  test('an answer that says it failed is shown, and the status is 1', async () => {
    const to = await serve(() => answer('no such page', 404));
    const { code, stdout } = await keymux(['get', 'keymux://a.test/', ...to]);
    expect([code, stdout]).toEqual([1, 'no such page']);
  });
});

describe('keymux origin', () => {
  test('serves the files of directories, each host with its own key, and nothing beside them', async () => {
    const [alpha, beta] = [await makeKey(scope, 'alpha'), await makeKey(scope, 'beta')];
    const [alphaDir, betaDir] = [await scope.directory(), await scope.directory()];
    await writeFile(alphaDir('index.html'), 'the index of alpha');
    await writeFile(betaDir('data.bin'), payloadBuffer(200_000));
    const hosts = ['--key', `alpha.test=${alpha}`, '--key', `beta.test=${beta}`];
    const dirs = ['--dir', `alpha.test=${alphaDir('.')}`, '--dir', `beta.test=${betaDir('.')}`];
    const origin = await KeymuxProcess.start(scope, ['origin', ...hosts, ...dirs]);
    const ask = (url: string, key: string): ReturnType<typeof keymux> =>
      keymuxInside([
        'get',
        url,
        '--key',
        key,
        '--connect-to',
        origin.address,
        '--json',
        '-o',
        alphaDir('got'),
      ]);
    expect((await ask('keymux://alpha.test/', alpha)).code).toBe(0);
    expect(await readFile(alphaDir('got'), 'utf8')).toBe('the index of alpha');
    expect((await ask('keymux://beta.test/data.bin', beta)).code).toBe(0);
    expect((await readFile(alphaDir('got'))).equals(payloadBuffer(200_000))).toBe(true);
    for (const path of ['/missing', '/..%2f..%2fetc/passwd', '/%2e%2e/%2e%2e/etc/passwd'])
      expect(jsonLines((await ask(`keymux://alpha.test${path}`, alpha)).stdout)).toMatchObject([
        { status: 404 },
      ]);
    const requests = await origin.atLeast(2, 'request');
    expect(requests.slice(0, 2)).toMatchObject([
      { host: 'alpha.test', path: '/', status: 200, received: 'authenticated', sent: 'authenticated' },
      { host: 'beta.test', path: '/data.bin', status: 200, received: 'authenticated' },
    ]);
  });
});

async function* unfinished(): AsyncGenerator<Buffer> {
  yield Buffer.alloc(1024 * 1024, 'x');
  await new Promise(() => undefined);
}

async function* failing(): AsyncGenerator<Buffer> {
  yield Buffer.alloc(1024 * 1024, 'x');
  throw new Error('the disk is broken');
}
