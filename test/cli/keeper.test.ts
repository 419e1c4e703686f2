import { readFile, stat } from 'node:fs/promises';
import { ALGORITHM } from '@keymux/keys';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { type KeeperProcess, startKeeper } from '../support/keeper-process.ts';
import { connectClient, keeperOf } from '../support/library.ts';
import { jsonLines, KeymuxProcess, keymux } from '../support/processes.ts';
import { connectKeeper } from '../support/remote-keepers.ts';
import { Scope } from '../support/scope.ts';
import { makeKey } from '../support/tunnel.ts';
import { ALPHA, BETA, codeOf, failureOf, tell } from '../support/victims.ts';

const scope = new Scope();
const sharedScope = new Scope();
let keeper: KeeperProcess;
let origin: KeymuxProcess;

// The processes are started once. The test that kills the keeper comes last.
beforeAll(async () => {
  keeper = await startKeeper(sharedScope);
  const args = ['origin', '--sealed', '--host', ALPHA, '--host', BETA, '--keeper', `unix:${keeper.path}`];
  origin = await KeymuxProcess.start(sharedScope, args);
});
afterEach(() => scope.close());
afterAll(() => sharedScope.close());

const get = (...args: readonly string[]) => keymuxInside(['get', ...args, '--connect-to', origin.address]);

async function audited(): Promise<Record<string, unknown>[]> {
  return jsonLines(await readFile(keeper.auditLog, 'utf8'));
}

describe('keymux keeper', () => {
  test('an origin without a key answers under those of its keeper, and prompts for them', async () => {
    const { code, stdout, stderr } = await get(`keymux://${ALPHA}/`, '--key', keeper.files.alpha, '--json');
    expect([code, stderr]).toEqual([0, '']);
    expect(jsonLines(stdout)).toMatchObject([{ status: 200, level: 'authenticated' }]);
    const asked = await get(`keymux://${BETA}/`, '--key', keeper.files.beta, '--clear', '--json');
    expect(jsonLines(asked.stdout)).toMatchObject([
      { status: 200, legs: [{ level: 'none' }, { key: { id: 2 } }] },
    ]);
  });

  test('its log says for whom it did what, and is for its user alone', async () => {
    await get(`keymux://${ALPHA}/`, '--key', keeper.files.alpha);
    const entries = await audited();
    expect(entries).toContainEqual(
      expect.objectContaining({ event: 'connected', caller: `${keeper.path} 1` }),
    );
    const begun = entries.findLast(({ event }) => event === 'begun');
    expect(begun).toMatchObject({
      caller: `${keeper.path} 1`,
      context: { role: 'responder', keyId: 1, algorithm: 3, peerAddress: '127.0.0.1' },
      offer: { label: keeper.labels.alpha, authority: ALPHA },
    });
    const made = {
      event: 'key',
      run: begun?.run,
      peer: `psk:${keeper.labels.alpha}`,
      level: 'authenticated',
    };
    expect(entries.at(-1)).toMatchObject(made);
    expect(JSON.stringify(entries)).not.toMatch(/[0-9a-f]{32}/);
    for (const path of [keeper.auditLog, keeper.path]) expect((await stat(path)).mode & 0o077).toBe(0);
  });

  test('a socket for one host gives nothing for another, nor for a proxy', async () => {
    const alone = await connectKeeper(scope, keeper.alphaPath);
    expect(alone.kept).toMatchObject([{ authority: ALPHA, label: keeper.labels.alpha, proves: 'key' }]);
    const refused = await KeymuxProcess.start(scope, ['proxy', '--keeper', `unix:${keeper.alphaPath}`]);
    expect(refused.stderr).toMatch(/keeper has no --key FILE or --identity for a proxy/);
    const sealed = ['origin', '--sealed', '--host', BETA, '--keeper', `unix:${keeper.alphaPath}`];
    const { code, stderr } = await keymux(sealed); // ends although it was connected
    expect([code, stderr]).toEqual([2, expect.stringMatching(/the keeper must have --key beta\.test=FILE/)]);
  });

  test.skipIf(process.platform !== 'linux')(
    'no debugger opens on SIGUSR1, no core dump has its memory',
    async () => {
      for (const { pid } of [keeper.process, origin]) process.kill(pid, 'SIGUSR1');
      await get(`keymux://${ALPHA}/`, '--key', keeper.files.alpha); // by then they have had the signal
      for (const { stderr } of [keeper.process, origin]) expect(stderr).not.toMatch(/debugger/i);
      const filter = await readFile(`/proc/${keeper.process.pid}/coredump_filter`, 'utf8');
      expect(Number.parseInt(filter, 16)).toBe(0);
    },
  );

  test('it is killed: sessions go on, new keys are refused for now; it comes back, and they are made', async () => {
    const { keeper: own, labels } = await keeperOf(
      { file: keeper.files.alpha, authorities: [ALPHA] },
      { file: keeper.files.beta, authorities: [BETA] },
    );
    const client = await connectClient(scope, origin.address, { keeper: own });
    const negotiate = (index: number, authority: string) =>
      client.negotiate({ algorithm: ALGORITHM.PSK_X25519, label: labels[index] as string, authority });
    const key = await negotiate(0, ALPHA);
    keeper.process.kill('SIGKILL');
    await origin.next('keeper-away');
    expect(await tell(client.request({ host: ALPHA, path: '/', key }))).toMatchObject({ status: 200 });
    expect(codeOf(await failureOf(negotiate(1, BETA)))).toBe('ERR_KEYMUX_NEGOTIATION_REJECTED');
    const refused = await get(`keymux://${ALPHA}/`, '--key', keeper.files.alpha);
    expect([refused.code, refused.stderr]).toEqual([
      3,
      expect.stringMatching(/cannot negotiate at the moment/),
    ]);
    await keeper.restart(); // the sockets of the one that was killed are still there
    await origin.next('keeper-back');
    const other = await negotiate(1, BETA);
    expect(await tell(client.request({ host: BETA, path: '/', key: other }))).toMatchObject({
      ...{ status: 200, level: 'authenticated' },
    });
    expect(await client.session.renegotiate(key)).toMatchObject({ generation: 1 });
  });
});

describe('what cannot be meant', () => {
  const SOCKET = 'unix:/nonexistent/keeper.sock';
  test.each<[string[], number, RegExp]>([
    [['keeper'], 2, /nothing to listen on: give --listen unix:PATH, or HOST:PORT/],
    [['keeper', '--listen', 'somewhere'], 2, /--listen somewhere: write unix:PATH/],
    [['keeper', '--listen', SOCKET], 2, /nothing to keep: give --key NAME=FILE/],
    [['keeper', '--listen', SOCKET, '--key', 'al pha=k'], 2, /"al pha" is no host name/],
    [['keeper', '--listen', SOCKET, '--key', '/nonexistent/key'], 2, /\/nonexistent\/key/],
    [['keeper', '--listen', SOCKET, '--authorized-keys', 'x'], 2, /--authorized-keys needs --identity/],
    [['origin', '--host', ALPHA, '--keeper', '/run/keeper.sock'], 2, /write unix:PATH/],
    [['origin', '--key', `${ALPHA}=k`, '--keeper', SOCKET], 2, /--key goes with keymux keeper/],
    [['origin', '--host', ALPHA, '--identity', 'agent', '--keeper', SOCKET], 2, /--identity goes with/],
    [['origin', '--host', ALPHA, '--authorized-keys', 'x', '--keeper', SOCKET], 2, /--authorized-keys goes/],
    [['proxy', '--key', 'k', '--keeper', SOCKET], 2, /--key goes with keymux keeper/],
    [
      ['proxy', '--keeper', SOCKET],
      3,
      /keeper at unix:\/nonexistent\/keeper\.sock cannot be reached; start it first[\s\S]*nothing listens on/,
    ],
  ])('%s', async (args, status, message) => {
    const { code, stderr } = await keymuxInside(args);
    expect([code, stderr]).toEqual([status, expect.stringMatching(message)]);
  });

  test('a socket for a host without a key, an audit log that cannot be written', async () => {
    const key = await makeKey(scope);
    const file = await scope.directory();
    const own = ['keeper', '--key', `${ALPHA}=${key}`];
    const unknown = await keymuxInside([...own, '--listen', `${BETA}=unix:${file('s')}`]);
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringMatching(/no key for this host/)]);
    const log = [...own, '--listen', `unix:${file('s')}`, '--audit-log', file('.')];
    expect(await keymuxInside(log)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/cannot be written/),
    });
  });

  test('of several sockets one that cannot be made: it ends, and leaves none', async () => {
    const file = await scope.directory();
    const listen = ['--listen', `unix:${file('s')}`, '--listen', `unix:${file('nowhere/s')}`];
    const args = ['keeper', '--key', await makeKey(scope), ...listen];
    const { code, stderr } = await keymux(args, { timeout: 15_000 });
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/there is no directory for the socket \/\S*nowhere\/s, or/),
    ]);
    await expect(stat(file('s'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test.skipIf(process.platform !== 'linux')('what cannot be written down is not done', async () => {
    const key = await makeKey(scope);
    const file = await scope.directory();
    const args = ['keeper', '--key', `${ALPHA}=${key}`, '--listen', `unix:${file('s')}`];
    const full = await KeymuxProcess.start(scope, [...args, '--audit-log', '/dev/full']);
    expect(codeOf(await failureOf(connectKeeper(scope, file('s'))))).toBe('ERR_KEYMUX_KEEPER_AWAY');
    expect(await full.exited).toBe(1);
    expect(full.stderr).toMatch(/audit log cannot be written[\s\S]*ENOSPC/);
  });
});
