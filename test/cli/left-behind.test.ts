import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { KeymuxProcess } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { makeKey } from '../support/tunnel.ts';

const scope = new Scope();
afterEach(() => scope.close());

async function answer(path: string): Promise<string> {
  const socket = connect(path);
  try {
    return await once(socket, 'connect').then(
      () => 'listens',
      ({ code }) => code,
    );
  } finally {
    socket.destroy();
  }
}

test.each([
  ['origin', 'true', ['origin', '--host', 'a.test', '--listen']],
  ['origin of several processes', 'false', ['origin', '--host', 'a.test', '--workers', '1', '--listen']],
  ['front', 'true', ['front', '--host', 'a.test=unix:/nowhere', '--listen']],
  ['pipe', 'true', ['pipe', '-e', '-t', '[127.0.0.1]:9', '-s']],
])('%s listens where one was killed that had a Unix socket there', async (_what, single, args) => {
  const path = (await scope.directory())('socket');
  const env = { KEYMUX_SINGLE_PROCESS: single };
  const key = args[0] === 'pipe' ? ['-k', await makeKey(scope)] : [];
  const place = args[0] === 'pipe' ? path : `unix:${path}`;
  const start = (): Promise<KeymuxProcess> => KeymuxProcess.start(scope, [...args, place, ...key], env);
  const first = await start();
  await expect(start()).rejects.toThrow(/is taken/);
  first.kill('SIGKILL');
  await first.exited;
  await expect.poll(() => answer(path)).toBe('ECONNREFUSED'); // the last of its processes is gone
  expect((await start()).address).toBe(`unix:${path}`);
});
