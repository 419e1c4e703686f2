import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@keymux/client';
import { ALGORITHM, type KeyInfo } from '@keymux/keys';
import type { MuxStream } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { LargeSite } from '../support/large-site.ts';
import { connectClient, keeperOf } from '../support/library.ts';
import { ProcessFamily } from '../support/process-family.ts';
import { KeymuxProcess } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { tcpServer } from '../support/servers.ts';
import { makeKey } from '../support/tunnel.ts';
import { ALPHA, tell } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

async function connectWith(family: ProcessFamily, file: string, authority: string) {
  const { keeper, labels } = await keeperOf({ file, authorities: [authority] });
  const client = await connectClient(scope, family.address, { keeper });
  const key = await client.negotiate({
    ...{ algorithm: ALGORITHM.PSK_X25519, label: String(labels[0]), authority },
  });
  return { client, key };
}

/** Sends pieces to what echoes them until `until` says so; returns whether all came back, and how much that was. */
async function echo(stream: MuxStream, until: () => boolean): Promise<readonly [boolean, number]> {
  const [sent, received] = [createHash('sha256'), createHash('sha256')];
  const answer = (async () => {
    for await (const chunk of stream) received.update(chunk as Buffer);
  })();
  answer.catch(() => undefined); // told below
  let size = 0;
  while (!until() && !stream.destroyed) {
    const piece = randomBytes(16_384);
    sent.update(piece);
    size += piece.length;
    if (!stream.write(piece)) await Promise.race([once(stream, 'drain'), answer]);
    await new Promise(setImmediate);
  }
  stream.end();
  await answer;
  return [sent.digest('hex') === received.digest('hex'), size];
}

describe.skipIf(process.platform !== 'linux')('on SIGUSR2', () => {
  test('tunnels under load go on in other processes: no byte is lost, and those before them end', async () => {
    const port = await tcpServer(scope, (socket) => socket.pipe(socket));
    const file = await makeKey(scope);
    const args = ['proxy', '--key', file, '--allow', `127.0.0.1:${port}`, '--workers', '2'];
    const family = await ProcessFamily.start(scope, args);
    const before = family.pids.slice(1);
    const all = await Promise.all([1, 2, 3, 4].map(() => connectWith(family, file, '')));
    let upgrades = 0;
    const echoes = await Promise.all(
      all.flatMap(({ client, key }) =>
        [1, 2, 3].map(async () => {
          const tunnel = await client.tunnel('127.0.0.1', port, { key });
          return () => echo(tunnel, () => upgrades === 2);
        }),
      ),
    );
    const results = Promise.all(echoes.map((run) => run()));
    for (let turn = 0; turn < 2; turn++) {
      family.admin.kill('SIGUSR2');
      await family.admin.next('upgraded', turn);
      await family.othersGone(before);
      upgrades++;
    }
    for (const [whole, size] of await results) {
      expect(whole).toBe(true);
      expect(size).toBeGreaterThan(0);
    }
    await Promise.all(all.map(({ client }) => client.close()));
    expect(family.admin.all('process-exit')).toEqual([]);
    expect(family.admin.all('process-start')).toHaveLength(12);
    expect(await family.admin.stop(20_000)).toBe(0);
  });

  test('requests go on over the same sessions', async () => {
    const file = await makeKey(scope, ALPHA);
    const family = await ProcessFamily.start(scope, [
      'origin',
      '--key',
      `${ALPHA}=${file}`,
      '--workers',
      '1',
    ]);
    const before = family.pids.slice(1);
    const { client, key } = await connectWith(family, file, ALPHA);
    let over = false;
    const asked = askUntil(client, key, () => over);
    family.admin.kill('SIGUSR2');
    await family.admin.next('upgraded');
    await family.othersGone(before);
    over = true;
    expect(await asked).toBeGreaterThan(0);
    await tell(client.request({ host: ALPHA, path: '/', key }));
  });

  test('a download that takes longer goes on where it is, also beyond the time for draining', async () => {
    const limit = ['--limit', 'drain-timeout=200', '--workers', '1'];
    const site = await LargeSite.start(scope, { args: limit, env: { KEYMUX_SINGLE_PROCESS: 'false' } });
    const download = await site.begin();
    site.server.kill('SIGUSR2');
    await site.server.next('upgraded');
    await delay(12_000); // requests are waited for 10 seconds, then drained
    expect(await site.isWhole(download)).toBe(true);
    expect(await site.isWhole(await site.begin())).toBe(true);
  });

  test('that comes while it starts, it starts, and then upgrades; and reads its configuration again on SIGHUP', async () => {
    const args = ['proxy', '--clear', '--workers', '1'];
    const admin = KeymuxProcess.begin(scope, args, { KEYMUX_SINGLE_PROCESS: 'false' });
    await admin.next('process-start');
    for (const signal of ['SIGUSR2', 'SIGHUP'] as const) admin.kill(signal);
    await Promise.all([admin.next('upgraded'), admin.next('reloaded')]);
    const said = admin.events.map(({ event }) => String(event)).filter((event) => !/^process-/.test(event));
    expect(said.sort()).toEqual(['listening', 'reloaded', 'upgraded', 'upgrading']);
    expect(await admin.stop(20_000)).toBe(0);
  });

  test('with a configuration that cannot be used, all goes on', async () => {
    const place = await scope.directory();
    await mkdir(place('site'));
    await writeFile(place('site/index.html'), 'a page');
    const file = await makeKey(scope, ALPHA);
    const dir = ['--dir', `${ALPHA}=${place('site')}`];
    const family = await ProcessFamily.start(scope, [
      'origin',
      '--key',
      `${ALPHA}=${file}`,
      ...dir,
      '--workers',
      '1',
    ]);
    const { client, key } = await connectWith(family, file, ALPHA);
    await rename(place('site'), place('other'));
    family.admin.kill('SIGUSR2');
    expect(await family.admin.next('upgrade-refused')).toMatchObject({
      error: expect.stringContaining('cannot be served'),
    });
    const started = family.admin.all('process-start').map(({ pid }) => pid as number);
    await family.othersGone(started.slice(3));
    await rename(place('other'), place('site'));
    await tell(client.request({ host: ALPHA, path: '/', key }));
    expect(await readFile(place('site/index.html'), 'utf8')).toBe('a page');
  });
});

async function askUntil(client: Client, key: KeyInfo, until: () => boolean): Promise<number> {
  for (let count = 0; ; count++) {
    if (until()) return count;
    await tell(client.request({ host: ALPHA, path: '/', key }));
  }
}

test.skipIf(process.platform !== 'linux')(
  'of two workers one is killed under load: the sessions of the other go on, and new ones are served',
  async () => {
    const port = await tcpServer(scope, (socket) => socket.pipe(socket));
    const file = await makeKey(scope);
    const args = ['proxy', '--key', file, '--allow', `127.0.0.1:${port}`, '--workers', '2'];
    const family = await ProcessFamily.start(scope, args);
    const all = [];
    for (let index = 0; index < 4; index++) all.push(await connectWith(family, file, '')); // to one worker after the other
    let over = false;
    const tunnels = await Promise.all(
      all.map(({ client, key }) => client.tunnel('127.0.0.1', port, { key })),
    );
    const results = Promise.allSettled(tunnels.map((tunnel) => echo(tunnel, () => over)));
    const replaced = family.replaced('worker 1');
    family.kill('worker 1');
    await replaced;
    const { client, key } = await connectWith(family, file, '');
    const tunnel = await client.tunnel('127.0.0.1', port, { key });
    over = true;
    expect(await echo(tunnel, () => true)).toEqual([true, 0]);
    const whole = (await results).map((result) => result.status === 'fulfilled' && result.value[0]);
    expect(whole.filter((one) => one)).toHaveLength(2);
    expect(family.admin.all('process-exit')).toMatchObject([{ process: 'worker 1', signal: 'SIGKILL' }]);
  },
);
