import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { jsonLines, KeymuxProcess, PROGRAM, run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { httpServer } from '../support/servers.ts';
import { readCapture, Wiretap } from '../support/wiretap.ts';

const SECRET = 'CANARY-behind-an-identity';
const scope = new Scope();
afterEach(() => scope.close());

interface Place {
  file(name: string): string;
  /** A key made by ssh-keygen; returns `TYPE BASE64`. */
  generate(name: string, ...options: string[]): Promise<string>;
}

async function place(): Promise<Place> {
  const file = await scope.directory();
  return {
    file,
    generate: async (name, ...options) => {
      const passphrase = options.includes('-N') ? [] : ['-N', ''];
      const args = ['-q', '-t', 'ed25519', '-C', name, '-f', file(name), ...passphrase, ...options];
      expect((await run('ssh-keygen', args)).code).toBe(0);
      return (await readFile(file(`${name}.pub`), 'utf8')).split(' ').slice(0, 2).join(' ');
    },
  };
}

/** An origin for a.test with an identity, that lets Alice in, and what `get` needs to reach it. */
async function originFor(line = (key: string): string => `${key} alice`, ...options: string[]) {
  const { file, generate } = await place();
  const host = await generate('host');
  const alice = await generate('alice');
  await writeFile(file('authorized_keys'), line(alice));
  const server = await KeymuxProcess.start(
    scope,
    [
      ...['origin', '--host', 'a.test', ...options],
      ...['--identity', file('host'), '--authorized-keys', file('authorized_keys')],
    ],
    { KEYMUX_SECRET: SECRET },
  );
  const tap = await Wiretap.start(scope, server.port);
  await writeFile(file('known_hosts'), `[a.test]:6121 ${host}\n`);
  const to = ['get', 'keymux://a.test/account', '--connect-to', tap.address, '--json'];
  return { file, generate, server, tap, to, host, hosts: ['--known-hosts', file('known_hosts')] };
}

describe('keymux with identities', () => {
  test('get and origin prove who they are, and a wiretap sees neither', async () => {
    const { file, to, hosts, tap, server } = await originFor();
    const { code, stdout, stderr } = await keymuxInside([...to, ...hosts, '--identity', file('alice')]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const [{ legs }] = jsonLines(stdout) as unknown as [
      { legs: { key: { peer: string; algorithm: string } }[] },
    ];
    expect(jsonLines(stdout)).toMatchObject([
      { status: 200, level: 'authenticated', answer: 'authenticated' },
    ]);
    expect(legs[0]?.key).toMatchObject({
      algorithm: 'signed',
      peer: expect.stringMatching(/^ssh-ed25519 SHA256:.{43} \(\[a\.test\]:6121\)$/),
    });
    expect((await server.next('request')).identity).toMatch(/^ssh-ed25519 SHA256:.{43} \(alice\)$/);
    expect(readCapture(tap.only).up.negotiated).toEqual(['1/4', '1/4']); // F_1 and F_3
    expect(tap.sees(SECRET)).toBe(false);
  });

  test('an origin prompts with its identity', async () => {
    const { file, to, hosts } = await originFor(undefined, '--sealed');
    const { code, stdout } = await keymuxInside([...to, ...hosts, '--identity', file('alice'), '--clear']);
    expect(code).toBe(0);
    expect(jsonLines(stdout)).toMatchObject([{ status: 200, level: 'none', answer: 'authenticated' }]);
  });

  test('an origin prompts for several hosts of one session, each by its own name', async () => {
    const { file, host, hosts, tap } = await originFor(undefined, '--host', 'b.test', '--sealed');
    await appendFile(file('known_hosts'), `[b.test]:99 ${host}\n`);
    const way = ['--connect-to', tap.address, '--clear', '--json', '--identity', file('alice'), ...hosts];
    const both = await keymuxInside(['get', 'keymux://a.test/', 'keymux://b.test:99/', ...way]);
    expect(jsonLines(both.stdout)).toMatchObject([{ answer: 'authenticated' }, { answer: 'authenticated' }]);
    const other = await keymuxInside(['get', 'keymux://a.test/', 'keymux://b.test:98/', ...way]);
    expect(other.code).toBe(4); // that is not the name in known_hosts
  });

  test('status 4 for who is not listed, and the log of the origin says why', async () => {
    const { file, generate, to, hosts, server } = await originFor();
    await generate('mallory');
    const { code, stderr } = await keymuxInside([...to, ...hosts, '--identity', file('mallory')]);
    expect(code).toBe(4);
    expect(stderr).not.toMatch(/authorized_keys/); // that is for the origin's log only
    const { error } = await server.next('session-end');
    expect(error).toMatch(/not trusted here.*no usable line has this key/);
  });

  test('the origin says at its start which lines let nobody in', async () => {
    const { server, file, to, hosts } = await originFor(
      (key) => `command="x" ${key}\nssh-rsa AAAAB3NzaC1yc2E=`,
    );
    expect(server.stderr).toMatch(/authorized_keys:1 lets nobody in: the line has the option command=/);
    expect(server.stderr).toMatch(/authorized_keys:2 lets nobody in: .*only ssh-ed25519/);
    expect((await keymuxInside([...to, ...hosts, '--identity', file('alice')])).code).toBe(4);
  });

  test('from= is compared with where the client comes from', async () => {
    const { file, to, hosts } = await originFor();
    const line = await readFile(file('authorized_keys'), 'utf8');
    for (const [list, code] of [
      ['127.0.0.0/8', 0],
      ['10.0.0.0/8', 4],
    ] as const) {
      await writeFile(file('authorized_keys'), `from="${list}" ${line}`);
      expect((await keymuxInside([...to, ...hosts, '--identity', file('alice')])).code).toBe(code);
    }
  });

  test('H12: another key than the known one is status 4, and names the line', async () => {
    const { file, generate, to, hosts } = await originFor();
    await writeFile(file('known_hosts'), `\n[a.test]:6121 ${await generate('another')}\n`);
    const { code, stderr } = await keymuxInside([...to, ...hosts, '--identity', file('alice')]);
    expect(code).toBe(4);
    expect(stderr).toMatch(/known_hosts:2 says/);
  });

  test('usage errors say what is missing', async () => {
    const { file, generate } = await place();
    await generate('id');
    await writeFile(file('empty'), '');
    const id = ['--identity', file('id')];
    for (const [args, message] of [
      [['proxy', ...id], /--identity needs --authorized-keys/],
      [['proxy', '--authorized-keys', file('empty')], /--authorized-keys needs --identity/],
      [['proxy', ...id, '--authorized-keys', file('none')], /authorized_keys file .*none does not exist/],
      [['connect', 'localhost:1', ...id, '--clear'], /goes with none of/],
      [['connect', 'localhost:1', '--key', 'x', '--algorithm', 'signed'], /give --identity FILE instead/],
      [
        ['get', 'keymux://a.test/', '--identity', file('id.pub')],
        /id\.pub is a public key; the private key is the file without/,
      ],
      [['get', 'keymux://a.test/', '--identity', file('none')], /identity file .*none does not exist/],
    ] as const) {
      const { code, stderr } = await keymuxInside(args, { SSH_AUTH_SOCK: '' });
      expect({ args, code }).toEqual({ args, code: 2 });
      expect(stderr).toMatch(message);
    }
  });
});

describe('first contact', () => {
  test('without a terminal is refused with status 4, and says which line to add', async () => {
    const { file, to, host, hosts } = await originFor();
    await writeFile(file('known_hosts'), '');
    const { code, stderr } = await keymuxInside([...to, ...hosts, '--identity', file('alice')]);
    expect(code).toBe(4);
    const line = /^ {2}(\[a\.test\]:6121 ssh-ed25519 \S+)$/m.exec(stderr)?.[1];
    expect(line).toBe(`[a.test]:6121 ${host}`);
    expect(stderr).toContain(`add this line to ${file('known_hosts')}`);
    expect(await readFile(file('known_hosts'), 'utf8')).toBe('');
    await writeFile(file('known_hosts'), `${line}\n`);
    expect((await keymuxInside([...to, ...hosts, '--identity', file('alice')])).code).toBe(0);
  });

  test('the file is one of our own by default, not that of ssh', async () => {
    const { file, to, host } = await originFor();
    const env = { HOME: file('home'), XDG_CONFIG_HOME: file('config') };
    await mkdir(file('home/.ssh'), { recursive: true });
    await writeFile(file('home/.ssh/known_hosts'), `[a.test]:6121 ${host}\n`);
    const asked = [...to, '--identity', file('alice')];
    const { code, stderr } = await keymuxInside(asked, env);
    expect(code).toBe(4);
    expect(stderr).toContain(file('config/keymux/known_hosts'));
    await mkdir(file('config/keymux'), { recursive: true });
    await writeFile(file('config/keymux/known_hosts'), `[a.test]:6121 ${host}\n`);
    expect((await keymuxInside(asked, env)).code).toBe(0);
    const relative = await keymuxInside(asked, { ...env, XDG_CONFIG_HOME: 'config' });
    expect(relative.stderr).toContain(file('home/.config/keymux/known_hosts'));
  });

  test('on a terminal is asked for, once, and nothing but yes is one', async () => {
    const { file, to, host } = await originFor();
    const hosts = ['--known-hosts', file('new/known_hosts')];
    const args = [...to.filter((arg) => arg !== '--json'), ...hosts, '--identity', file('alice')];
    const question = /Type yes: /;
    for (const answer of ['y\r', '\u0003', '\u0004']) {
      const no = await onTerminal(args, [[question, answer]]);
      expect(no.code).toBe(4);
      expect(no.output).toContain('add this line');
    }
    const yes = await onTerminal(args, [[question, 'yes\r']]);
    expect(yes.code).toBe(0);
    expect(yes.output).toMatch(/It says that it is\s+ssh-ed25519 SHA256:/);
    expect(yes.output).toContain(SECRET);
    expect(await readFile(file('new/known_hosts'), 'utf8')).toBe(`[a.test]:6121 ${host}\n`);
    expect((await onTerminal(args, [])).code).toBe(0);
  });
});

describe('a passphrase', () => {
  async function protectedOrigin() {
    const { file, generate, server, to, hosts, ...rest } = await originFor();
    const key = await generate('locked', '-N', 'correct horse', '-a', '1');
    await writeFile(file('authorized_keys'), `${key} alice`);
    const args = [...to.filter((arg) => arg !== '--json'), ...hosts, '--identity', file('locked')];
    return { file, args, ...rest };
  }

  test('is asked for on a terminal, and not shown', async () => {
    const { args } = await protectedOrigin();
    const { code, output } = await onTerminal(args, [
      [/Passphrase for \S+: $/, 'wrong\r'],
      [/not right\. Passphrase for \S+: $/, 'correctx\u007f horse\r'],
    ]);
    expect(output).not.toMatch(/wrong|correct/);
    expect(code).toBe(0);
    expect((await onTerminal(args, [[/Passphrase/, '\u0003']])).code).toBe(2);
  });

  test('comes from SSH_ASKPASS where there is no terminal, and is in no argument', async () => {
    const { file, args } = await protectedOrigin();
    const program = file('askpass');
    await writeFile(program, `#!/bin/sh\nprintf '%s\\n' "$1" >> "${program}.asked"\necho 'correct horse'\n`);
    await chmod(program, 0o700);
    const env = { SSH_ASKPASS: program };
    expect((await keymuxInside(args, env)).code).toBe(0);
    expect(await readFile(`${program}.asked`, 'utf8')).toMatch(/^Passphrase for .*locked: \n$/);
    await writeFile(program, '#!/bin/sh\nexit 1\n');
    const refused = await keymuxInside(args, env);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/SSH_ASKPASS/);
    expect((await keymuxInside(args, { SSH_ASKPASS: '' })).code).toBe(2);
    const missing = await keymuxInside(args, { SSH_ASKPASS: file('missing') });
    expect(missing.code).toBe(2);
    expect(missing.stderr).toMatch(/SSH_ASKPASS names \S+missing, which cannot be run \(ENOENT\)/);
  });
});

describe('an ssh-agent', () => {
  test('signs for get, and says which key to name if it has several', async () => {
    const { file, generate, to, hosts } = await originFor();
    await generate('other');
    const socket = file('agent');
    const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: ['ignore', 'pipe', 'ignore'] });
    scope.defer(() => void agent.kill());
    await once(agent.stdout, 'data');
    const agentOf = { SSH_AUTH_SOCK: socket };
    const env = { ...process.env, ...agentOf };
    const ask = (identity: string) => keymuxInside([...to, ...hosts, '--identity', identity], agentOf);
    expect((await ask('agent')).stderr).toMatch(/holds no Ed25519 key; add it with ssh-add/);
    await run('ssh-add', ['-q', file('alice')], { env });
    expect((await ask('agent')).code).toBe(0);
    await run('ssh-add', ['-q', file('other')], { env });
    const several = await ask('agent');
    expect(several.code).toBe(2);
    const fingerprint = /SHA256:\S+(?= \(alice\))/.exec(several.stderr)?.[0] ?? '';
    expect((await ask(`agent:${fingerprint}`)).code).toBe(0);
    expect((await ask('agent:SHA256:x')).code).toBe(2);
    const none = await keymuxInside([...to, ...hosts, '--identity', 'agent'], { SSH_AUTH_SOCK: '' });
    expect(none.code).toBe(2);
  });
});

describe('a relay', () => {
  async function relay(line: (key: string) => string, allow: readonly string[]) {
    const { file, generate } = await place();
    const host = await generate('host');
    const alice = await generate('alice');
    await writeFile(file('authorized_keys'), line(alice));
    const proxy = await KeymuxProcess.start(scope, [
      ...['proxy', '--identity', file('host'), '--authorized-keys', file('authorized_keys')],
      ...allow.flatMap((rule) => ['--allow', rule]),
    ]);
    await writeFile(file('known_hosts'), `[127.0.0.1]:${proxy.port} ${host}\n`);
    const as = ['--identity', file('alice'), '--known-hosts', file('known_hosts')];
    return { file, proxy, as };
  }

  async function fetchThrough(connect: KeymuxProcess, port: number): Promise<string> {
    const url = `http://127.0.0.1:${port}/`;
    const args = [
      '-s',
      '-p',
      '-o',
      '/dev/null',
      '-w',
      '%{http_connect} %{http_code}',
      '-x',
      `http://${connect.address}`,
    ];
    return (await run('curl', [...args, url])).stdout;
  }

  test('lets a client in by its identity, and knows its name', async () => {
    const { proxy, as } = await relay((key) => `${key} alice`, ['127.0.0.1:*']);
    const port = await httpServer(scope, (_, response) => void response.end('there'));
    const connect = await KeymuxProcess.start(scope, ['connect', proxy.address, ...as]);
    expect(await connect.atLeast(1, 'connected')).toMatchObject([{ level: 'authenticated' }]);
    expect(await fetchThrough(connect, port)).toBe('200 200');
    expect(await proxy.next('connect')).toMatchObject({
      status: 200,
      level: 'authenticated',
      identity: expect.stringMatching(/^ssh-ed25519 SHA256:.{43} \(alice\)$/),
    });
  });

  test('turns a client away that it does not know, whose program then ends', async () => {
    const { proxy, as, file } = await relay((key) => key, ['127.0.0.1:*']);
    await writeFile(file('authorized_keys'), '');
    const { code, stdout, stderr } = await keymuxInside([
      ...['connect', proxy.address, ...as, '--listen', '127.0.0.1:0', '--json'],
    ]);
    expect([code, stdout]).toEqual([4, '']);
    expect(stderr).toContain('the peer ended the session because of a key');
  });

  test('connects for a key with permitopen= to those places only, with restrict alone nowhere', async () => {
    const servers = [
      await httpServer(scope, (_, r) => void r.end('1')),
      await httpServer(scope, (_, r) => void r.end('2')),
    ];
    const [open, closed] = servers as [number, number];
    const { proxy, as, file } = await relay((key) => key, ['127.0.0.1:*']);
    const line = await readFile(file('authorized_keys'), 'utf8');
    for (const [options, expected] of [
      [`permitopen="127.0.0.1:${open}"`, ['200 200', '403 000']],
      [`restrict,permitopen="127.0.0.1:${open}"`, ['200 200', '403 000']],
      ['permitopen="127.0.0.1:*"', ['200 200', '200 200']],
      ['permitopen="localhost:*"', ['403 000', '403 000']],
      ['restrict', ['403 000', '403 000']],
      ['restrict,port-forwarding', ['200 200', '200 200']],
    ] as const) {
      await writeFile(file('authorized_keys'), `${options} ${line}`); // it is read for each session anew
      const connect = await KeymuxProcess.start(scope, ['connect', proxy.address, ...as]);
      expect([await fetchThrough(connect, open), await fetchThrough(connect, closed)], options).toEqual(
        expected,
      );
    }
  });

  test('does not reach more by permitopen= than its own rules allow', async () => {
    const port = await httpServer(scope, (_, response) => void response.end('there'));
    const { proxy, as } = await relay((key) => `permitopen="*:*" ${key}`, ['127.0.0.1:1']);
    const connect = await KeymuxProcess.start(scope, ['connect', proxy.address, ...as]);
    expect(await fetchThrough(connect, port)).toBe('403 000');
  });

  test('that is not known is refused by connect with status 4', async () => {
    const { proxy, as, file } = await relay((key) => key, []);
    await writeFile(file('known_hosts'), '');
    const { code, stderr } = await keymuxInside(['connect', proxy.address, ...as]);
    expect(code).toBe(4);
    expect(stderr).toContain(`[127.0.0.1]:${proxy.port} ssh-ed25519 `);
  });

  test('and a host behind it are proven apart, each by its own list', async () => {
    const { proxy, as, file } = await relay((key) => `${key} alice`, ['127.0.0.1:*']);
    const { server, file: inner, host } = await originFor((key) => `${key} bob`);
    const known = await readFile(file('known_hosts'), 'utf8');
    await writeFile(file('known_hosts'), `${known}[a.test]:6121 ${host}\n`);
    const [, relayIdentity = '', ...hosts] = as;
    const through = (identity: string) =>
      keymuxInside([
        ...['get', 'keymux://a.test/', '--connect-to', `127.0.0.1:${server.port}`, '--json', ...hosts],
        ...['--via', proxy.address, '--proxy-identity', relayIdentity, '--identity', identity],
      ]);
    expect((await through(inner('alice'))).code).toBe(0);
    expect((await through(relayIdentity)).code).toBe(4); // the relay's Alice is nobody to the host
  });
});

/** Runs keymux on a terminal; each answer is typed when its question has come. */
async function onTerminal(
  args: readonly string[],
  answers: readonly (readonly [RegExp, string])[],
): Promise<{ code: number | null; output: string }> {
  const line = [process.execPath, PROGRAM, ...args].map((arg) => `'${arg}'`).join(' ');
  const child = spawn('script', ['-qec', line, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = [...answers];
  let [output, unread] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk;
    unread += chunk;
    const [next] = waiting;
    if (next === undefined || !next[0].test(unread)) return;
    waiting.shift();
    unread = '';
    child.stdin.write(next[1]);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}
