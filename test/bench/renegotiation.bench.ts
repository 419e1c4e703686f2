import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { performance } from 'node:perf_hooks';
import { pipeline } from 'node:stream/promises';
import { ALGORITHM, type KeyInfo, Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { DEFAULT_BUDGETS } from '@keymux/session';
import { MuxSession, type MuxStream, type RenegotiationLimits } from '@keymux/streams';
import { bench, describe } from 'vitest';
import { payload } from '../support/payload.ts';

const MIB = 2 ** 20;
const SIZE = 64 * MIB;
const POST: [string, string][] = [[':method', 'POST']];
const OK: [string, string][] = [[':status', '200']];

/** Sends SIZE each way at once over TCP; returns the longest time in which nothing came, in milliseconds, and the generations made. */
async function bulk(algorithm: number, renegotiate: RenegotiationLimits | false) {
  const key = new PreSharedKey(Buffer.alloc(32, 'a shared key'));
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const socket = connect((listener.address() as AddressInfo).port, '127.0.0.1');
  const [accepted] = await once(listener, 'connection');
  const config = { budgets: { ...DEFAULT_BUDGETS, negotiations: { burst: 10_000, perSecond: 1000 } } };
  const session = (role: 'client' | 'server') => {
    const keyring = new Keyring();
    keyring.add(key, { authorities: [''] });
    const carrier = role === 'client' ? socket : accepted;
    return new MuxSession(carrier, { role, keeper: new LocalKeeper({ keyring }), renegotiate, config });
  };
  const [client, server] = [session('client'), session('server')];
  const made: KeyInfo = await client.negotiate({ algorithm, label: key.label });
  const asked = once(server, 'stream') as Promise<[MuxStream]>;
  const asking = client.openStream(POST, { key: made });
  const [answering] = await asked;
  answering.respond(OK);
  let [last, pause] = [performance.now(), 0];
  const watch = async (stream: MuxStream): Promise<void> => {
    for await (const _chunk of stream.iterator({ destroyOnReturn: false })) {
      const now = performance.now();
      pause = Math.max(pause, now - last);
      last = now;
    }
  };
  const sent = [asking, answering].map((stream) =>
    pipeline(payload(SIZE), stream, { end: true }).catch(() => undefined),
  );
  await Promise.all([watch(asking), watch(answering), ...sent]);
  const generations = client.key(made.keyId)?.generation ?? 0;
  for (const side of [client, server]) side.destroy();
  listener.close();
  return { pause, generations };
}

describe.each([
  ['psk-x25519', ALGORITHM.PSK_X25519],
  ['hybrid', ALGORITHM.HYBRID],
] as const)('64 MiB each way, sealed by %s', (name, algorithm) => {
  for (const [what, limits] of [
    ['without renegotiation', false],
    ['renegotiated every 2 MiB', { bytes: 2 * MIB }],
  ] as const) {
    const runs: Awaited<ReturnType<typeof bulk>>[] = [];
    bench(what, async () => void runs.push(await bulk(algorithm, limits)), {
      iterations: 5,
      time: 0,
      warmupIterations: 0,
      warmupTime: 0,
      teardown: () => {
        if (runs.length === 0) return; // it is called before as well
        const pauses = runs.map(({ pause }) => pause).sort((a, b) => a - b);
        const [median, longest] = [pauses[Math.floor(pauses.length / 2)], pauses.at(-1)];
        console.log(
          `${name}, ${what}: longest pause of a run ${median?.toFixed(1)} ms (median), ${longest?.toFixed(1)} ms (worst); ` +
            `${runs.at(-1)?.generations} generations`,
        );
      },
    });
  }
});
