import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { ALGORITHM } from '@keymux/keys';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { clearReply } from '../support/forge.ts';
import { keymuxInside } from '../support/inside.ts';
import { connectClient, keeperOf } from '../support/library.ts';
import { type Meddler, Middle } from '../support/middle.ts';
import { jsonLines, KeymuxProcess, run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { makeKey } from '../support/tunnel.ts';
import { ALPHA, BETA, codeOf, failureOf, tell } from '../support/victims.ts';

/** The edge as it is by default: a process that reaches the keeper, and another that has the sessions. */
const SEVERAL = { KEYMUX_SINGLE_PROCESS: 'false' };

// A keeper on "another machine", and an edge that reaches it through a wire which can be cut. Each test leaves both as it has found them.
const scope = new Scope();
const whole = new Scope();
let file: (name: string) => string;
let keys: { alpha: string; beta: string; link: string };
let keeper: KeymuxProcess;
let keeperArgs: string[];
let edge: KeymuxProcess;
let wire: Middle;
let meddle: Meddler | undefined;

async function identity(name: string): Promise<string> {
  const args = ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file(name)];
  expect((await run('ssh-keygen', args)).code).toBe(0);
  return (await readFile(file(`${name}.pub`), 'utf8')).trim();
}

/** Who may call for the keys of alpha. */
const callers = (...lines: readonly string[]) => writeFile(file('callers'), `${lines.join('\n')}\n`);
let edgeLine: string;

beforeAll(async () => {
  file = await whole.directory();
  const key = (name: string) => makeKey(whole, name);
  keys = { alpha: await key('alpha'), beta: await key('beta'), link: await key('link') };
  const keeperLine = await identity('keeper');
  edgeLine = await identity('edge');
  await identity('stranger');
  await callers(edgeLine);
  keeperArgs = ['--key', `${ALPHA}=${keys.alpha}`, '--key', `${BETA}=${keys.beta}`];
  keeperArgs.push('--own-identity', file('keeper'), '--callers', `${ALPHA}=${file('callers')}`);
  keeperArgs.push('--caller-key', `${BETA}=${keys.link}`, '--audit-log', file('audit.log'));
  keeper = await KeymuxProcess.start(whole, ['keeper', ...keeperArgs]);
  wire = await Middle.start(whole, keeper.port, (...passing) => meddle?.(...passing));
  await writeFile(file('known_hosts'), `[127.0.0.1]:${wire.port} ${keeperLine}\n`);
  await writeFile(file('known_wrong'), `[127.0.0.1]:${wire.port} ${edgeLine}\n`);
  const hosts = ['--host', ALPHA, '--host', BETA, '--workers', '1'];
  edge = await KeymuxProcess.start(whole, ['origin', ...hosts, ...viaWire('edge')], SEVERAL);
});
afterEach(() => scope.close());
afterAll(() => whole.close());

/** How the keeper is reached, by whom. */
function viaWire(name: string, known = 'known_hosts'): string[] {
  const link = ['--keeper', `keymux://${wire.address}`];
  return [...link, '--keeper-identity', file(name), '--known-hosts', file(known)];
}
const byKey = (path: string) => ['--keeper', `keymux://${wire.address}`, '--keeper-key', path];
const get = (host: string, key: string, origin = edge) =>
  keymuxInside(['get', `keymux://${host}/`, '--key', key, '--connect-to', origin.address]);
const audited = async () => jsonLines(await readFile(file('audit.log'), 'utf8'));

describe('a keeper on another machine', () => {
  test('makes keys for a caller whom it knows, for his hosts alone, and writes down who he is', async () => {
    expect(edge.stderr).toMatch(/beta\.test has no key/);
    expect(await get(ALPHA, keys.alpha)).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/level auth/),
    });
    expect((await get(BETA, keys.beta)).code).toBe(4);
    const entries = await audited();
    const caller = expect.stringMatching(/^127\.0\.0\.1:\d+ ssh-ed25519 SHA256:\S+ \(edge\) \d+$/);
    const come = { caller, event: 'connected', from: expect.stringMatching(/^127\.0\.0\.1:\d+$/) };
    expect(entries).toContainEqual(expect.objectContaining(come));
    expect(entries).toContainEqual(
      expect.objectContaining({
        caller,
        event: 'begun',
        offer: expect.objectContaining({ authority: ALPHA }),
      }),
    );
    expect(entries.at(-1)).toMatchObject({ caller, event: 'refused', code: 'ERR_KEYMUX_KEY_FAILURE' });
  });

  test('takes a shared key of the caller as well, with rights of its own', async () => {
    const other = await KeymuxProcess.start(scope, ['origin', '--host', BETA, ...byKey(keys.link)]);
    expect((await get(BETA, keys.beta, other)).code).toBe(0);
    const [wireOfOther] = wire.wires.slice(-1);
    const [first] = wireOfOther?.sent('up', 'key-nego') ?? [];
    expect(first?.frame).toMatchObject({ algorithm: ALGORITHM.HYBRID });
    expect((await audited()).at(-1)).toMatchObject({ caller: expect.stringContaining('psk:k-') });
  });

  test.each<[string, () => string[], number, RegExp]>([
    [
      'another identity than the known one',
      () => viaWire('edge', 'known_wrong'),
      4,
      /another key .*known_wrong/,
    ],
    [
      'an unknown one',
      () => viaWire('edge', 'known_none'),
      4,
      /is not known[\s\S]*add this line to .*known_none/,
    ],
    ['a caller who is not in the list', () => viaWire('stranger'), 4, /cannot be reached/],
    ['a caller with another key', () => byKey(keys.beta), 4, /cannot be reached/],
    ['no key of the caller', () => ['--keeper', `keymux://${wire.address}`], 2, /give one of --keeper-key/],
    ['two', () => [...viaWire('edge'), '--keeper-key', keys.link], 2, /give one of --keeper-key/],
    [
      'a key that is of no use here',
      () => ['--keeper-key', keys.link],
      2,
      /--keeper-key is for a keeper elsewhere/,
    ],
  ])('refuses, and says why: %s', async (_what, options, status, reason) => {
    const { code, stderr } = await keymuxInside([
      'origin',
      '--listen',
      '127.0.0.1:0',
      '--host',
      ALPHA,
      ...options(),
    ]);
    expect([code, stderr]).toEqual([status, expect.stringMatching(reason)]);
  });

  test('a middleman who answers in the clear is not believed', async () => {
    let answered = false;
    const others = new Set(wire.wires); // the link of the edge goes on
    meddle = (passing, on) => {
      if (passing.way === 'up' && passing.type === 'sealed' && !answered && !others.has(on)) {
        answered = true;
        on.send(
          'down',
          clearReply(1, [
            [':status', '200 OK'],
            [':version', 'HTTP/1.1'],
          ]),
        );
        return [];
      }
      return undefined;
    };
    const listen = ['--listen', '127.0.0.1:0'];
    const { code, stderr } = await keymuxInside(['origin', ...listen, '--host', BETA, ...byKey(keys.link)]);
    meddle = undefined;
    expect(answered).toBe(true);
    expect([code, stderr]).toEqual([
      4,
      expect.stringMatching(/a frame of stream 1 in the clear; that direction travels under key 1/),
    ]);
  });
});

describe('those who are no callers', () => {
  /** A client that has the shared key of a caller. */
  async function stranger() {
    const { keeper: own, labels } = await keeperOf({ file: keys.link, authorities: [''] });
    const client = await connectClient(scope, keeper.address, { keeper: own });
    const key = () => client.negotiate({ algorithm: ALGORITHM.PSK_X25519, label: labels[0] as string });
    return { client, key };
  }
  const PLACE = ['keeper.keymux.invalid', 1] as const;

  test('get nothing without a key, nor for another request, nor outside envelopes, nor twice', async () => {
    const { client, key } = await stranger();
    const refused = async (promise: Promise<unknown>) => (await failureOf(promise))?.message;
    expect(await refused(client.tunnel(...PLACE))).toMatch(/403 \(the call must be sealed/);
    const sealed = await key();
    expect(await refused(client.tunnel('10.0.0.1', 22, { key: sealed }))).toMatch(/403 \(this is a keeper/);
    expect((await tell(client.request({ host: ALPHA, path: '/', key: sealed }))).status).toBe(403);
    expect(await refused(client.tunnel(...PLACE, { key: sealed, selfProtected: true }))).toMatch(
      /403 \(the call/,
    );
    const both = [0, 1].map(() => refused(client.tunnel(...PLACE, { key: sealed })));
    expect(await Promise.all(both)).toEqual([undefined, expect.stringMatching(/403 \(one call a session/)]);
  });

  test('negotiate by no algorithm without forward secrecy', async () => {
    const { client } = await stranger();
    const { labels } = await keeperOf({ file: keys.link, authorities: [''] });
    const negotiate = client.negotiate({ algorithm: ALGORITHM.PSK, label: labels[0] as string });
    expect(codeOf(await failureOf(negotiate))).toBe('ERR_KEYMUX_NEGOTIATION_REJECTED');
  });

  test('who says what no session says is disconnected, and the keeper goes on', async () => {
    const socket = connect(keeper.port, '127.0.0.1');
    scope.defer(() => socket.destroy());
    socket.write(Buffer.alloc(64, 0x80));
    await once(socket.resume(), 'close');
    expect((await get(ALPHA, keys.alpha)).code).toBe(0);
  });
});

describe('the keeper cannot be reached for a while', () => {
  /** A session with a key of alpha, and how it makes another. */
  async function session() {
    const { keeper: own, labels } = await keeperOf({ file: keys.alpha, authorities: [ALPHA] });
    const client = await connectClient(scope, edge.address, { keeper: own });
    const negotiate = () =>
      client.negotiate({ algorithm: ALGORITHM.PSK_X25519, label: labels[0] as string, authority: ALPHA });
    return { client, negotiate, key: await negotiate() };
  }

  /** Does what keeps the edge from its keeper; resolves when it has noticed. */
  async function lose(how: () => void): Promise<{ back: Promise<unknown>; error: string }> {
    const [away, back] = [edge.all('keeper-away').length, edge.all('keeper-back').length];
    how();
    const { error } = await edge.next('keeper-away', away);
    return { back: edge.next('keeper-back', back), error: String(error) };
  }

  const cutAll = () => {
    for (const each of wire.wires) each.cut();
  };

  test.each<[string, () => void, () => Promise<void>]>([
    [
      'the network is cut',
      () => {
        // Nobody gets through until it is restored.
        meddle = (_passing, on) => {
          on.cut();
          return [];
        };
        cutAll();
      },
      async () => {
        meddle = undefined;
      },
    ],
    [
      'it is killed',
      () => keeper.kill('SIGKILL'),
      async () => {
        const listen = ['--listen', keeper.address];
        keeper = await KeymuxProcess.start(whole, ['keeper', ...keeperArgs, ...listen]);
      },
    ],
  ])('%s: sessions go on, new keys are refused for now, then made again', async (_what, part, join) => {
    const { client, key, negotiate } = await session();
    const ask = async () => (await tell(client.request({ host: ALPHA, path: '/', key }))).status;
    const ended = edge.all('session-end').length;
    const { back } = await lose(part);
    expect(await ask()).toBe(200);
    expect(codeOf(await failureOf(negotiate()))).toBe('ERR_KEYMUX_NEGOTIATION_REJECTED');
    expect(codeOf(await failureOf(client.session.renegotiate(key)))).toBe('ERR_KEYMUX_NEGOTIATION_REJECTED');
    expect(await ask()).toBe(200);
    expect(edge.all('session-end')).toHaveLength(ended);
    await join();
    await back;
    expect(await negotiate()).toMatchObject({ authority: ALPHA });
    expect(await client.session.renegotiate(key)).toMatchObject({ generation: 1 });
    expect(await ask()).toBe(200);
  });

  test('its owner takes the caller out of the list: on SIGHUP he is cut off, and comes back when he is in it again', async () => {
    const reload = async () => {
      const before = keeper.all('reloaded').length;
      keeper.kill('SIGHUP');
      await keeper.next('reloaded', before);
    };
    const away = edge.all('keeper-away').length;
    await reload(); // nothing is another
    expect((await get(ALPHA, keys.alpha)).code).toBe(0);
    expect(edge.all('keeper-away')).toHaveLength(away);
    await callers(`from="10.0.0.0/8" ${edgeLine}`);
    expect((await get(ALPHA, keys.alpha)).code).toBe(4); // at once, as for a host that it has no key for
    const { back } = await lose(() => void reload());
    expect((await get(ALPHA, keys.alpha)).code).toBe(3);
    await callers(edgeLine);
    await back;
    expect((await get(ALPHA, keys.alpha)).code).toBe(0);
  });
});

describe('what cannot be meant', () => {
  const LISTEN = ['keeper', '--listen', '127.0.0.1:0', '--key'];
  test.each<[string, () => string[], RegExp]>([
    ['nobody may call', () => [...LISTEN, keys.alpha], /--listen HOST:PORT needs --own-identity/],
    [
      'callers without an identity',
      () => [...LISTEN, keys.alpha, '--callers', 'x'],
      /--callers needs --own-identity/,
    ],
    ['an identity without callers', () => [...LISTEN, keys.alpha, '--own-identity', 'x'], /needs --callers/],
    [
      'callers, and no address',
      () => ['keeper', '--listen', 'unix:/x', '--key', keys.alpha, '--caller-key', keys.link],
      /are for --listen HOST:PORT/,
    ],
    [
      'a key that is kept, for callers',
      () => [...LISTEN, `${ALPHA}=${keys.alpha}`, '--caller-key', keys.alpha],
      /a key that is kept are the same/,
    ],
    [
      'an identity that is kept, of the keeper',
      () => [
        ...[...LISTEN, keys.alpha, '--own-identity', file('keeper'), '--callers', file('callers')],
        ...['--identity', file('keeper'), '--authorized-keys', file('callers')],
      ],
      /are the same; who may use it could be taken for this keeper/,
    ],
  ])('%s', async (_what, args, reason) => {
    const { code, stderr } = await keymuxInside(args());
    expect([code, stderr]).toEqual([2, expect.stringMatching(reason)]);
  });
});
