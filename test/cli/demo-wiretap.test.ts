import { readdir } from 'node:fs/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { keymux } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { Terminal } from '../support/terminal.ts';

const scope = new Scope();
afterEach(() => scope.close());

interface Document {
  readonly ok: boolean;
  readonly acts: readonly {
    readonly ok: boolean;
    readonly wire: {
      readonly connections: number;
      readonly frames: readonly { from: string; type: string }[];
    };
  }[];
  readonly findings: readonly { who: string; act: number; pid?: number; found?: readonly string[] }[];
}

const isLinux = process.platform === 'linux';

describe('keymux demo wiretap, without a terminal', () => {
  test('says in plain text what each pane shows: secrets on the wire in the clear, and never afterwards', async () => {
    const { code, stdout, stderr } = await keymux(['demo', 'wiretap']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).not.toContain('\x1b');
    const [, clear = '', sealed = '', separate = ''] = stdout.split(/^\d of 3 .*$/m);
    const secrets = /PASSWORD-[0-9a-f]{4}|SECRET-[0-9a-f]{4}/g;
    const pane = (name: string, act: string): string =>
      act.match(new RegExp(`^  ${name}  .*`, 'gm'))?.join('\n') ?? '';
    const [password, secret] = pane('client', clear).match(secrets) ?? [];
    expect([password, secret]).toEqual([
      expect.stringMatching(/^PASSWORD/),
      expect.stringMatching(/^SECRET/),
    ]);
    expect(pane('wire', clear).match(secrets)).toEqual([password, secret]);
    expect(pane('wire', clear)).toContain('POST site.test/account');
    for (const act of [sealed, separate]) {
      expect(pane('client', act).match(secrets)).toContain(password);
      expect(pane('client', act).match(secrets)).toContain(secret);
      expect(pane('wire', act)).toMatch(/> SEALED .* bytes inside[\s\S]*< SEALED/);
      expect(pane('wire', act)).not.toMatch(secrets);
    }
    expect(pane('wire', sealed)).toMatch(/GET site.test\/login\n.*< KEY_NEGO +asks for key 2 for site.test/);
    expect(pane('server', sealed)).toMatch(/GET \/login\n.*came unprotected\n.*200\n.*sent sealed/);
    expect(pane('wire', separate)).not.toContain('SYN_');
    expect(stdout).toContain('All came as promised.');
    expect(stdout).not.toContain('NOT AS PROMISED');
  });

  test('--json: what was found where, by a search and not by assertion', async () => {
    const { code, stdout, stderr } = await keymux(['demo', 'wiretap', '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { ok, acts, findings } = JSON.parse(stdout) as Document;
    expect(ok).toBe(true);
    expect(acts).toHaveLength(3);
    expect(acts.map(({ wire }) => wire.connections)).toEqual([1, 1, 1]);
    const types = acts.map(({ wire }) => new Set(wire.frames.map(({ type }) => type)));
    expect(types[0]).not.toContain('SEALED');
    for (const seen of types.slice(1)) expect(seen).toContain('SEALED');
    expect(types[2]).not.toContain('SYN_STREAM');

    const of = (act: number, who: string) =>
      findings.filter((finding) => finding.act === act && finding.who === who);
    expect([1, 2, 3].map((act) => of(act, 'wire')[0]?.found)).toEqual([['password', 'secret'], [], []]);
    if (!isLinux) return;
    expect(of(2, 'server')[0]?.found).toEqual(expect.arrayContaining(["host's key", 'session keys']));
    expect(of(3, 'keeper').map(({ found }) => found)).toEqual([["host's key"]]);
    const [[admin], [worker]] = [of(3, 'admin'), of(3, 'worker')];
    expect(admin?.found).toEqual(['secret']); // of the configuration
    expect(worker?.found).toContain('session keys');
    for (const { who, found } of findings.filter(({ act }) => act === 3))
      expect([who, found?.includes("host's key")]).toEqual([who, who === 'keeper']);
    expect(new Set(findings.map(({ pid }) => pid)).size).toBeGreaterThanOrEqual(4); // processes of their own, and the wire
  });

  test.each([
    [['--step'], /--step needs a terminal/],
    [['--speed', '0'], /speed.*"?0"?.*0\.5 to 100/],
    [['--speed', 'fast'], /speed/],
  ])('%j is refused', async (args, message) => {
    const { code, stderr } = await keymuxInside(['demo', 'wiretap', ...args]);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });
});

describe.skipIf(!isLinux)('keymux demo wiretap, on a terminal', () => {
  test('shows three panes in colour, takes keys, follows the size of the window, and gives the terminal back', async () => {
    const terminal = await Terminal.start(scope, ['demo', 'wiretap', '--step', '--speed', '100'], {
      columns: 80,
      rows: 24,
      env: { NO_COLOR: undefined },
    });
    const first = await terminal.shows(/1 of 3[\s\S]*There is no key yet/);
    expect(first).toHaveLength(24);
    expect(first[2]).toMatch(/^ CLIENT +\| WIRE +\| SERVER$/);
    expect(first.at(-1)).toBe(' Enter: next step   q: end');

    terminal.type('\r');
    const read = await terminal.shows(/The wiretap has read: password, secret/);
    expect(read.every((row) => row.length <= 80)).toBe(true);
    const wire = (rows: readonly string[]): string[] =>
      rows.slice(3, -6).map((row) => row.split(' | ')[1] ?? '');
    const at = wire(read).findIndex((row) => row.includes('SECRET-'));
    expect(wire(read)[at + 1]?.indexOf('^'.repeat(11))).toBe(wire(read)[at]?.indexOf('SECRET-'));
    expect(terminal.output).toContain('\x1b[31mPASSWORD-');

    terminal.type('\r');
    await terminal.shows(/2 of 3/);
    await terminal.resize(120, 40);
    const wide = await terminal.shows(/CLIENT {20,}\| WIRE/);
    expect(wide).toHaveLength(40);
    expect(wide.at(-1)).toBe(' Enter: next step   q: end');
    await terminal.resize(40, 10);
    expect((await terminal.shows(/needs a window/))[0]).toBe(
      'The scene needs a window of 76 x 18, this'.slice(0, 40),
    );
    await terminal.resize(80, 24);
    await terminal.shows(/CLIENT/);

    const told = [/The same connection/, /Both have the key/, /read neither/, /broken into/, /One process/];
    for (const words of [...told, /The server again/, /Of its processes/, /read neither/, /An intruder in/]) {
      await terminal.shows(words);
      terminal.type('\r');
    }
    const last = await terminal.shows(/What each could reveal/);
    expect(last.at(-1)).toBe(' Enter: next step   q: end');
    terminal.type('\r');
    expect(await terminal.exited).toBe(0);
    expect(terminal.output).toContain('\x1b[?25h\x1b[?1049l');
    const left = terminal.screen.join('\n');
    expect(left).toMatch(/1 wire, in the clear +- +- +FOUND +FOUND/);
    expect(left).toMatch(/3 keeper +FOUND +- +- +-/);
    expect(left).toContain('All came as promised.');
  });

  test('NO_COLOR, Ctrl-C: no colours, and neither processes nor keys are left', async () => {
    const directory = (await scope.directory())('.');
    const env = { NO_COLOR: '1', TMPDIR: directory };
    const terminal = await Terminal.start(scope, ['demo', 'wiretap'], { columns: 80, rows: 24, env });
    await terminal.shows(/server \d+/);
    expect(await readdir(directory)).toHaveLength(1);
    terminal.type('\x03');
    expect(await terminal.exited).toBe(130);
    expect(terminal.output).not.toContain('\x1b[31m');
    expect(terminal.output.endsWith('\x1b[?25h\x1b[?1049l')).toBe(true);
    expect(await readdir(directory)).toEqual([]);
  });
});
