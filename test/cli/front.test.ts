import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { ALGORITHM } from '@keymux/keys';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { connectClient, keeperOf } from '../support/library.ts';
import { foundInMemory } from '../support/memory.ts';
import { hashOf, payloadBuffer, payloadHash } from '../support/payload.ts';
import { jsonLines, KeymuxProcess, type Run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { makeKey } from '../support/tunnel.ts';

const scope = new Scope();
const sharedScope = new Scope();
let street: Street;
let dumps: (name: string) => string;

// The processes are started once. The tests that end one of them come last.
beforeAll(async () => {
  dumps = await sharedScope.directory();
  street = await setStreet(sharedScope);
});
afterEach(() => scope.close());
afterAll(() => sharedScope.close());

const ALPHA = 'alpha.test';
const BETA = 'beta.test';
const MiB = 1024 * 1024;
/** Stands in what alpha answers. */
const SECRET = `ANSWER-${randomBytes(12).toString('hex')}`;

interface Street {
  readonly front: KeymuxProcess;
  readonly hosts: { readonly alpha: KeymuxProcess; readonly beta: KeymuxProcess };
  readonly keys: { readonly alpha: string; readonly beta: string };
}

/** A front and two hosts, three processes; each host has its own key, and beta a file of 4 MiB. */
async function setStreet(on: Scope): Promise<Street> {
  const file = await on.directory();
  const keys = { alpha: await makeKey(on, 'alpha'), beta: await makeKey(on, 'beta') };
  await writeFile(file('big'), payloadBuffer(4 * MiB));
  const dumping = { NODE_OPTIONS: `--heapsnapshot-signal=SIGUSR2 --diagnostic-dir=${dumps('.')}` };
  const start = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<KeymuxProcess> =>
    KeymuxProcess.start(on, args, { ...dumping, ...env });
  const behind = ['origin', '--behind-front', '--listen'];
  const [alpha, beta, front] = await Promise.all([
    start([...behind, `unix:${file('a')}`, '--key', `${ALPHA}=${keys.alpha}`], { KEYMUX_SECRET: SECRET }),
    start([...behind, `unix:${file('b')}`, '--key', `${BETA}=${keys.beta}`, '--dir', `${BETA}=${file('.')}`]),
    start(['front', '--host', `${ALPHA}=unix:${file('a')}`, '--host', `${BETA}=unix:${file('b')}`]),
  ]);
  return { front, hosts: { alpha, beta }, keys };
}

function get(...args: readonly string[]): Promise<Run> {
  return keymuxInside(['get', ...args, '--connect-to', street.front.address]);
}

async function connectTo({ front, keys }: Street) {
  const { keeper, labels } = await keeperOf(
    { file: keys.alpha, authorities: [ALPHA] },
    { file: keys.beta, authorities: [BETA] },
  );
  const client = await connectClient(scope, front.address, { keeper });
  const key = (i: number, authority: string) =>
    client.negotiate({ algorithm: ALGORITHM.PSK_X25519, label: labels[i] as string, authority });
  return { client, alpha: () => key(0, ALPHA), beta: await key(1, BETA) };
}

describe('keymux front', () => {
  test('no dump of it holds a key, a question or an answer; those of the hosts hold their own', async () => {
    const { front, hosts, keys } = street;
    const { client, alpha } = await connectTo(street);
    const key = await alpha();
    const question = `QUESTION-${randomBytes(12).toString('hex')}`;
    const body = `BODY-${randomBytes(12).toString('hex')}`;
    const answer = await client.request({ host: ALPHA, path: '/login', key });
    expect(String(Buffer.concat(await answer.body.toArray()))).toContain(SECRET);
    // Under way while the dumps are made.
    const path = `/account?${question}`;
    const upload = client.request({ host: ALPHA, path, method: 'POST', key, body: never(body) });
    upload.catch(() => undefined);

    const file = await readFile(keys.alpha);
    const hash = createHash('sha256').update(file).digest(); // K of spec 3.5
    const needles = { question, body, secret: SECRET, file, hash };
    await expect
      .poll(() => foundInMemory(hosts.alpha.pid, needles), { timeout: 20_000 })
      .toEqual(expect.arrayContaining(['body', 'hash', 'question', 'secret']));
    // The front has what it reads in the clear, which shows that it was searched.
    const clear = { label: key.label, authority: ALPHA };
    expect(await foundInMemory(front.pid, { ...needles, ...clear })).toEqual(['authority', 'label']);
    expect(await foundInMemory(hosts.beta.pid, needles)).toEqual([]);

    const inSnapshot = async (dumped: KeymuxProcess): Promise<string[]> => {
      dumped.kill('SIGUSR2');
      const text = await snapshotOf(dumped.pid);
      const texts = { question, body, secret: SECRET, authority: ALPHA };
      return Object.keys(texts).filter((name) => text.includes(texts[name as keyof typeof texts]));
    };
    expect(await inSnapshot(hosts.alpha)).toEqual(expect.arrayContaining(['question', 'secret']));
    expect(await inSnapshot(front)).toEqual(['authority']);
  });

  test('two hosts in two processes, one connection: each answers under its own key', async () => {
    const { front, hosts, keys } = street;
    const named = ['--key', `${ALPHA}=${keys.alpha}`, '--key', `${BETA}=${keys.beta}`];
    const served = hosts.beta.all('request').length;
    const got = await get(`keymux://${ALPHA}/`, `keymux://${BETA}/big`, ...named, '--json');
    expect([got.code, got.stderr]).toEqual([0, '']);
    expect(jsonLines(got.stdout)).toMatchObject([
      { status: 200, level: 'authenticated', legs: [{ to: ALPHA, key: { id: 1 } }, {}] },
      { status: 200, level: 'authenticated', bytes: 4 * MiB, legs: [{ to: BETA, key: { id: 3 } }, {}] },
    ]);
    const { peer } = await hosts.beta.next('request', served);
    expect(peer).toMatch(/^127\.0\.0\.1:[0-9]+$/);
    // Both hosts were told of the same connection, and so was the log of the front.
    await expect.poll(() => hosts.alpha.all('request').at(-1)?.peer).toBe(peer);
    await expect
      .poll(() => front.all('run').filter((run) => run.peer === peer))
      .toMatchObject([
        { host: ALPHA, served: true },
        { host: BETA, served: true },
      ]);
  });

  test('exit status: 4 for a host that is not served, 1 with 421 for what is in the clear', async () => {
    const unknown = await get('keymux://gamma.test/', '--key', street.keys.alpha);
    expect([unknown.code, unknown.stderr]).toEqual([4, expect.stringMatching(/may not be served here/)]);
    await expect
      .poll(() => street.front.all('run').at(-1))
      .toMatchObject({ host: 'gamma.test', served: false });
    const clear = await get(`keymux://${ALPHA}/`, '--include');
    expect(clear.code).toBe(1);
    expect(clear.stderr).toContain('give --key FILE');
    expect(clear.stdout).toMatch(/^421 [\s\S]*keymux-reason: this front passes on what is sealed/);
  });

  test('one host is killed: what it had to answer fails, the other’s goes on', async () => {
    const { client, alpha, beta } = await connectTo(street);
    const key = await alpha();
    const upload = client.request({ host: ALPHA, path: '/account', method: 'POST', key, body: never() });
    upload.catch(() => undefined);
    const download = await client.request({ host: BETA, path: '/big', key: beta });
    const gone = once(client.session, 'keyGone');
    street.hosts.alpha.kill('SIGKILL');
    await expect(upload).rejects.toMatchObject({ cause: { code: 'ERR_KEYMUX_HOST_GONE' } });
    expect((await gone)[0]).toBe(key.keyId);
    expect(await hashOf(download.body)).toEqual({ sha256: payloadHash(4 * MiB), bytes: 4 * MiB });
    expect(await street.front.next('host-gone')).toMatchObject({ host: ALPHA, status: 2 });
    const down = await get(`keymux://${ALPHA}/`, '--key', street.keys.alpha);
    expect([down.code, down.stderr]).toEqual([
      3,
      expect.stringMatching(/the host alpha\.test \(key \d+\) cannot be reached behind the front/),
    ]);
  });

  test('stops on SIGTERM, and lets what is under way end', async () => {
    const { client, beta } = await connectTo(street);
    const download = await client.request({ host: BETA, path: '/big', key: beta });
    street.front.kill('SIGTERM');
    await street.front.next('draining');
    expect((await hashOf(download.body)).sha256).toBe(payloadHash(4 * MiB));
    expect(await street.front.exited).toBe(0);
  });
});

describe('what cannot be meant', () => {
  test.each([
    [['front'], /no host to stand in front of: give --host NAME=ADDRESS/],
    [['front', '--host', 'alpha.test'], /"alpha\.test": write NAME=VALUE/],
    [['front', '--host', 'alpha.test=nowhere'], /write NAME=HOST:PORT, or NAME=unix:\/PATH/],
    [['front', '--host', 'alpha.test=127.0.0.1:0'], /write NAME=HOST:PORT/],
    [['front', '--host', 'al pha=6122'], /"al pha" is no host name/],
    [['origin', '--behind-front', '--host', 'alpha.test'], /--behind-front needs a key for each host/],
    [['origin', '--behind-front', '--key', 'a.test=k', '--origin', 'https://a.test'], /give it there/],
    [['origin', '--behind-front', '--key', 'a.test=k', '--key-each-way', 'a.test'], /only clients do/],
  ])('%s', async (args, message) => {
    const { code, stderr } = await keymuxInside(args);
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
  });
});

/** A body that begins and does not end. */
async function* never(text = 'x'): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
  await new Promise(() => undefined);
}

/** The heap snapshot that a process was told to write, once it is whole. */
async function snapshotOf(pid: number): Promise<string> {
  for (;;) {
    const name = (await readdir(dumps('.'))).find((entry) => entry.includes(`.${pid}.`));
    const text = name === undefined ? '' : await readFile(dumps(name), 'latin1');
    if (text.trimEnd().endsWith('}')) return text;
    await setTimeout(50);
  }
}
