// One process of memory.mjs: plays a role and does what it is told over its IPC channel.
import { once } from 'node:events';
import { createServer } from 'node:net';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { Client } from '@keymux/client';
import { ALGORITHM, Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { Origin } from '@keymux/origin';
import { ConnectProxy } from '@keymux/proxy';

const HOST = '127.0.0.1';
const HOSTNAME = 'bench.test';
const LISTEN = { port: 0, host: HOST, backlog: 4096 };
/** All of them are one client's. */
const PROXY_LIMITS = { maxConcurrentStreams: 1_000_000, tunnels: 1_000_000, tunnelsPerClient: 1_000_000 };
const ORIGIN_LIMITS = {
  maxConcurrentStreams: 1_000_000,
  connections: 1_000_000,
  connectionsPerClient: 1_000_000,
  keyWork: 1_000_000,
  keyWorkPerClient: 1_000_000,
};
/** What is opened at a time. */
const BATCH = 100;

const [role, secret] = process.argv.slice(2);
const key = secret === undefined ? undefined : new PreSharedKey(Buffer.from(secret, 'hex'));
const clients = [];
const streams = [];

/** What the parent may ask for. */
const commands = {
  /** Begins to serve; returns the port. */
  async listen({ destination }) {
    return (await servers[role](destination)).port;
  },

  /** Opens sessions. */
  async connect({ port, sessions, authority }) {
    for (let opened = 0; opened < sessions; opened++) {
      const client = await Client.connect(`${HOST}:${port}`, { keeper: keeper() });
      const negotiation = key && { algorithm: ALGORITHM.PSK_X25519, label: key.label, authority };
      clients.push({ client, key: negotiation && (await client.negotiate(negotiation)) });
    }
  },

  /** Opens streams in each session: tunnels to a destination, or requests whose answers do not end. */
  async open({ each, destination }) {
    for (const { client, key } of clients) {
      const open = async () =>
        destination === undefined
          ? answered(await client.request({ host: HOSTNAME, path: '/', key }))
          : client.tunnel(HOST, destination, { key });
      for (let opened = 0; opened < each; opened += BATCH)
        streams.push(...(await Promise.all(Array.from({ length: Math.min(BATCH, each - opened) }, open))));
    }
  },

  /** Sends bytes through every stream and takes them back. */
  async use({ bytes }) {
    for (let at = 0; at < streams.length; at += BATCH)
      await Promise.all(streams.slice(at, at + BATCH).map((stream) => echo(stream, bytes)));
  },

  /** What the process holds, in bytes: `rss` as it stands, `collected` the same when what is dead has been collected, `heap` what is in use. */
  async measure() {
    const { rss } = process.memoryUsage();
    for (let round = 0; round < 3; round++) {
      await turn();
      globalThis.gc();
    }
    const { rss: collected, heapUsed, external } = process.memoryUsage();
    return { rss, collected, heap: heapUsed + external };
  },
};

const servers = {
  /** Says back what comes over TCP. */
  async destination() {
    const server = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
    server.listen(LISTEN);
    await once(server, 'listening');
    return server.address();
  },

  proxy(destination) {
    const allow = [`${HOST}:${destination}`];
    return new ConnectProxy({ keeper: keeper(), allow, limits: PROXY_LIMITS }).listen(LISTEN);
  },

  origin() {
    const handler = () => ({ status: 200, body: new Readable({ read() {} }) });
    return new Origin({
      keeper: keeper(),
      hosts: [{ name: HOSTNAME, handler }],
      limits: ORIGIN_LIMITS,
    }).listen(LISTEN);
  },
};

function keeper() {
  if (key === undefined) return undefined;
  const keyring = new Keyring();
  keyring.add(key, { authorities: ['', HOSTNAME] });
  return new LocalKeeper({ keyring });
}

function answered({ status, body }) {
  if (status !== 200) throw new Error(`the origin answered with ${status}`);
  return body;
}

async function echo(stream, bytes) {
  stream.write(Buffer.alloc(bytes));
  for (let left = bytes; left > 0; ) {
    const chunk = stream.read();
    if (chunk === null) await once(stream, 'readable');
    else left -= chunk.length;
  }
}

process.on('message', async ({ id, command, options }) => {
  try {
    process.send({ id, result: await commands[command](options) });
  } catch (error) {
    process.send({ id, error: String(error?.stack ?? error) });
  }
});
process.once('disconnect', () => process.exit());
