import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pcapOf } from '../support/pcap.ts';
import { jsonLines, KeymuxProcess, keymux, type Message, PROGRAM, run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { makeKey } from '../support/tunnel.ts';
import { Wiretap } from '../support/wiretap.ts';

const hasEditcap = (await run('editcap', ['--version']).catch(() => undefined))?.code === 0;

const scope = new Scope();
let [capture, keylog, warning] = ['', '', ''];
let origin: KeymuxProcess;
let key: string;

beforeAll(async () => {
  const file = await scope.directory();
  [capture, keylog] = [file('session.pcap'), file('keys.log')];
  key = await makeKey(scope, 'site');
  origin = await KeymuxProcess.start(scope, ['origin', '--key', `site.test=${key}`]);
  const tap = await Wiretap.start(scope, origin.port);
  const way = ['--key', key, '--connect-to', tap.address, '--keylog', `site.test=${keylog}`];
  const got = await keymux(['get', 'keymux://site.test/login', ...way]);
  expect(got.code, got.stderr).toBe(0);
  warning = got.stderr;
  await writeFile(capture, pcapOf(tap.only));
});
afterAll(() => scope.close());

describe('keymux dump', () => {
  test('prints what everybody on the way can read', async () => {
    const { code, stdout } = await keymux(['dump', capture]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {3}1 client > SETTINGS /);
    expect(stdout).toMatch(
      /client > KEY_NEGO +asks for key 1 for site\.test, by psk-x25519, label k-[0-9a-f]{16}; would/,
    );
    expect(stdout).toMatch(/< server SEALED +key 1\.0 {2}\d+ bytes inside\n/);
    expect(stdout).not.toContain('/login');
  });

  test('opens what travelled under a key that was logged', async () => {
    expect(warning).toContain(
      `who has ${keylog} can read everything that travels under the key of site.test`,
    );
    expect((await stat(keylog)).mode & 0o777).toBe(0o600);
    const { stdout } = await keymux(['dump', capture, '--keylog', keylog, '--payload']);
    expect(stdout).toMatch(/client > {3}SYN_STREAM +stream 1 .*\n +:method: GET\n +:path: \/login\n/);
    expect(stdout).toContain('<!doctype html><');
  });

  test('reads standard input, and writes an object for each frame', async () => {
    const input = await readFile(capture);
    const { code, stdout } = await run(process.execPath, [PROGRAM, 'dump', '--json', '--stream', '0'], {
      input,
    });
    expect(code).toBe(0);
    const [frame, ...more] = jsonLines(stdout);
    expect(frame).toMatchObject({
      ...{ connection: 1, from: 'client', type: 'WINDOW_UPDATE', stream: 0, bytes: 16 },
      time: expect.stringMatching(/^2023-11-14T/),
    });
    expect(more.every(({ stream }) => stream === 0)).toBe(true);
  });

  test.skipIf(!hasEditcap)('reads what tshark writes', async () => {
    const converted = `${capture}ng`;
    const { code, stderr } = await run('editcap', ['-F', 'pcapng', capture, converted]);
    expect(code, stderr).toBe(0);
    expect((await keymux(['dump', converted])).stdout).toBe((await keymux(['dump', capture])).stdout);
  });

  test.each([
    ['a file that is no capture', [PROGRAM], 2, 'this is no capture'],
    ['a file that is not there', ['/nowhere/at-all.pcap'], 2, 'there is no file "/nowhere/at-all.pcap"'],
    ['a directory', ['/tmp'], 2, '"/tmp" cannot be read: it is a directory'],
    ['a key log that is not there', ['-', '--keylog', '/nowhere'], 2, 'there is no file "/nowhere"'],
    ['a key log that is none', ['-', '--keylog', PROGRAM], 2, 'line 2 of the key log'],
    ['a stream that is no number', ['-', '--stream', 'x'], 2, 'write a whole number'],
  ])('refuses %s', async (_what, args, exit, message) => {
    const { code, stderr } = await keymux(['dump', ...args]);
    expect(stderr).toContain(message);
    expect(code).toBe(exit);
  });

  test('fails where there is no session, and says what to do', async () => {
    const empty = pcapOf({ sequence: [] });
    const { code, stderr } = await run(process.execPath, [PROGRAM, 'dump'], { input: empty });
    expect(code).toBe(1);
    expect(stderr).toContain('start capturing before the connection is opened');
  });

  test('ends quietly when nobody reads on', async () => {
    const child = spawn(process.execPath, [PROGRAM, 'dump', capture], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    const errors: Buffer[] = [];
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
    const [code] = await once(child, 'close');
    expect([code, Buffer.concat(errors).toString()]).toEqual([0, '']);
  });
});

describe('keymux tap', () => {
  test('passes connections on and prints what goes by', async () => {
    const tap = await KeymuxProcess.start(scope, ['tap', `127.0.0.1:${origin.port}`, '--listen', '0']);
    const way = ['--key', key, '--connect-to', `127.0.0.1:${tap.port}`];
    const { code } = await keymux(['get', 'keymux://site.test/login', ...way]);
    expect(code).toBe(0);
    const seen: Message[] = [];
    while (seen.at(-1)?.type !== 'GOAWAY') seen.push(await tap.next('frame', seen.length));
    expect(seen.map(({ type }) => type)).toEqual(expect.arrayContaining(['SETTINGS', 'KEY_NEGO', 'SEALED']));
    // What is no session goes through as well.
    const socket = connect(tap.port, '127.0.0.1');
    socket.end('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toContain('426');
  });

  test('takes no URL', async () => {
    const { code, stderr } = await keymux(['tap', 'ws://127.0.0.1:1/']);
    expect(code).toBe(2);
    expect(stderr).toContain('give it HOST:PORT or unix:/PATH');
  });
});
