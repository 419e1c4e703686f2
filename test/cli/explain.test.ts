import { readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import {
  ALGORITHM,
  ANONYMOUS_LABEL,
  AuthorizedKeysFile,
  Identities,
  Keyring,
  LocalKeeper,
  readIdentityFile,
  readKeyFile,
  SIGNED_LABEL,
} from '@keymux/keys';
import { type HostOptions, Origin } from '@keymux/origin';
import { ConnectProxy, Front } from '@keymux/proxy';
import type { MuxSession } from '@keymux/streams';
import { type Explanation, explanationSchema } from 'keymux';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { keymuxInside } from '../support/inside.ts';
import { jsonLines, KeymuxProcess, run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { closedPort, httpsServer, tcpServer } from '../support/servers.ts';
import { makeKey, openTunnel } from '../support/tunnel.ts';
import { type Capture, type Reading, readCapture, Wiretap } from '../support/wiretap.ts';

// What `keymux explain` states is compared with the bytes that wiretaps on both wires get of the same way.

const SECRET = 'CANARY-of-the-answer';
const PASSWORD = 'PASSWORD-of-the-request';
const ALGORITHM_IDS: Record<string, number> = { 'psk-x25519': 3, signed: 4, anonymous: 5 };

const scope = new Scope();
afterAll(() => scope.close());

/** Options of `get` and `explain` by how the proxy, and the host, are reached. */
const toProxy = new Map<string, readonly string[]>();
const toHost = new Map<string, { readonly url: string; readonly args: readonly string[] }>();
let first: Wiretap;
let second: Wiretap;
let files: (name: string) => string;

beforeAll(async () => {
  files = await scope.directory();
  const [hopKey, hostKey] = [await makeKey(scope, 'hop'), await makeKey(scope, 'host')];
  const [server, alice] = [await generate('server'), await generate('alice')];
  await writeFile(files('authorized_keys'), `${alice} alice\n`);
  first = await Wiretap.start(scope, await serveProxy(hopKey));
  second = await Wiretap.start(scope, await serveHosts(hostKey));
  const known = [`[127.0.0.1]:${first.port} ${server}`, `[gamma.test]:6121 ${server}`];
  await writeFile(files('known_hosts'), `# the relay, and a host\n${known.join('\n')}\n`);

  const me = ['--known-hosts', files('known_hosts')];
  const via = [...me, '--via', first.address];
  toProxy.set('no proxy', me);
  toProxy.set('in the clear', via);
  toProxy.set('a shared key', [...via, '--proxy-key', hopKey]);
  toProxy.set('an identity', [...via, '--proxy-identity', files('alice')]);
  toProxy.set('an anonymous key', [...via, '--proxy-algorithm', 'anonymous']);
  for (const [name, host, keyed] of [
    ['a shared key', 'beta.test', ['--key', hostKey]],
    ['an identity', 'gamma.test', ['--identity', files('alice')]],
    ['an anonymous key', 'delta.test', ['--algorithm', 'anonymous']],
  ] as const) {
    const [sealed, login] = [`keymux://${host}/account`, `keymux://${host}/login`];
    toHost.set(name, { url: sealed, args: keyed });
    toHost.set(`${name}, if prompted`, { url: login, args: [...keyed, '--clear'] });
    toHost.set(`${name}, not prompted`, { url: sealed, args: [...keyed, '--clear'] });
  }
  toHost.set('a shared key each way', { url: 'keymux://eps.test/account', args: ['--key', hostKey] });
  toHost.set('in the clear', { url: 'keymux://beta.test/account', args: [] });
});
beforeEach(() => {
  first.captures.length = 0;
  second.captures.length = 0;
});

async function generate(name: string): Promise<string> {
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', files(name)]);
  return (await readFile(files(`${name}.pub`), 'utf8')).split(' ').slice(0, 2).join(' ');
}

/** Who the proxy is, or a host, and whom it lets in. */
async function identified(authority: string): Promise<Identities> {
  const identities = new Identities();
  const trust = { authorizedKeys: new AuthorizedKeysFile(files('authorized_keys')) };
  identities.add(await readIdentityFile(files('server')), { authorities: [authority], trust });
  return identities;
}

/** A proxy that takes whatever it is offered; returns its port. */
async function serveProxy(file: string): Promise<number> {
  const keyring = new Keyring();
  keyring.add((await readKeyFile(file)).key, { authorities: [''] });
  const keeper = new LocalKeeper({ keyring, identities: await identified(''), anonymous: [''] });
  const allow = ['127.0.0.1:1024-65535', 'localhost:1024-65535'];
  const proxy = new ConnectProxy({ keeper, allow, level: 'none' });
  return listening(proxy);
}

/** Hosts that have a key file, an identity, and neither; returns their port. */
async function serveHosts(file: string): Promise<number> {
  const keyring = new Keyring();
  const label = keyring.add((await readKeyFile(file)).key, { authorities: ['beta.test', 'eps.test'] });
  const identities = await identified('gamma.test');
  const keeper = new LocalKeeper({ keyring, identities, anonymous: ['delta.test'] });
  const host = (name: string, prompt: Partial<HostOptions>): HostOptions => ({
    ...{ name, ...prompt },
    handler: async ({ path, sealAnswer }) => {
      if (path === '/login') await sealAnswer();
      return { status: 200, body: SECRET };
    },
  });
  const origin = new Origin({
    keeper,
    hosts: [
      host('beta.test', { promptLabel: label }),
      host('eps.test', { promptLabel: label, keyEachWay: true }),
      host('gamma.test', { promptLabel: SIGNED_LABEL, promptAlgorithm: ALGORITHM.SIGNED }),
      host('delta.test', { promptLabel: ANONYMOUS_LABEL, promptAlgorithm: ALGORITHM.ANONYMOUS }),
    ],
  });
  return listening(origin);
}

async function listening(server: Origin | ConnectProxy): Promise<number> {
  const sessions: MuxSession[] = [];
  server.on('session', (session: MuxSession) => sessions.push(session));
  scope.defer(() => {
    for (const session of sessions) session.destroy();
    return server.close();
  });
  return ((await server.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo).port;
}

async function explain(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Explanation> {
  const { code, stdout, stderr } = await keymuxInside(['explain', ...args, '--json'], env);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return explanationSchema.parse(JSON.parse(stdout));
}

describe('keymux explain says what programs behind keymux connect show', () => {
  const MODES = {
    'in the clear': ['--clear'],
    'a shared key': ['--key', () => toProxy.get('a shared key')?.at(-1)],
    'an identity': ['--identity', () => files('alice'), '--known-hosts', () => files('known_hosts')],
    'an anonymous key': ['--algorithm', 'anonymous'],
  } as const;

  /** What a program sends, and its server answers; each has texts of its own, which wiretaps look for. */
  interface Program {
    readonly tls: boolean;
    readonly once: boolean;
    readonly name: string;
    readonly tap: Wiretap;
    readonly ca: string | undefined;
  }

  async function startServer(tls: boolean, once: boolean): Promise<Program> {
    const name = `${tls ? 'tls' : 'plain'}-${once ? 'once' : 'twice'}.localhost`;
    const body = `${SECRET}-${name}`;
    const server = tls
      ? await httpsServer(scope, (_, response) => void response.end(body))
      : {
          port: await tcpServer(scope, (socket) => void socket.once('data', () => socket.end(body))),
          ca: undefined,
        };
    const ca = server.ca && (await readFile(server.ca, 'utf8'));
    return { ...{ tls, once, name, ca }, tap: await Wiretap.start(scope, server.port) };
  }

  async function converse({ tls, name, ca }: Program, socket: Socket): Promise<string> {
    const checkServerIdentity = (): undefined => undefined; // the certificate is for localhost
    const carrier = tls
      ? connectTls({ socket, servername: name, checkServerIdentity, ...(ca ? { ca } : {}) })
      : socket;
    const request = `GET /?${PASSWORD}-${name} HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`;
    if (tls) carrier.write(request);
    else carrier.end(request);
    return text(carrier);
  }

  test.each(Object.keys(MODES) as (keyof typeof MODES)[])('proxy: %s', async (mode) => {
    const args = MODES[mode].map((arg) => (typeof arg === 'string' ? arg : String(arg())));
    const programs = await Promise.all(
      [true, false].flatMap((tls) => [true, false].map((once) => startServer(tls, once))),
    );
    const rules = programs
      .filter(({ once }) => once)
      .flatMap(({ tap }) => ['--once', `localhost:${tap.port}`]);
    const connect = await KeymuxProcess.start(scope, ['connect', first.address, ...args, ...rules]);
    for (const program of programs) {
      const { tls, name, tap } = program;
      const socket = await openTunnel(scope, { connect }, tap.port, 'localhost');
      expect(await converse(program, socket)).toContain(`${SECRET}-${name}`);

      const target = tls ? `https://${name}:${tap.port}/` : `localhost:${tap.port}`;
      const matching = rules.map((rule) => rule.replace('localhost', tls ? name : 'localhost'));
      const { messages } = await explain([target, ...(toProxy.get(mode) ?? []), ...matching]);
      const wires = [first, tap].map(({ only }) => only);
      for (const { what, on, readers } of messages) {
        for (const [at, { wire, sealedWith }] of on.entries()) {
          const { up, down } = wires[at] as Capture;
          const open = {
            CONNECT: readCapture(first.only).up.opened.length > 0,
            'TLS handshake': up.includes(name),
            payload: up.includes(`${PASSWORD}-${name}`) && down.includes(`${SECRET}-${name}`),
            'request, answer': up.includes(`${PASSWORD}-${name}`) || down.includes(`${SECRET}-${name}`),
          }[what];
          expect([name, what, wire, sealedWith.length === 0]).toEqual([name, what, wire, open]);
          expect([name, what, wire, readers.includes(wire)]).toEqual([name, what, wire, open]);
        }
      }
    }
  });
});

/** What a message is sealed with, the outer key first, by the captured bytes alone. */
interface Seen {
  readonly request: readonly string[];
  readonly answer: readonly string[];
}

/** The wires of a statement, with what was captured on each. */
function wiresOf({ wires }: Explanation): { name: string; capture: Capture }[] {
  const captured = wires.length > 1 ? [first, second] : [second];
  return wires.map(({ name }, at) => ({ name, capture: (captured[at] as Wiretap).only }));
}

function layersIn(wires: { name: string; capture: Capture }[]): Map<string, Seen> {
  const inner = readCapture((wires.at(-1) as { capture: Capture }).capture);
  const host = { request: hostLayers(inner.up), answer: hostLayers(inner.down) };
  const seen = new Map<string, Seen>();
  for (const [at, { name, capture }] of wires.entries()) {
    if (at === wires.length - 1) seen.set(name, host);
    else {
      const { up, down } = readCapture(capture);
      const around = ({ payload, frames }: Reading): string[] => {
        expect(payload.size > 0).not.toBe(frames.includes('sealed:1') && payload.size === 0);
        return payload.size > 0 ? [] : ['a'];
      };
      seen.set(name, {
        request: [...around(up), ...host.request],
        answer: [...around(down), ...host.answer],
      });
    }
  }
  return seen;
}

/** Whether heads can be read in a direction of the session with the host. */
function hostLayers({ frames }: Reading): string[] {
  const readable = frames.includes('syn-stream') || frames.includes('syn-reply');
  expect(readable || frames.some((frame) => frame.startsWith('sealed:'))).toBe(true);
  return readable ? [] : ['b'];
}

describe('keymux explain says what the wires show', () => {
  const PROXIES = ['no proxy', 'in the clear', 'a shared key', 'an identity', 'an anonymous key'];
  const KEYS = ['a shared key', 'an identity', 'an anonymous key'];
  const HOSTS = [
    'in the clear',
    'a shared key each way',
    ...KEYS.flatMap((key) => [key, `${key}, if prompted`, `${key}, not prompted`]),
  ];

  test.each(PROXIES.flatMap((proxy) => HOSTS.map((host) => [proxy, host] as const)))(
    'proxy: %s, host: %s',
    async (proxy, host) => {
      const { url, args } = toHost.get(host) as { url: string; args: string[] };
      const way = [url, ...(toProxy.get(proxy) ?? []), ...args, '--connect-to', second.address];
      const statement = await explain(way);
      expect(first.captures.length + second.captures.length).toBe(0); // nothing was connected
      const { code, stdout } = await keymuxInside(['get', ...way, '--data', PASSWORD, '--json']);
      expect([code, jsonLines(stdout)]).toMatchObject([0, [{ status: 200 }]]);

      const happened = host.endsWith('not prompted') ? 'not prompted' : 'prompted';
      const applies = ({ when }: { when: string }): boolean => when === 'always' || when === happened;
      const messages = statement.messages.filter(applies);
      const wires = wiresOf(statement);
      const layers = layersIn(wires);
      expect(messages.map(({ what }) => what)).toEqual([
        ...(proxy === 'no proxy' ? [] : ['CONNECT']),
        'request',
        'answer',
      ]);
      for (const [what, canary] of [
        ['request', PASSWORD],
        ['answer', SECRET],
      ] as const) {
        const message = messages.find((one) => one.what === what);
        expect(message?.on).toEqual(
          wires.map(({ name }) => ({ wire: name, sealedWith: layers.get(name)?.[what] })),
        );
        for (const { name, capture } of wires) {
          const read = capture.up.includes(canary) || capture.down.includes(canary);
          expect([what, name, message?.readers.includes(name as 'wire 1')]).toEqual([what, name, read]);
        }
        const behind = (wires.at(-1) as { capture: Capture }).capture;
        const relayed = behind.up.includes(canary) || behind.down.includes(canary);
        expect(message?.readers.includes('proxy')).toBe(relayed && proxy !== 'no proxy');
      }
      compareSights(statement, wires, applies);
      compareConnect(messages);
      compareAlgorithms(statement.keys, wires);
    },
  );

  test.each([
    ['no proxy', 'a shared key'],
    ['in the clear', 'an anonymous key'],
    ['a shared key', 'an identity'],
    ['an identity', 'a shared key'],
    ['an anonymous key', 'in the clear'],
  ])('proxy: %s, host: %s, and --connect tells what was negotiated', async (proxy, host) => {
    const { url, args } = toHost.get(host) as { url: string; args: string[] };
    const way = [url, ...(toProxy.get(proxy) ?? []), ...args, '--connect-to', second.address];
    const { basis, keys, messages, wires } = await explain([...way, '--connect']);
    expect(basis).toBe('connection');
    const promised = await explain(way);
    expect([messages, wires]).toEqual([promised.messages, promised.wires]);
    const stated = (name: string): string[] =>
      keys
        .filter((key) => key.name === name)
        .map(({ negotiated }) => `${negotiated?.id}/${ALGORITHM_IDS[String(negotiated?.algorithm)]}`);
    const seen = (tap: Wiretap): string[] => [...new Set(readCapture(tap.only).up.negotiated)];
    expect(stated('b')).toEqual(host === 'in the clear' ? [] : seen(second));
    if (proxy !== 'no proxy') expect(stated('a')).toEqual(seen(first));
    expect(readCapture(second.only).up.opened).toEqual([]); // no request was sent
  });

  test('a front before the host, as soon as it is connected', async () => {
    const file = await makeKey(scope);
    const keyring = new Keyring();
    keyring.add((await readKeyFile(file)).key, { authorities: ['beta.test'] });
    const hosts = [{ name: 'beta.test', handler: () => ({ status: 200 }) }];
    const origin = new Origin({ keeper: new LocalKeeper({ keyring }), hosts, behindFront: true });
    const place = { host: '127.0.0.1', port: await listening(origin) };
    const front = new Front({ hosts: new Map([['beta.test', place]]) });
    scope.defer(() => void front.close());
    const { port } = (await front.listen({ host: '127.0.0.1', port: 0 })) as AddressInfo;
    const way = ['keymux://beta.test/', '--key', file, '--connect-to', `127.0.0.1:${port}`];
    expect((await explain(way)).notes.join()).not.toMatch(/A front/);
    expect((await explain([...way, '--connect'])).notes.join()).toMatch(/A front stands before beta\.test/);
  });

  /** Labels and host names travel as they are, in the first KEY_NEGO frame. */
  function compareSights(
    { wires, keys }: Explanation,
    captures: { name: string; capture: Capture }[],
    applies: (fact: { when: string }) => boolean,
  ): void {
    for (const { name, sees } of wires) {
      const { up, down } = (captures.find((one) => one.name === name) as { capture: Capture }).capture;
      const shown = (text: string): boolean => up.includes(text) || down.includes(text);
      const facts = sees.filter(applies);
      for (const { label, authority } of keys) {
        expect([name, label, facts.some(({ detail }) => detail === label)]).toEqual([
          name,
          label,
          shown(label),
        ]);
        if (authority !== '')
          expect([name, facts.some(({ detail }) => detail === authority)]).toEqual([name, shown(authority)]);
      }
      expect(facts.some(({ fact }) => fact === 'request')).toBe(shown(PASSWORD));
      expect(facts.some(({ fact }) => fact === 'answer')).toBe(shown(SECRET));
    }
  }

  function compareConnect(messages: Explanation['messages']): void {
    const connect = messages.find(({ what }) => what === 'CONNECT');
    if (connect === undefined) return;
    const { up } = readCapture(first.only);
    expect(connect.readers.includes('wire 1')).toBe(up.opened.length > 0);
    expect(connect.on).toEqual([{ wire: 'wire 1', sealedWith: up.opened.length > 0 ? [] : ['a'] }]);
  }

  /** Negotiated on wire 1 with the proxy, and with the host where its session can be read, as `ID/ALG_ID`. */
  function compareAlgorithms(keys: Explanation['keys'], captures: { capture: Capture }[]): void {
    const [hop, host] = ['a', 'b'].map((name) => keys.find((key) => key.name === name));
    const negotiated = ({ capture }: { capture: Capture }): number[] =>
      readCapture(capture).up.negotiated.map((text) => Number(text.split('/')[1]));
    const allowed = (key: Explanation['keys'][number] | undefined) =>
      key?.algorithms.map((name) => ALGORITHM_IDS[name]) ?? [];
    const inner = negotiated(captures.at(-1) as { capture: Capture });
    for (const id of inner) expect(allowed(host)).toContain(id);
    if (captures.length > 1) {
      const outer = negotiated(captures[0] as { capture: Capture });
      expect(outer.length > 0).toBe(hop !== undefined);
      for (const id of outer) expect(allowed(hop)).toContain(id);
    }
  }
});

describe('keymux explain names what decided', () => {
  const decisions = ({ keys, decidedBy }: Explanation) => [
    ...decidedBy,
    ...keys.flatMap((key) => key.decidedBy),
  ];

  test('options, environment variables, lines of the configuration file, and defaults', async () => {
    const [alpha, beta] = [await makeKey(scope, 'alpha'), await makeKey(scope, 'beta')];
    const hop = await makeKey(scope, 'hop');
    const config = files('config.json');
    const keys = `"alpha.test=${alpha}",\n  "beta.test=${beta}"`;
    await writeFile(
      config,
      `{\n "via": "p.test",\n "key": [\n  ${keys}\n ],\n "proxyKey": "/never/read"\n}\n`,
    );
    const run = await keymuxInside(
      [
        'explain',
        'keymux://alpha.test/',
        'keymux://beta.test/',
        '--config',
        config,
        '--algorithm',
        'psk',
        '--json',
      ],
      { KEYMUX_PROXY_KEY: hop },
    );
    const [first, second] = jsonLines(run.stdout).map((line) => explanationSchema.parse(line));
    const file = { from: 'file', path: config };
    expect(decisions(first as Explanation)).toEqual([
      { option: 'via', value: 'p.test', ...file, line: 2, property: 'via' },
      { option: 'proxy-key', value: hop, from: 'environment', variable: 'KEYMUX_PROXY_KEY' },
      { option: 'proxy-algorithm', value: 'psk-x25519,hybrid,spiped', from: 'default' },
      { option: 'key', value: alpha, ...file, line: 4, property: 'key[0]' },
      { option: 'algorithm', value: 'psk', from: 'command line' },
    ]);
    expect(decisions(second as Explanation)[3]).toEqual({
      ...{ option: 'key', value: beta, line: 5, property: 'key[1]' },
      ...file,
    });
    expect(first?.keys.map(({ forwardSecrecy }) => forwardSecrecy)).toEqual([true, false]);
  });

  test('the rule of --once', async () => {
    const way = ['https://a.test/', 'b.test:22', '--via', 'p.test', '--once', 'b.test:*', '--once', '*:443'];
    const { stdout } = await keymuxInside(['explain', ...way, '--proxy-algorithm', 'anonymous', '--json']);
    const [tls, plain] = jsonLines(stdout).map((line) => explanationSchema.parse(line));
    const once = (rule: string) => ({ option: 'once', value: rule, from: 'command line' });
    expect(tls?.decidedBy).toContainEqual(once('*:443'));
    expect(plain?.decidedBy).toContainEqual(once('b.test:*'));
  });

  test('the lines of known_hosts, and the line that the other side needs in its authorized_keys', async () => {
    const [alice, old, now] = [await readPublic('alice'), await generate('old'), await generate('now')];
    const list = files('other_hosts');
    const lines = ['# hosts', `@revoked * ${old}`, `[a.test]:6121 ${now}`, `[b.test]:6121 ${old}`];
    await writeFile(list, lines.join('\n'));
    const way = ['--identity', files('alice'), '--known-hosts', list];
    const [key] = (await explain(['keymux://a.test/', ...way])).keys;
    expect(key?.own).toMatchObject({ line: alice });
    expect(key?.known).toMatchObject([
      { path: list, line: 2, revoked: true },
      { path: list, line: 3, revoked: false },
    ]);
    const unknown = await explain(['keymux://c.test:99/', ...way]);
    expect(unknown.notes.join()).toMatch(/other_hosts knows \[c\.test\]:99/);
  });

  test('an identity is shown without its passphrase, and no secret is in what is printed', async () => {
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'a passphrase', '-a', '1', '-f', files('locked')]);
    const { keys } = await explain(['keymux://a.test/', '--identity', files('locked')]);
    expect(keys[0]?.own?.line).toBe(await readPublic('locked'));
    const file = await makeKey(scope, 'secret');
    const { stdout, stderr } = await keymuxInside(['explain', 'keymux://a.test/', '--key', file]);
    const content = await readFile(file);
    for (const encoding of ['hex', 'base64', 'latin1'] as const)
      expect(stdout + stderr).not.toContain(content.toString(encoding).slice(0, 20));
  });

  test('what is thrown away is not called used', async () => {
    const way = ['keymux://beta.test/', '--clear', '--level', 'authenticated', '--key', await makeKey(scope)];
    const { messages } = await explain(way);
    expect(messages.map(({ what, when, used }) => [what, when, used])).toEqual([
      ['request', 'always', true],
      ['answer', 'prompted', true],
      ['answer', 'not prompted', false],
    ]);
    const anonymous = ['keymux://a.test/', '--algorithm', 'anonymous', '--level', 'authenticated'];
    expect((await explain(anonymous)).messages.at(-1)?.used).toBe(false);
  });

  test('what is not sent, because an option or the host itself requires more', async () => {
    const memory = files('hosts.json');
    const expires = Date.UTC(2100, 0);
    const entry = { host: 'beta.test', level: 'authenticated', includeSubdomains: false, expires };
    await writeFile(memory, JSON.stringify({ version: 1, hosts: [entry] }));
    await writeFile(files('credentials'), 'me:secret', { mode: 0o600 });
    const open = ['keymux://beta.test/account', '--connect-to', second.address];
    const statements = [
      [['--require', 'beta.test=authenticated', '--host-memory', 'none'], 'require'],
      [['--host-memory', memory], 'host-memory'],
      [['--credentials', files('credentials')], 'credentials'],
    ] as const;
    for (const [args, option] of statements) {
      const { messages, decidedBy, notes } = await explain([...open, ...args]);
      expect(messages.map(({ used }) => used)).toEqual([false, false]);
      expect(decidedBy).toContainEqual(expect.objectContaining({ option, from: 'command line' }));
      expect(notes.join()).toMatch(/The request is not sent: .* requires authenticated/);
      const get = await keymuxInside(['get', ...open, ...args, '--data', PASSWORD, '--json']);
      expect(get.code).toBe(5);
      expect(second.sees(PASSWORD)).toBe(false);
    }
  });

  test('that early data may come twice', async () => {
    const way = ['keymux://a.test/', '--key', await makeKey(scope), '--algorithm', 'psk'];
    expect((await explain(way)).notes.join()).not.toMatch(/early data/);
    expect((await explain([...way, '--early'])).notes.join()).toMatch(/early data.*repeat/);
  });

  test.each([
    ['unix:/run/proxy', /Wire 1 is a Unix socket/],
    ['wss://p.test/', /Wire 1 runs inside TLS/],
    ['https://p.test/', /Wire 1 runs inside TLS/],
    ['ws://p.test/', /^(?!.*Wire 1)/],
  ])('what the carrier %s changes', async (via, note) => {
    expect((await explain(['keymux://a.test/', '--via', via])).notes.join()).toMatch(note);
  });

  test('who can pose as a party that proves nothing', async () => {
    const hop = ['--via', 'p.test', '--proxy-key', await makeKey(scope)];
    const way = ['keymux://a.test/', ...hop, '--algorithm', 'anonymous'];
    const [connect, request] = (await explain(way)).messages;
    expect([connect?.impostors, request?.impostors]).toEqual([[], ['wire 1', 'proxy', 'wire 2']]);
    const prompted = (await explain([...way, '--clear'])).messages.find(({ when }) => when === 'prompted');
    expect(prompted?.impostors).toEqual(['proxy', 'wire 2']); // the proxy's key keeps wire 1 out
  });

  async function readPublic(name: string): Promise<string> {
    return (await readFile(files(`${name}.pub`), 'utf8')).split(' ').slice(0, 2).join(' ').trim();
  }
});

describe('keymux explain on a terminal', () => {
  /** The picture on a terminal of this width. */
  async function shown(columns: number | undefined, NO_COLOR = '1'): Promise<string> {
    const { stdout } = process;
    const saved = { columns: stdout.columns, isTTY: stdout.isTTY };
    Object.assign(stdout, { columns, isTTY: true });
    try {
      const key = await makeKey(scope);
      const way = ['keymux://beta.test/', '--key', key, '--clear', '--via', 'p.test', '--proxy-key', key];
      return (await keymuxInside(['explain', ...way], { NO_COLOR, FORCE_COLOR: '' })).stdout;
    } finally {
      Object.assign(stdout, saved);
    }
  }

  test('draws the way, in colour where that is wanted', async () => {
    const lines = (await shown(140)).split('\n');
    expect(lines[3]).toMatch(/^ {10,}client -+ wire 1 -+ proxy -+ wire 2 -+ beta\.test$/);
    expect(lines[5]).toMatch(/^CONNECT +\[a\] +client, proxy$/);
    expect(lines[7]).toMatch(/^answer, if prompted +\[a\[b\]\] +\[b\] +client, beta\.test$/);
    expect(lines[8]).toMatch(
      /^answer, if not +\[a\] +clear +client, proxy, beta\.test, everybody on wire 2$/,
    );
    expect(await shown(140, '')).toContain('\u001b[32m[a]\u001b[39m');
  });

  test('makes a list of it where it is narrow, and breaks what is long at spaces', async () => {
    const text = await shown(60);
    expect(text).not.toContain('-- wire 1 --');
    expect(text).toMatch(
      /^request\n {2}wire 1 {4}\[a\]\n {2}wire 2 {4}clear\n {2}reads it {2}client, proxy/m,
    );
    for (const line of text.split('\n')) {
      const words = line.trim().replace(/^- /, '').split(/ +/);
      if (words.length > 2) expect(line.length, line).toBeLessThanOrEqual(60);
    }
  });
});

describe('keymux explain refuses with status 2', () => {
  test.each([
    [['ftp://a.test/'], /no URL.*keymux:\/\//],
    [['https://a.test/'], /"https:\/\/a\.test\/".*--via/],
    [['a.test:22'], /"a\.test:22".*--via/],
    [['a.test:22', '--via', 'p', '--key', 'k'], /--key.*keymux:\/\/.*--proxy-key/],
    [['keymux://a.test/', '--key', '/nonexistent/key'], /\/nonexistent\/key.*keygen/],
    [['keymux://a.test/', '--proxy-key', 'k'], /--via/],
    [['keymux://a.test/', '--proxy-algorithm', 'anonymous'], /--proxy-algorithm anonymous.*--via/],
    [['a.test:22', '--via', 'p', '--once', 'nonsense'], /"nonsense".*HOST:PORT/],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await keymuxInside(['explain', ...args]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
  });

  test('and with 3, 4 or 5, as get does, what --connect cannot reach', async () => {
    const port = await closedPort();
    const at = (place: string, ...more: string[]) =>
      keymuxInside(['explain', 'keymux://beta.test/', '--connect', '--connect-to', place, ...more]);
    expect((await at(`127.0.0.1:${port}`)).code).toBe(3);
    expect((await at(second.address, '--key', await makeKey(scope))).code).toBe(4);
    const via = ['--via', first.address];
    expect((await keymuxInside(['explain', '10.0.0.1:22', ...via, '--connect'])).code).toBe(5);
  });
});
