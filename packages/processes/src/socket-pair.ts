import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Two ends of a connection, to be given to two processes. Nothing is read from either. It is made in a directory of this user alone, and
 * nothing else could connect meanwhile.
 */
export async function socketPair(): Promise<readonly [Socket, Socket]> {
  const directory = await mkdtemp(join(tmpdir(), 'keymux-')); // mode 0700
  const server = createServer({ pauseOnConnect: true });
  try {
    server.listen(join(directory, 's'));
    await once(server, 'listening');
    const near = connect(join(directory, 's')).pause();
    const [[far]] = (await Promise.all([once(server, 'connection'), once(near, 'connect')])) as [
      [Socket],
      unknown,
    ];
    return [near, far];
  } finally {
    server.close();
    await rm(directory, { recursive: true, force: true });
  }
}
