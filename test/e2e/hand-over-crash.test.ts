import { fork } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { connectSocket, MuxSession, type MuxStream } from '@keymux/streams';
import { afterEach, expect, test } from 'vitest';
import { Scope } from '../support/scope.ts';
import { readDirection, Wiretap } from '../support/wiretap.ts';

// kill -9 of each process at each step of a hand-over (spec 13.9, rule R10). Afterwards the old or the new owner has the session, or the peer sees its
// connection end. A nonce is a counter that is never sent: the client opens each envelope with the next one, so whatever was sealed twice
// under one would be one that does not open, which ends its session as ERR_KEYMUX_KEY_FAILURE.

const scope = new Scope();
afterEach(() => scope.close());

const RELAY = fileURLToPath(new URL('../support/crashing-relay.js', import.meta.url));
const STEPS = ['offer', 'ready', 'socket', 'have', 'state', 'taken'] as const;
type Fate = 'goes on' | 'ends';

/** Who dies when a message is at the relay, and what becomes of the session. */
const FATES: [string, Record<(typeof STEPS)[number], Fate>][] = [
  // Until its state is with the relay, the giver has the session. From `have` on it gives it away: it hears of the taker's end too late.
  [
    'giver',
    { offer: 'ends', ready: 'ends', socket: 'ends', have: 'ends', state: 'goes on', taken: 'goes on' },
  ],
  [
    'taker',
    { offer: 'goes on', ready: 'goes on', socket: 'goes on', have: 'ends', state: 'ends', taken: 'ends' },
  ],
  [
    'relay',
    {
      offer: 'goes on',
      ready: 'goes on',
      socket: 'goes on',
      have: 'goes on',
      state: 'ends',
      taken: 'goes on',
    },
  ],
];

async function crash(victim: string, step: string): Promise<{ fate: string; frames: number }> {
  const relay = fork(RELAY, [victim, step], { execArgv: [] });
  const ended = once(relay, 'exit');
  const [{ pids, port }] = (await once(relay, 'message')) as [{ pids: Record<string, number>; port: number }];
  scope.defer(async () => {
    for (const pid of Object.values(pids)) tryToKill(pid);
    await ended;
  });
  const wiretap = await Wiretap.start(scope, port);
  const session = await connect(wiretap.port);
  const key = await session.negotiate({ algorithm: 3, label: 'shared' });
  const stop = { set: false };
  const echoes = [{ key }, {}, { key }].map((options) => echo(session.openStream([], options), stop));
  await session.ping();
  relay.send('give');
  // Who was to be killed is dead, and what becomes of the session has been decided: at once, or as soon as the others hear of it.
  await Promise.race([session.closed, gone(pids[victim] as number)]);
  await Promise.race([session.closed, setTimeout(500)]);
  stop.set = true;
  const results = await Promise.all(echoes);
  const error = await Promise.race([session.closed, session.ping().catch(() => session.closed)]);
  const frames = readDirection(wiretap.only.down).frames.length; // throws at what are no frames
  if (typeof error === 'number') return { fate: results.every(Boolean) ? 'goes on' : 'lost bytes', frames };
  const { code } = error as Error & { code?: string };
  return {
    fate: code === 'ERR_KEYMUX_CARRIER_ENDED' || code === 'ERR_KEYMUX_CARRIER' ? 'ends' : `${code}`,
    frames,
  };
}

async function connect(port: number): Promise<MuxSession> {
  const keyring = new Keyring();
  keyring.add(new PreSharedKey(Buffer.alloc(32, 'a key file')), {
    label: 'shared',
    authorities: ['', 'host.test'],
  });
  const keeper = new LocalKeeper({ keyring });
  const session = new MuxSession(await connectSocket({ host: '127.0.0.1', port }), {
    role: 'client',
    keeper,
  });
  scope.defer(() => session.destroy());
  return session;
}

/** Resolves with whether what was sent until `stop` has come back; false if the stream ends before its time. */
function echo(stream: MuxStream, stop: { set: boolean }): Promise<boolean> {
  const [sent, received] = [createHash('sha256'), createHash('sha256')];
  stream.on('data', (chunk: Buffer) => received.update(chunk));
  void (async () => {
    while (!stop.set && !stream.destroyed) {
      const piece = randomBytes(2048);
      sent.update(piece);
      stream.write(piece);
      await setTimeout(10);
    }
    stream.end();
  })();
  return new Promise((resolve) => {
    stream.once('end', () => resolve(sent.digest('hex') === received.digest('hex')));
    stream.once('close', () => resolve(false));
  });
}

/** Resolves when a process is gone. */
async function gone(pid: number): Promise<void> {
  while (isAlive(pid)) await setTimeout(20);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function tryToKill(pid: number): void {
  if (isAlive(pid)) process.kill(pid, 'SIGKILL');
}

test.each(FATES)('kill -9 of the %s leaves one owner, or a connection that ends', async (victim, fates) => {
  const crashes = STEPS.map(async (step) => [step, (await crash(victim, step)).fate] as const);
  expect(Object.fromEntries(await Promise.all(crashes))).toEqual(fates);
});
