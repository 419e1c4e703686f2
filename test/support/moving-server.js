// A server whose sessions move: it echoes what comes on each stream. Started by Mover, which it gets its orders from.
import { Channel, give, Taker } from '@keymux/hand-over';
import { Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { MovableSession, SessionServer } from '@keymux/streams';

const keyring = new Keyring();
keyring.add(new PreSharedKey(Buffer.alloc(32, 'a key file')), { label: 'shared', authorities: [''] });
const keeper = new LocalKeeper({ keyring, anonymous: [''] });
const server = new SessionServer({ keeper, movable: true });
server.on('session', (session) => {
  session.on('stream', (stream) => {
    stream.respond([[':status', '200']]);
    stream.pipe(stream);
  });
});

const channel = new Channel(process);
new Taker(channel, {
  session: (moved) => {
    const session = server.takeOver(moved);
    for (const stream of session.streams) stream.pipe(stream);
    process.send({ type: 'took', streams: session.streamCount });
  },
});

const orders = {
  listen: async () => ({ address: await server.listen({ port: 0, host: '127.0.0.1' }) }),
  sessions: () => ({ count: server.sessions.size }),
  give: async ({ timeout }) => {
    const results = [...server.sessions].map((session) =>
      give(new MovableSession(session), channel, { timeout }).then(
        () => 'given',
        (error) => `${error.lost ? 'lost' : 'kept'}: ${error.message}`,
      ),
    );
    return { results: await Promise.all(results) };
  },
};

process.on('message', async (message) => {
  const order = orders[message?.order];
  if (order !== undefined) process.send({ answer: message.id, ...(await order(message)) });
});
process.on('disconnect', () => {
  if (process.env.STAYS === undefined) process.exit();
});
