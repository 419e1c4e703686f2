import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { KeymuxProcess, keymux } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { listen } from '../support/servers.ts';
import { makeKey } from '../support/tunnel.ts';

const scope = new Scope();
afterEach(() => scope.close());

const COMMANDS = ['keygen', 'proxy', 'connect', 'origin', 'keeper', 'get', 'explain', 'pipe', 'demo'];
const ESCAPE = '\u001b[';

/** The message of a command that must end with status 2. */
async function refused(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const { code, stdout, stderr } = await keymuxInside(args, env);
  expect({ args, code, stdout }).toEqual({ args, code: 2, stdout: '' });
  return stderr;
}

describe('help', () => {
  test.each(COMMANDS)('keymux %s --help shows an example', async (command) => {
    const { code, stdout } = await keymux([command, '--help']);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`Examples:\\n\\s+keymux ${command} `));
    // No option takes a secret: keys come from files.
    expect(stdout).not.toMatch(/--(secret|password|passphrase|psk|token)\b/);
  });

  test('keymux --help names every command and what the exit status means', async () => {
    const { code, stdout } = await keymux(['--help']);
    expect(code).toBe(0);
    for (const command of COMMANDS) expect(stdout).toContain(`keymux ${command}`);
    expect(stdout).toMatch(/Exit status: 0 done, 1 failed, 2 usage/);
  });

  test.each(['bash', 'zsh'])('completion prints a script for %s', async (shell) => {
    const { code, stdout } = await keymux(['completion'], {
      env: { ...process.env, SHELL: `/bin/${shell}`, ZSH_NAME: shell === 'zsh' ? 'zsh' : '' },
    });
    expect(code).toBe(0);
    expect(stdout).toContain('keymux');
    expect(stdout).toMatch(shell === 'zsh' ? /#compdef keymux/ : /complete .*keymux/);
  });
});

test('keymux completion --help says what it prints, and where that goes', async () => {
  const { code, stdout } = await keymux(['completion', '--help']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^Print a completion script/m);
  expect(stdout).toMatch(/keymux completion >> ~\/\.bashrc/);
});

describe('what is refused with status 2', () => {
  test('unknown commands and options, and no command', async () => {
    expect(await refused([])).toMatch(/--help/);
    expect(await refused(['no-such-command'])).toMatch(/^keymux: there is no command "no-such-command"\n/);
    expect(await refused(['origin', 'stray'])).toMatch(/^keymux: not expected here: stray\n/);
    expect(await refused(['origin', '--two-words=secret', '-z'])).toMatch(
      /^keymux: there is no option --two-words, -z\nSee: keymux origin --help\n$/,
    );
    expect(await refused(['get'])).toMatch(/^keymux: the URL, keymux:\/\/HOST.*, is missing\n/);
    for (const command of COMMANDS) {
      const rest =
        { keygen: ['x'], connect: ['a:1'], get: ['keymux://a/'], explain: ['keymux://a/'] }[command] ?? [];
      expect(await refused([command, ...rest, '--unheard-of', '1'])).toMatch(
        /there is no option --unheard-of\n/,
      );
    }
  });

  test('values that make no sense: the message names the field, the value and what to write', async () => {
    const key = await makeKey(scope);
    const cases: [string[], RegExp][] = [
      [['proxy', '--listen', 'nonsense'], /listen.*"nonsense".*write host:port/],
      [['proxy', '--listen', ':65536'], /listen.*65536.*write host:port/],
      [['proxy', '--key', key, '--allow', 'example.com'], /"example.com".*write HOST:PORT/],
      [['proxy', '--key', key, '--connect-timeout', '5'], /connect-?timeout.*5.*100/i],
      [['origin', '--key', 'alpha.test'], /^keymux: key is "alpha.test": write NAME=VALUE\n/],
      [['front', '--host', 'a=1', '--host', 'b'], /^keymux: host is "b": write NAME=VALUE\n/],
      [['proxy', '--listen', '1', '--listen', '2'], /^keymux: listen is there 2 times; give it once\n/],
      [['get', 'keymux://a.test/', '--algorithm', 'psk'], /--algorithm.*there is none: give --key FILE/],
      [['get', 'keymux://a.test/', '--via', 'p:1', '--proxy-algorithm', 'psk'], /give --proxy-key FILE/],
      [['origin'], /no host.*--host NAME/],
      [['connect', '127.0.0.1:1'], /key.*--key FILE.*--clear/],
      [['connect', 'not an address', '--clear'], /"not an address".*write host:port/],
      [['get', 'ftp://a.test/'], /"ftp:\/\/a.test\/" is no URL of a host: write keymux:\/\//],
      [['get', 'keymux://a.test/', '--connect-to', 'x'], /connect-to.*"x".*write HOST:PORT/],
      [['get', 'keymux://a.test/', '--level', 'high'], /level.*"?high"?.*none.*passive.*authenticated/s],
      [['get', 'keymux://a.test/', '--key', '/nonexistent/key'], /\/nonexistent\/key.*keygen/],
    ];
    for (const [args, message] of cases) expect(await refused(args)).toMatch(message);
  });

  test('a key file that is too short, or not a file', async () => {
    const file = await scope.directory();
    await writeFile(file('short'), 'too short');
    const get = ['get', 'keymux://a.test/', '--key'];
    expect(await refused([...get, file('short')])).toMatch(/9 bytes.*at least 32/);
    expect(await refused([...get, '/dev'])).toMatch(/not a regular file/);
  });
});

describe('a configuration file', () => {
  async function config(content: unknown): Promise<string> {
    const path = (await scope.directory())('config.json');
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  }

  test('gives options, and the command line wins', async () => {
    const path = await config({ listen: 'nonsense', allow: ['a.test:80'] });
    expect(await refused(['proxy', '--config', path])).toContain(`listen (${path}:1) is "nonsense"`);
    expect(await refused(['proxy', '--config', path, '--listen', 'other'])).toMatch(/listen.*"other"/);
  });

  test('with mistakes is refused, and the message names file, field, value and fix', async () => {
    expect(await refused(['proxy', '--config', '/nonexistent.json'])).toMatch(/"\/nonexistent.json"/);
    expect(await refused(['proxy', '--config', await config('{')])).toMatch(/config.json.*not JSON/);
    expect(await refused(['proxy', '--config', await config([])])).toMatch(/one JSON object/);
    expect(await refused(['proxy', '--config', await config({ listn: ':1' })])).toMatch(/listn/);
    expect(await refused(['proxy', '--config', await config({ clear: 'maybe' })])).toMatch(/clear.*"maybe"/);
    expect(await refused(['proxy', '--config', await config({ allow: [1] })])).toMatch(/allow/);
  });

  test('options come from the environment too', async () => {
    expect(await refused(['proxy'], { KEYMUX_LISTEN: 'nonsense' })).toContain(
      'listen (KEYMUX_LISTEN) is "nonsense"',
    );
  });
});

test('colours are for terminals, and not where NO_COLOR is set', async () => {
  const isTTY = Object.getOwnPropertyDescriptor(process.stderr, 'isTTY');
  const complain = async (terminal: boolean, NO_COLOR: string): Promise<string> => {
    Object.defineProperty(process.stderr, 'isTTY', { value: terminal, configurable: true });
    return refused(['get', 'nonsense'], { NO_COLOR, FORCE_COLOR: '' });
  };
  try {
    expect(await complain(true, '')).toContain(ESCAPE);
    expect(await complain(true, '1')).toMatch(/^keymux: /);
    expect(await complain(false, '')).toMatch(/^keymux: /);
  } finally {
    if (isTTY) Object.defineProperty(process.stderr, 'isTTY', isTTY);
    else Reflect.deleteProperty(process.stderr, 'isTTY');
  }
});

describe('files that cannot be used', () => {
  const url = 'keymux://a.test/';
  test.each([
    [
      'get: data that is not there',
      ['get', url, '-d', '@/nowhere/x'],
      /--data @\/nowhere\/x: there is no file "\/nowhere\/x"/,
    ],
    [
      'get: no directory for the output',
      ['get', url, '-o', '/nowhere/x'],
      /no directory "\/nowhere"; make it first/,
    ],
    [
      'get: a directory for the output',
      ['get', url, '-o', '/tmp'],
      /"\/tmp" cannot be written: it is a directory/,
    ],
    [
      'get: a file in place of a directory',
      ['get', url, '-o', '/etc/passwd/x'],
      /a part of the path is a file/,
    ],
    [
      'get: no directory for a key log',
      ['get', url, '--keylog', 'a.test=/nowhere/x'],
      /--keylog a\.test=.*no directory "\/nowhere"/,
    ],
    [
      'get: a key log of a host that is not asked',
      ['get', url, '--keylog', 'other.test=x.log'],
      /--keylog other\.test=…: no URL has the host "other\.test"/,
    ],
    ['get: a key log without a name', ['get', url, '--keylog', 'x.log'], /write NAME=FILE/],
    ['proxy: a key log without a name', ['proxy', '--keylog', 'x.log'], /write NAME=FILE/],
    [
      'proxy: a key log for all SSH keys',
      ['proxy', '--keylog', 'signed=x.log'],
      /by its fingerprint SHA256:/,
    ],
    ['connect: the same', ['connect', 'a:1', '--clear', '--keylog', 'signed=x.log'], /name the host/],
  ])('%s', async (_what, args, message) => {
    // Nothing listens where these would connect: that they are refused with 2 shows that they do not try.
    const to = args[0] === 'get' ? ['--connect-to', '127.0.0.1:1'] : [];
    expect(await refused([...args, ...to])).toMatch(message);
  });
});

test('a port that is taken: the message says how to take another', async () => {
  const port = await listen(scope, createServer());
  const { code, stderr } = await keymuxInside(['proxy', '--clear', '--listen', `127.0.0.1:${port}`]);
  expect([code, stderr]).toEqual([1, expect.stringContaining(`127.0.0.1:${port} is taken`)]);
  expect(stderr).toContain('--listen');
});

test('connect ends where its port is taken, although the session is there', async () => {
  const proxy = await KeymuxProcess.start(scope, ['proxy', '--clear', '--allow', '*:*']);
  const args = ['connect', proxy.address, '--clear', '--listen', proxy.address];
  const { code, stderr } = await keymux(args, { timeout: 15_000 });
  expect([code, stderr]).toEqual([1, expect.stringContaining(`${proxy.address} is taken`)]);
});
