// Programs written in C, which a client reaches over a TCP connection for each stream.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { makeCertificate } from '../certificate.ts';
import type { Contender } from '../contender.ts';
import { freePort, type Stage } from '../stage.ts';

/** The first version number in what a program says of itself; undefined if there is no such program. */
function versionOf(command: string, ...args: string[]): string | undefined {
  const { stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  return error === undefined ? (/\d+\.\d+[\w.]*/.exec(`${stdout}${stderr}`)?.[0] ?? 'unknown') : undefined;
}

function contender(
  name: string,
  title: string,
  protection: Contender['protection'],
  needs: NonNullable<Contender['needs']>,
  start: (stage: Stage, origin: number, port: number) => Promise<void>,
): Contender {
  return {
    name,
    title,
    protection,
    needs,
    async start(stage) {
      const { port: origin } = await stage.node('origin', 'tcp', 'origin', {});
      const port = await freePort();
      await start(stage, origin, port);
      return { module: 'tcp', params: { port } };
    },
  };
}

const spiped = contender(
  'spiped',
  'a pair of spiped (P3)',
  'hop',
  { what: 'Debian package spiped', version: () => versionOf('spiped', '-v') },
  async (stage, origin, port) => {
    const key = join(stage.directory, 'key');
    writeFileSync(key, Buffer.alloc(32, 'k'), { mode: 0o600 });
    const middle = await freePort();
    const common = ['-k', key, '-F', '-n', '500', '-o', '60', '-g'];
    await stage.program(
      'proxy',
      'spiped',
      ['-d', '-s', `[127.0.0.1]:${middle}`, '-t', `[127.0.0.1]:${origin}`, ...common],
      middle,
    );
    await stage.program(
      'client',
      'spiped',
      ['-e', '-s', `[127.0.0.1]:${port}`, '-t', `[127.0.0.1]:${await stage.reach(middle)}`, ...common],
      port,
    );
  },
);

const ssh = contender(
  'ssh',
  'ssh -L, aes256-gcm (P4)',
  'hop',
  { what: 'Debian packages openssh-client and openssh-server', version: () => versionOf('ssh', '-V') },
  async (stage, origin, port) => {
    const at = (name: string): string => join(stage.directory, name);
    for (const name of ['host', 'user'])
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at(name)]);
    const server = await freePort();
    mkdirSync('/run/sshd', { recursive: true });
    const config = [
      `Port ${server}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${at('host')}`,
      `AuthorizedKeysFile ${at('user.pub')}`,
      'StrictModes no',
      'UsePAM no',
      'PermitRootLogin yes',
      `PidFile ${at('pid')}`,
    ];
    writeFileSync(at('sshd_config'), `${config.join('\n')}\n`);
    await stage.program('proxy', '/usr/sbin/sshd', ['-D', '-e', '-f', at('sshd_config')], server);
    const options = [
      'StrictHostKeyChecking=no',
      'UserKnownHostsFile=/dev/null',
      'Ciphers=aes256-gcm@openssh.com',
    ];
    const flags = options.flatMap((option) => ['-o', option]);
    const to = [
      '-p',
      String(await stage.reach(server)),
      '-i',
      at('user'),
      '-F',
      'none',
      `${userInfo().username}@127.0.0.1`,
    ];
    await stage.program(
      'client',
      'ssh',
      ['-N', '-L', `127.0.0.1:${port}:127.0.0.1:${origin}`, ...flags, ...to],
      port,
    );
  },
);

const stunnel = contender(
  'stunnel',
  'a pair of stunnel (P7)',
  'hop',
  { what: 'Debian package stunnel4', version: () => versionOf('stunnel', '-version') },
  async (stage, origin, port) => {
    const middle = await freePort();
    makeCertificate(stage.directory);
    const common = ['foreground = yes', 'pid =', 'debug = err', 'sslVersion = TLSv1.3'];
    const end = (name: string, lines: readonly string[]): string => {
      const file = join(stage.directory, name);
      writeFileSync(file, `${[...common, '[t]', ...lines].join('\n')}\n`);
      return file;
    };
    const server = end('server.conf', [
      `accept = 127.0.0.1:${middle}`,
      `connect = 127.0.0.1:${origin}`,
      `cert = ${join(stage.directory, 'cert.pem')}`,
      `key = ${join(stage.directory, 'key.pem')}`,
    ]);
    await stage.program('proxy', 'stunnel', [server], middle);
    const client = end('client.conf', [
      'client = yes',
      `accept = 127.0.0.1:${port}`,
      `connect = 127.0.0.1:${await stage.reach(middle)}`,
      `CAfile = ${join(stage.directory, 'cert.pem')}`,
      'verifyChain = yes',
    ]);
    await stage.program('client', 'stunnel', [client], port);
  },
);

const haproxy = contender(
  'haproxy',
  'haproxy, TCP mode with splice',
  'none',
  { what: 'Debian package haproxy', version: () => versionOf('haproxy', '-v') },
  async (stage, origin, port) => {
    const file = join(stage.directory, 'haproxy.cfg');
    const config = `global
  maxconn 4000
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  option splice-auto
frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
  server s 127.0.0.1:${origin}
`;
    writeFileSync(file, config);
    await stage.program('proxy', 'haproxy', ['-db', '-f', file], port);
  },
);

export const contenders: readonly Contender[] = [
  spiped,
  { ...ssh, onLinks: 'throughput' }, // its one connection is always there
  stunnel,
  haproxy,
];
