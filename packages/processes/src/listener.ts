import { lookup } from 'node:dns/promises';
import net, { type ListenOptions } from 'node:net';
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';

/** An address and a port; of Unix sockets a path; empty if somebody else has opened it. */
export interface Place {
  readonly address: string;
  readonly port?: number;
}

/** A socket that is bound, and that another process is to listen on. */
export interface Listener {
  /** What goes along with a message. It stays good for any number of processes, until `close`. */
  readonly handle: object;
  /** Where it is, for errors. */
  readonly place: Place;
  close(): void;
}

interface Handle {
  close(): void;
  getsockname?(out: { port?: number }): number;
}

/** What the types of Node leave out: node:cluster makes its handles so. */
interface Internals {
  _createServerHandle(
    address: string | null,
    port: number,
    addressType: 4 | 6 | -1,
    fd?: number,
  ): Handle | number;
}

/**
 * Binds a socket without listening on it: net.Server would accept connections in this process, which is to have none. Takes what
 * net.Server's `listen` takes. Rejects with the system's error. Who binds at the same moment is noticed when somebody listens.
 */
export async function bindListener(options: ListenOptions & { fd?: number }): Promise<Listener> {
  const { path, host = '127.0.0.1', port = 0, fd } = options;
  if (fd !== undefined) return made({ address: '' }, create(null, 0, -1, fd));
  if (path !== undefined) return made({ address: path }, create(path, -1, -1));
  const { address, family } = await lookup(host);
  const handle = create(address, port, family === 6 ? 6 : 4);
  return made({ address, port }, isBound(handle, port) ? handle : -constants.errno.EADDRINUSE);
}

/** Where a port is taken, libuv says so when somebody listens; but with another process the socket would get any port then. */
function isBound(handle: Handle | number, port: number): boolean {
  if (typeof handle === 'number' || port === 0) return true;
  const out: { port?: number } = {};
  handle.getsockname?.(out);
  return out.port === port;
}

const create = (net as unknown as Internals)._createServerHandle;

function made(place: Place, handle: ReturnType<typeof create>): Listener {
  if (typeof handle !== 'number') return { handle, place, close: () => handle.close() };
  const code = getSystemErrorName(handle);
  throw Object.assign(new Error(`listen ${code} ${place.address}`), { code, syscall: 'listen', ...place });
}
