import { connect, type Socket } from 'node:net';

/** Where a TCP or Unix socket listens. */
export type SocketAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** Connects a socket. Rejects with the system's error, or the signal's reason. */
export function connectSocket(
  address: SocketAddress,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { signal } = options;
    if (signal?.aborted) return reject(signal.reason as Error);
    const socket = connect({ ...address, noDelay: true, allowHalfOpen: true });
    const abort = (): void => {
      socket.destroy();
      reject(signal?.reason as Error);
    };
    signal?.addEventListener('abort', abort, { once: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      signal?.removeEventListener('abort', abort);
      socket.off('error', reject);
      resolve(socket);
    });
  });
}
