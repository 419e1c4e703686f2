import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { readKeyFile } from '@keymux/keys';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { pcapOf } from '../support/pcap.ts';
import { KeymuxProcess } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { listen } from '../support/servers.ts';
import { makeKey, openTunnel } from '../support/tunnel.ts';
import { Wiretap } from '../support/wiretap.ts';

const PAYLOAD = 'CANARY-in-tunnel'; // as long as a line of `dump --payload`
const scope = new Scope();
afterAll(() => scope.close());

let file: (name: string) => string;
let proxy: KeymuxProcess;
let [work, other, site, label] = ['', '', '', ''];

/** What `dump` prints of a wire with the key log of this name. */
async function dumped(tap: Wiretap, log: string): Promise<string> {
  await writeFile(file('wire.pcap'), pcapOf(tap.only));
  const { code, stdout, stderr } = await keymuxInside([
    'dump',
    file('wire.pcap'),
    '--keylog',
    file(log),
    '--payload',
  ]);
  expect(code, stderr).toBe(0);
  return stdout;
}

beforeAll(async () => {
  file = await scope.directory();
  [work, other, site] = [
    await makeKey(scope, 'work'),
    await makeKey(scope, 'other'),
    await makeKey(scope, 'site'),
  ];
  label = (await readKeyFile(work)).key.label;
  const keys = ['--key', work, '--key', other];
  const log = ['--keylog', `${label}=${file('proxy.log')}`];
  proxy = await KeymuxProcess.start(scope, ['proxy', ...keys, ...log, '--allow', '127.0.0.1:*']);
});

test('of a proxy: opens what travelled under the key of that label, not what is sealed for a host inside', async () => {
  const origin = await KeymuxProcess.start(scope, ['origin', '--key', `site.test=${site}`]);
  const tap = await Wiretap.start(scope, proxy.port);
  const way = ['--via', tap.address, '--proxy-key', work, '--key', site, '--connect-to', origin.address];
  const log = ['--keylog', `${tap.address}=${file('get.log')}`];
  expect(await keymuxInside(['get', 'keymux://site.test/login', ...way, ...log])).toMatchObject({ code: 0 });
  const seen = await dumped(tap, 'proxy.log');
  expect(seen).toContain(`:path: ${origin.address}`);
  expect(seen).toMatch(/:status: 200/);
  expect(seen).toContain('site.test, by psk-x25519'); // the negotiation inside is in the clear there
  expect(seen).not.toContain('/login');
  // Both ends of the key write down the same.
  expect(lines(await readFile(file('get.log'), 'utf8'))).toEqual(
    lines(await readFile(file('proxy.log'), 'utf8')),
  );
});

test('of a proxy: has nothing of another key', async () => {
  const before = await readFile(file('proxy.log'), 'utf8');
  const connect = await KeymuxProcess.start(scope, ['connect', proxy.address, '--key', other]);
  await connect.stop();
  expect(await readFile(file('proxy.log'), 'utf8')).toBe(before);
});

test('of connect: opens what local programs send, where it is sealed for the proxy', async () => {
  const echo = await listen(
    scope,
    createServer((socket) => socket.pipe(socket)),
  );
  const tap = await Wiretap.start(scope, proxy.port);
  const log = ['--keylog', `${tap.address}=${file('connect.log')}`];
  const connect = await KeymuxProcess.start(scope, ['connect', tap.address, '--key', other, ...log]);
  const socket = await openTunnel(scope, { connect }, echo);
  socket.end(PAYLOAD);
  for await (const _ of socket);
  await connect.stop();
  expect(tap.sees(PAYLOAD)).toBe(false);
  expect((await dumped(tap, 'connect.log')).split(PAYLOAD)).toHaveLength(3); // to the proxy and back
  expect(await dumped(tap, 'proxy.log')).not.toContain(PAYLOAD);
});

const lines = (text: string): string[] => text.split('\n').sort();
