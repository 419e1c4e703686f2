import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, readFile, writeFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { parsePipeAddress } from '@keymux/pipe';
import { afterEach, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { KeymuxProcess, keymux, PROGRAM, run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { closedPort, tcpServer } from '../support/servers.ts';
import { allOf, dial, echo, startPipe } from '../support/spiped.ts';
import { makeKey } from '../support/tunnel.ts';

const scope = new Scope();
afterEach(() => scope.close());

describe('what is refused with status 2', () => {
  const cases: [string, string[], RegExp][] = [
    ['no target', ['-k', 'K'], /--target/],
    ['no key', ['-t', 'a:1'], /--key FILE/],
    ['neither way', ['-s', '[::1]:0', '-t', 'a:1', '-k', 'K'], /--encrypt.*--decrypt/],
    ['both ways', ['-e', '-d', '-s', '[::1]:0', '-t', 'a:1', '-k', 'K'], /one of --encrypt and --decrypt/],
    ['decrypting standard input', ['-d', '-t', 'a:1', '-k', 'K'], /--decrypt needs --source/],
    ['events among the data', ['-t', 'a:1', '-k', 'K', '--json'], /--json needs --source/],
    ['the key among the data', ['-t', 'a:1', '-k', '-'], /--key - needs --source/],
    ['no brackets', ['-t', '::1:8', '-k', 'K'], /target is "::1:8": write \/path.*\[IPv6\]:port/],
    ['a source without a port', ['-e', '-s', 'here', '-t', 'a:1', '-k', 'K'], /source is "here": write/],
    ['a path to bind', ['-t', 'a:1', '-k', 'K', '-b', '/x'], /--bind takes an address/],
    ['no time', ['-t', 'a:1', '-k', 'K', '-o', '0'], /timeout is 0: write seconds/],
    ['half a connection', ['-t', 'a:1', '-k', 'K', '-n', '1.5'], /max-connections is 1.5: write how many/],
    ['-f', ['-f', '-t', 'a:1', '-k', 'K'], /not offered: -f would leave out the Diffie-Hellman exchange/],
    ['-u', ['-u', 'nobody', '-t', 'a:1', '-k', 'K'], /not offered: start the program as that user/],
    ['-p', ['-p', 'pid', '-t', 'a:1', '-k', 'K'], /not offered: .*foreground/],
    ['-r', ['-r', '60', '-t', 'a:1', '-k', 'K'], /not offered: names are looked up for each connection/],
  ];
  test.each(cases)('%s', async (_what, args, message) => {
    const key = await makeKey(scope);
    const { code, stdout, stderr } = await keymuxInside([
      'pipe',
      ...args.map((arg) => (arg === 'K' ? key : arg)),
    ]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });

  test('an empty key', async () => {
    const args = ['pipe', '-d', '-s', '[127.0.0.1]:0', '-t', '[127.0.0.1]:1', '-k', '-'];
    const { code, stderr } = await keymux(args);
    expect([code, stderr]).toEqual([2, expect.stringContaining('a key has 32 bytes')]);
  });
});

test('standard input and output: the exit status tells why it failed', async () => {
  const [key, other] = [await makeKey(scope), await makeKey(scope)];
  const { address } = await echo(scope);
  const server = await KeymuxProcess.start(scope, [
    'pipe',
    '-d',
    '-s',
    '[127.0.0.1]:0',
    '-t',
    address,
    '-k',
    key,
  ]);
  const target = `[127.0.0.1]:${server.port}`;
  const input = 'x'.repeat(5_000);
  const [right, wrong, nobody] = await Promise.all([
    keymux(['pipe', '-s', '-', '-t', target, '-k', key], { input }),
    keymux(['pipe', '-t', target, '-k', other], { input }),
    keymux(['pipe', '-t', `[127.0.0.1]:${await closedPort()}`, '-k', key], { input }),
  ]);
  expect(right).toEqual({ code: 0, stdout: input, stderr: '' });
  expect([wrong.code, wrong.stdout, wrong.stderr]).toEqual([
    4,
    '',
    expect.stringMatching(/compare the key files/),
  ]);
  expect([nobody.code, nobody.stderr]).toEqual([3, expect.stringMatching(/nothing listens on/)]);
  await expect.poll(() => server.all('connection-end').length).toBe(2);
  const ends = server.all('connection-end');
  expect(ends.find(({ error }) => error === undefined)).toMatchObject({ sent: 5_000, received: 5_000 });
  expect(ends.find(({ error }) => error !== undefined)?.error).toMatchObject({
    code: 'ERR_KEYMUX_KEY_FAILURE',
  });
});

test('standard output that nobody reads any more: the peer is told by a reset', async () => {
  const key = await makeKey(scope);
  const broken: boolean[] = [];
  const port = await tcpServer(scope, (socket) => {
    allOf(socket).then((all) => broken.push(all.broken));
    socket.write('more and more');
  });
  const target = `[127.0.0.1]:${port}`;
  const server = await startPipe(scope, key, { role: 'server', target: parsePipeAddress(target) });
  const child = spawn(process.execPath, [PROGRAM, 'pipe', '-t', server.address, '-k', key]);
  child.stdout.destroy();
  expect(await once(child, 'close')).toEqual([1, null]);
  await expect.poll(() => broken).toEqual([true]);
});

test('one key file serves pipes and sessions by ALG 2, and can come from standard input', async () => {
  const key = await makeKey(scope);
  const { address } = await echo(scope);
  const source = (await scope.directory())('source');
  const child = spawn(process.execPath, [PROGRAM, 'pipe', '-d', '-s', source, '-t', address, '-k', '-']);
  const over = once(child, 'close');
  scope.defer(async () => {
    child.kill('SIGKILL');
    await over;
  });
  child.stdin.end(await readFile(key));
  await once(child.stderr, 'data'); // it listens
  const pipe = await keymux(['pipe', '-t', source, '-k', key], { input: 'through the pipe' });
  expect(pipe).toEqual({ code: 0, stdout: 'through the pipe', stderr: '' });
  const origin = await KeymuxProcess.start(scope, ['origin', '--key', `a.test=${key}`]);
  const to = ['--connect-to', origin.address, '--algorithm', 'spiped', '--key', key];
  const page = await keymux(['get', 'keymux://a.test/', ...to]);
  expect([page.code, page.stderr]).toEqual([0, expect.stringContaining('(spiped, ')]);
});

test('SIGTERM lets open connections end; the configuration file and environment work', async () => {
  const key = await makeKey(scope);
  const { address } = await echo(scope);
  const config = (await scope.directory())('config.json');
  await writeFile(config, JSON.stringify({ decrypt: true, target: address, 'max-connections': 1 }));
  const server = await KeymuxProcess.start(scope, ['pipe', '--config', config, '-s', '[127.0.0.1]:0'], {
    KEYMUX_KEY: key,
  });
  const source = (await scope.directory())('source');
  const args = ['pipe', '-e', '-s', source, '-t', `[127.0.0.1]:${server.port}`, '-k', key];
  await KeymuxProcess.start(scope, args);
  const socket = dial(scope, source);
  socket.write('before');
  await once(socket, 'data');
  server.kill('SIGTERM');
  await server.next('draining');
  socket.end(' and after');
  expect((await allOf(socket)).text).toBe(' and after');
  expect(await server.exited).toBe(0);
});

const SSHD = '/usr/sbin/sshd';
const sshdMissing = (await run('sh', ['-c', `test -x ${SSHD} && command -v ssh`])).code !== 0;

describe.skipIf(sshdMissing || process.getuid?.() !== 0)(
  'ssh (skipped where there is no sshd, or for users who may not start one)',
  () => {
    test('goes through its ProxyCommand', async () => {
      const key = await makeKey(scope);
      const file = await scope.directory();
      for (const name of ['host', 'user'])
        await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file(name)]);
      await copyFile(file('user.pub'), file('authorized_keys'));
      await run('mkdir', ['-p', '/run/sshd']);
      await chmod(file('authorized_keys'), 0o600);
      const port = await closedPort();
      const options = [
        `ListenAddress=127.0.0.1:${port}`,
        ...['UsePAM=no', 'StrictModes=no', 'PidFile=none', 'PermitRootLogin=yes'],
        `AuthorizedKeysFile=${file('authorized_keys')}`,
      ];
      const sshd = spawn(SSHD, [
        '-D',
        '-e',
        '-f',
        '/dev/null',
        '-h',
        file('host'),
        ...options.flatMap((o) => ['-o', o]),
      ]);
      const over = once(sshd, 'close');
      scope.defer(async () => {
        sshd.kill();
        await over;
      });
      await once(sshd.stderr, 'data'); // it listens
      sshd.stderr.resume();
      const target = `[127.0.0.1]:${port}`;
      const source = file('source');
      await KeymuxProcess.start(scope, ['pipe', '-d', '-s', source, '-t', target, '-k', key]);
      const proxy = `${process.execPath} ${PROGRAM} pipe -t ${source} -k ${key}`;
      const ssh = spawn('ssh', [
        ...['-F', '/dev/null', '-i', file('user'), '-o', `ProxyCommand=${proxy}`, '-o', 'IdentitiesOnly=yes'],
        ...[
          '-o',
          'StrictHostKeyChecking=no',
          '-o',
          `UserKnownHostsFile=${file('known')}`,
          '-o',
          'LogLevel=ERROR',
        ],
        ...['root@host.example', 'cat; echo bye'],
      ]);
      ssh.stdin.end('over ssh, ');
      const [said, complaint] = await Promise.all([buffer(ssh.stdout), buffer(ssh.stderr)]);
      expect([String(said), String(complaint)]).toEqual(['over ssh, bye\n', '']);
    });
  },
);
