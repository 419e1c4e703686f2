import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { open, writeFile } from 'node:fs/promises';
import net, { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { LargeSite } from '../support/large-site.ts';
import { connectClient } from '../support/library.ts';
import { after, jsonLines, KeymuxProcess, PROGRAM } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { closedPort, tcpServer } from '../support/servers.ts';

const scope = new Scope();
afterEach(() => scope.close());

const HOST = 'a.test';
const ORIGIN = ['origin', '--host', HOST];

const has = (program: string): boolean => spawnSync(program, ['--version']).error === undefined;

async function get(address: string): Promise<number | null> {
  return (await keymuxInside(['get', `keymux://${HOST}/`, '--connect-to', address])).code;
}

/** Listens on a Unix socket for datagrams, as systemd does. Perl is on every Debian; Node has no such sockets. */
const LISTENER = `
  use Socket;
  socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or die $!;
  bind($socket, sockaddr_un($ARGV[0])) or die $!;
  $| = 1;
  print "bound\\n";
  while (defined recv($socket, my $text, 4096, 0)) { $text =~ s/\\n/ /g; print "$text\\n" }
`;

/** What a service tells systemd, as it comes. */
async function listener() {
  const path = (await scope.directory())('notify');
  const child = spawn('perl', ['-e', LISTENER, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  scope.defer(() => void child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout });
  await once(lines, 'line');
  const told: string[] = [];
  lines.on('line', (line) => line !== 'BARRIER=1' && told.push(line));
  return { path, told };
}

describe.skipIf(!has('systemd-notify') || !has('perl'))('what systemd is told', () => {
  test('ready, reloading, ready, signs of life, stopping', async () => {
    const { path: NOTIFY_SOCKET, told } = await listener();
    const server = await KeymuxProcess.start(scope, ORIGIN, { NOTIFY_SOCKET, WATCHDOG_USEC: '1000000' });
    const ready = `MAINPID=${server.pid} READY=1`;
    const without = (): string[] => told.filter((line) => line !== 'WATCHDOG=1');
    await expect.poll(without).toEqual([ready]);
    server.kill('SIGHUP');
    await server.next('reloaded');
    await expect
      .poll(without)
      .toEqual([ready, expect.stringMatching(/^RELOADING=1 MONOTONIC_USEC=\d+$/), ready]);
    await expect.poll(() => told.length - without().length).toBeGreaterThan(1);
    server.kill('SIGTERM');
    expect(await server.exited).toBe(0);
    expect(without().at(-1)).toBe('STOPPING=1');
    expect(server.stderr).not.toMatch(/systemd/);
  });

  test('that it stops, before anything is let end', async () => {
    const { path: NOTIFY_SOCKET, told } = await listener();
    const site = await LargeSite.start(scope, { env: { NOTIFY_SOCKET, KEYMUX_SINGLE_PROCESS: 'false' } });
    const { server } = site;
    await site.begin();
    server.kill('SIGTERM');
    await expect.poll(() => told.at(-1)).toBe('STOPPING=1');
    server.kill('SIGTERM');
    expect(await server.exited).toBe(null);
  });
});

test('without systemd-notify the service runs, and says what is missing', async () => {
  const env = { NOTIFY_SOCKET: '/nowhere', PATH: '/nowhere' };
  const server = await KeymuxProcess.start(scope, ORIGIN, env);
  await expect.poll(() => server.stderr).toMatch(/there is no program systemd-notify/);
  expect(await get(server.address)).toBe(0);
  server.kill('SIGTERM');
  expect(await server.exited).toBe(0);
});

describe('a socket that systemd passes', () => {
  /** Opens a socket of this process that nobody accepts connections from yet. Node has no public way to do that. */
  function opened(address: string, type: 4 | -1): number {
    const { _createServerHandle: create } = net as unknown as {
      _createServerHandle(address: string, port: number, type: 4 | -1): { fd: number; close(): void };
    };
    const handle = create(address, type === 4 ? 0 : -1, type);
    scope.defer(() => handle.close());
    return handle.fd;
  }
  const OURS = after('export LISTEN_PID=$$');

  test('is served, and goes on to be there when the service has ended', async () => {
    const fd = opened('127.0.0.1', 4);
    const start = (): Promise<KeymuxProcess> =>
      KeymuxProcess.start(
        scope,
        [...ORIGIN, '--listen', 'systemd'],
        { LISTEN_FDS: '1' },
        { through: OURS, passed: [fd] },
      );
    const first = await start();
    expect(await get(first.address)).toBe(0);
    first.kill('SIGTERM');
    expect(await first.exited).toBe(0);
    const waiting = get(first.address); // until the next one is there
    const second = await start();
    expect(second.address).toBe(first.address);
    expect(await waiting).toBe(0);
  });

  test('is found by its name; a Unix socket is one too, and that of a pipe', async () => {
    const file = await scope.directory();
    const passed = [opened('127.0.0.1', 4), opened(file('socket'), -1)];
    const start = (...args: readonly string[]): Promise<KeymuxProcess> =>
      KeymuxProcess.start(
        scope,
        args,
        { LISTEN_FDS: '2', LISTEN_FDNAMES: 'other:ours' },
        { through: OURS, passed },
      );
    const origin = await start(...ORIGIN, '--single-process', 'false', '--listen', 'systemd:ours');
    expect(origin.address).toBe('a Unix socket of systemd');
    const client = await connectClient(scope, `unix:${file('socket')}`);
    expect((await client.request({ host: HOST, path: '/' })).status).toBe(200);
    await client.close();
    await origin.stop();
    await writeFile(file('key'), Buffer.alloc(32, 1));
    const target = await tcpServer(scope, (socket) => socket.end('reached'));
    const inner = ['-d', '-s', '[127.0.0.1]:0', '-t', `[127.0.0.1]:${target}`, '-k', file('key')];
    const { port } = await KeymuxProcess.start(scope, ['pipe', ...inner]);
    await start('pipe', '-e', '-s', 'systemd:ours', '-t', `[127.0.0.1]:${port}`, '-k', file('key'));
    expect(await text(connect(file('socket')))).toBe('reached');
  });

  test.each([
    ['none was passed', {}, /systemd has passed no socket/],
    ['it is for another process', { LISTEN_FDS: '1', LISTEN_PID: '1' }, /to another process/],
  ])('is refused if %s', async (_, env, reason) => {
    const { code, stderr } = await keymuxInside([...ORIGIN, '--listen', 'systemd'], env);
    expect([code, stderr]).toEqual([2, expect.stringMatching(reason)]);
  });

  test('is refused if it is none to listen on', async () => {
    const file = await open(PROGRAM);
    scope.defer(() => file.close());
    const started = KeymuxProcess.start(
      scope,
      [...ORIGIN, '--listen', 'systemd'],
      { LISTEN_FDS: '1' },
      { through: OURS, passed: [file.fd] },
    );
    await expect(started).rejects.toThrow(/the socket that systemd has passed cannot be listened on/);
  });

  test.skipIf(!has('systemd-socket-activate'))(
    'systemd-socket-activate starts it with the first connection',
    async () => {
      const port = await closedPort();
      const child = spawn(
        'systemd-socket-activate',
        [
          '-l',
          `127.0.0.1:${port}`,
          '--fdname=web',
          process.execPath,
          PROGRAM,
          ...ORIGIN,
          '--listen',
          'systemd:web',
          '--json',
        ],
        { stdio: ['ignore', 'pipe', 'pipe'] },
      );
      const ended = once(child, 'exit');
      scope.defer(() => void child.kill('SIGKILL'));
      let events = '';
      child.stdout.on('data', (chunk) => {
        events += chunk;
      });
      await once(child.stderr, 'data'); // it says that it listens
      await expect.poll(() => get(`127.0.0.1:${port}`)).toBe(0);
      await expect.poll(() => events).toMatch(/"listening"/);
      child.kill('SIGTERM');
      expect(await ended).toEqual([0, null]);
      expect(jsonLines(events).map(({ event }) => event)).toEqual(
        expect.arrayContaining(['listening', 'draining']),
      );
    },
  );
});
