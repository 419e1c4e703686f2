// What an idle stream and a session cost in memory: a destination, a proxy, an origin and a client as processes of their own.
// Prints a table, or JSON with --json. --streams N (10000) and --sessions N (1000) say how many.
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { halfOfDescriptors } from '@keymux/streams';

const PROGRAM = fileURLToPath(new URL('memory-process.mjs', import.meta.url));
/** What goes each way through a stream that is used, in bytes. */
const USE = 64 * 1024;

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    streams: { type: 'string', default: '10000' },
    sessions: { type: 'string', default: '1000' },
  },
});
const STREAMS = Number(values.streams);
const SESSIONS = Number(values.sessions);
const STREAMS_OF_A_SESSION = 10;
/** Opened first: what is loaded and made once counts for nobody. */
const FIRST = 100;
/** A tunnel is a connection of the proxy's, which keeps half of its descriptors for clients. */
const TUNNELS = Math.min(STREAMS, halfOfDescriptors() - FIRST);

/** A process of the benchmark; its methods are the commands of memory-process.mjs. */
class Peer {
  #child;
  #calls = 0;

  constructor(role, secret) {
    this.#child = fork(PROGRAM, [role, ...(secret === undefined ? [] : [secret])], {
      execArgv: ['--expose-gc'],
    });
  }

  async ask(command, options = {}) {
    const id = this.#calls++;
    this.#child.send({ id, command, options });
    const [answer] = await once(this.#child, 'message');
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer.result;
  }

  end() {
    this.#child.disconnect();
  }
}

/** What each of two processes holds more than before for each of `count` things, in KiB. */
function growth(before, after, count) {
  return Object.fromEntries(
    Object.keys(after).map((who) => {
      const each = (what) => (after[who][what] - before[who][what]) / count / 1024;
      return [who, { rss: each('rss'), collected: each('collected'), heap: each('heap') }];
    }),
  );
}

async function measure(processes) {
  const entries = Object.entries(processes).map(async ([who, peer]) => [who, await peer.ask('measure')]);
  return Object.fromEntries(await Promise.all(entries));
}

/** Tunnels through a proxy on one session: idle, then idle again after each has carried `USE` bytes both ways. */
async function tunnels(secret) {
  const [destination, proxy, client] = [
    new Peer('destination'),
    new Peer('proxy', secret),
    new Peer('client', secret),
  ];
  try {
    const to = await destination.ask('listen');
    await client.ask('connect', {
      port: await proxy.ask('listen', { destination: to }),
      sessions: 1,
      authority: '',
    });
    await client.ask('open', { each: FIRST, destination: to });
    const before = await measure({ client, proxy });
    await client.ask('open', { each: TUNNELS, destination: to });
    const idle = growth(before, await measure({ client, proxy }), TUNNELS);
    await client.ask('use', { bytes: USE });
    return { idle, used: growth(before, await measure({ client, proxy }), TUNNELS) };
  } finally {
    for (const peer of [destination, proxy, client]) peer.end();
  }
}

/** Requests to an origin whose answers do not end: `sessions` with `each` of them. */
async function requests(secret, sessions, each) {
  const [origin, client] = [new Peer('origin', secret), new Peer('client', secret)];
  try {
    const port = await origin.ask('listen');
    const authority = 'bench.test';
    await client.ask('connect', { port, authority, sessions: 1 });
    await client.ask('open', { each: FIRST });
    const before = await measure({ client, origin });
    if (sessions > 1) await client.ask('connect', { port, authority, sessions });
    await client.ask('open', { each });
    return growth(before, await measure({ client, origin }), sessions > 1 ? sessions : each);
  } finally {
    for (const peer of [origin, client]) peer.end();
  }
}

const rows = [];
for (const [protection, secret] of [
  ['clear', undefined],
  ['sealed', randomBytes(32).toString('hex')],
]) {
  const { idle, used } = await tunnels(secret);
  rows.push({ what: 'idle tunnel', count: TUNNELS, protection, ...idle });
  rows.push({ what: 'tunnel after 64 KiB each way', count: TUNNELS, protection, ...used });
  rows.push({ what: 'open request', count: STREAMS, protection, ...(await requests(secret, 1, STREAMS)) });
  const sessions = await requests(secret, SESSIONS, STREAMS_OF_A_SESSION);
  rows.push({ what: 'session with 10 open requests', count: SESSIONS, protection, ...sessions });
}

if (values.json) console.log(JSON.stringify({ node: process.version, unit: 'KiB', rows }, null, 2));
else {
  const cell = (peer) =>
    peer ? [peer.rss, peer.collected, peer.heap].map((kib) => kib.toFixed(1)).join(' / ') : '';
  console.log(`KiB each, RSS / RSS after a collection / heap in use; Node ${process.version}`);
  console.table(
    rows.map(({ what, count, protection, client, proxy, origin }) => ({
      what,
      count,
      protection,
      client: cell(client),
      proxy: cell(proxy),
      origin: cell(origin),
    })),
  );
}
