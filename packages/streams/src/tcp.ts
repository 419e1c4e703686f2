import type { Socket } from 'node:net';
import { LendingSocket } from './lending-socket.ts';
import { withSignal } from './with-signal.ts';

/** Where a TCP or Unix socket listens. */
export type SocketAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** Connects a socket. Rejects with the system's error, or the signal's reason. */
export function connectSocket(
  address: SocketAddress,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Socket> {
  return withSignal(options.signal, (resolve, reject) => {
    const own = { noDelay: true, allowHalfOpen: true };
    const socket = new LendingSocket(own).connect({ ...address, ...own });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
    return () => socket.destroy();
  });
}
