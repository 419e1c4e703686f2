import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { Agent, get as httpGet } from 'node:http';
import { connect, type Socket } from 'node:net';
import { connectWebSocket, MuxSession } from '@keymux/streams';
import { afterEach, describe, expect, test } from 'vitest';
import { LargeSite } from '../support/large-site.ts';
import { connectClient } from '../support/library.ts';
import { PROGRAM } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { httpServer } from '../support/servers.ts';
import { startTunnel } from '../support/tunnel.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** Longer than any test may take: who waits for it fails. */
const FOREVER = ['--limit', 'drain-timeout=600000'];

async function openSocket(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  scope.defer(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

describe.each([
  ['a single process', 'true'],
  ['several', 'false'],
])('SIGTERM, %s:', (_, KEYMUX_SINGLE_PROCESS) => {
  const env = { KEYMUX_SINGLE_PROCESS };

  test('lets everything end that goes on, and takes nothing new', async () => {
    const site = await LargeSite.start(scope, { args: FOREVER, env });
    const downloads = await Promise.all(Array.from({ length: 8 }, () => site.begin()));
    const { server } = site;
    server.kill('SIGTERM');
    await server.next('draining');
    const fate = (): Promise<unknown> =>
      openSocket(server.port).then(
        (socket) => {
          socket.destroy();
          return 'taken';
        },
        ({ code }) => code,
      );
    await expect.poll(fate).toBe('ECONNREFUSED');
    const whole = await Promise.all(downloads.map((download) => site.isWhole(download)));
    expect(whole).toEqual(Array(8).fill(true));
    expect(await server.exited).toBe(0);
  });

  test('does not wait for sessions and connections that do nothing', async () => {
    const { server } = await LargeSite.start(scope, { args: FOREVER, env });
    const client = await connectClient(scope, server.address);
    expect((await client.request({ host: 'large.test', path: '/none' })).status).toBe(404);
    await connectClient(scope, server.address).then(({ session }) => session.ping());
    const carrier = await connectWebSocket(`ws://${server.address}`);
    await new MuxSession(carrier, { role: 'client' }).ping();
    await openSocket(server.port); // says nothing
    (await openSocket(server.port)).write('GET / HTTP/1.1\r\n'); // has begun to
    (await openSocket(server.port)).write(Buffer.from('8003000100', 'hex')); // nor ends its first frame, nor its connection
    server.kill('SIGTERM');
    expect(await server.exited).toBe(0);
  });

  test('cuts off what has not ended when the time is up', async () => {
    const site = await LargeSite.start(scope, { args: ['--limit', 'drain-timeout=300'], env });
    const download = await site.begin();
    site.server.kill('SIGINT'); // does the same
    expect(await site.server.exited).toBe(0);
    await expect(site.isWhole(download)).rejects.toMatchObject({ code: 'ERR_KEYMUX_STREAM_RESET' });
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('%s ends at once what drains already', async (signal) => {
    const site = await LargeSite.start(scope, { args: FOREVER, env });
    await site.begin();
    site.server.kill('SIGTERM');
    await site.server.next('draining');
    site.server.kill(signal);
    expect(await site.server.exited).toBe(null);
  });
});

test('SIGTERM does not wait for programs that keep their connection to the local HTTP proxy', async () => {
  const port = await httpServer(scope, (_request, response) => response.end('done'));
  const { connect: local } = await startTunnel(scope, { allow: ['127.0.0.1:*'] });
  const agent = new Agent({ keepAlive: true });
  scope.defer(() => agent.destroy());
  const options = { host: '127.0.0.1', port: local.port, path: `http://127.0.0.1:${port}/`, agent };
  const [answer] = await once(httpGet(options), 'response');
  answer.resume();
  await once(answer, 'end');
  local.kill('SIGTERM');
  expect(await local.exited).toBe(0);
});

test.skipIf(process.platform !== 'linux')(
  'a terminal that is closed ends a service, and has it read nothing again',
  async () => {
    const file = await scope.directory();
    const line = `echo $$ >'${file('pid')}'; exec '${process.execPath}' '${PROGRAM}' origin --host a.test --listen 127.0.0.1:0 --json >'${file('events')}'`;
    const terminal = spawn('script', ['-qec', line, '/dev/null'], { stdio: ['pipe', 'ignore', 'inherit'] });
    const ended = once(terminal, 'exit');
    await expect.poll(() => readFile(file('events'), 'utf8').catch(() => '')).toMatch(/"listening"/);
    const pid = Number(await readFile(file('pid'), 'utf8'));
    scope.defer(() => void (isThere(pid) && process.kill(pid, 'SIGKILL')));
    terminal.kill('SIGKILL'); // with it, the terminal is gone
    await ended;
    await expect.poll(() => isThere(pid)).toBe(false);
    expect(await readFile(file('events'), 'utf8')).not.toMatch(/reload/);
  },
);

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
