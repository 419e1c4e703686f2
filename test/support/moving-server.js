// A server whose sessions move, started by Mover, which it gets its orders from. Plain JavaScript, because the oldest supported Node cannot load TypeScript.
import { Channel, give, Taker } from '@keymux/hand-over';
import { Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { Origin } from '@keymux/origin';
import { ConnectProxy } from '@keymux/proxy';
import { MovableSession, SessionServer } from '@keymux/streams';

const keyring = new Keyring();
keyring.add(new PreSharedKey(Buffer.alloc(32, 'a key file')), {
  label: 'shared',
  authorities: ['', 'host.test'],
});
const keeper = new LocalKeeper({ keyring, anonymous: [''] });

/** Echoes what comes on each stream. */
function echo() {
  const server = new SessionServer({ keeper, movable: true });
  server.on('session', (session) => {
    session.on('stream', (stream) => {
      stream.respond([[':status', '200']]);
      stream.pipe(stream);
    });
  });
  const takeOver = (moved) => {
    for (const stream of server.takeOver(moved).streams) stream.pipe(stream);
  };
  return { server, sessions: server.sessions, movable: (session) => new MovableSession(session), takeOver };
}

function proxy() {
  const server = new ConnectProxy({
    keeper,
    movable: true,
    allow: ['127.0.0.1:*'],
    level: 'none',
    limits: { connectTimeout: 3000 },
  });
  return of(server);
}

/** Answers with what came; a request for /slow when it is told to. */
function origin() {
  const handler = async ({ path, body }) => {
    const chunks = [];
    for await (const chunk of body) chunks.push(chunk);
    if (path === '/slow') await slow;
    return { status: 200, headers: [['x-process', String(process.pid)]], body: Buffer.concat(chunks) };
  };
  return of(new Origin({ keeper, movable: true, hosts: [{ name: 'host.test', handler }] }));
}

function of(server) {
  const movable = (session) => server.movable(session);
  return { server, sessions: server.sessions, movable, takeOver: (moved) => server.takeOver(moved) };
}

let answerSlow;
const slow = new Promise((resolve) => {
  answerSlow = resolve;
});

const kind = process.argv[2];
const { server, sessions, movable, takeOver } = { echo, proxy, origin }[kind]();
const channel = new Channel(process);
new Taker(channel, {
  [kind === 'echo' ? 'session' : kind]: (moved) => {
    takeOver(moved);
  },
});

const orders = {
  listen: async () => ({ address: await server.listen({ port: 0, host: '127.0.0.1' }) }),
  sessions: () => ({ count: sessions.size }),
  answer: () => answerSlow(),
  // Nothing that is only slow may fail by the time it has.
  give: async ({ timeout = 60_000 }) => {
    const results = [...sessions].map((session) =>
      give(movable(session), channel, { timeout }).then(
        () => 'given',
        (error) => `${error.lost ? 'lost' : 'kept'}: ${error.message}`,
      ),
    );
    return { results: await Promise.all(results) };
  },
};

process.on('message', async (message) => {
  const order = orders[message?.order];
  if (order === undefined) return;
  const answer = { answer: message.id, ...(await order(message)) };
  if (process.connected) process.send(answer);
});
process.on('disconnect', () => {
  if (process.env.STAYS === undefined) process.exit();
});
