import { lstat, unlink } from 'node:fs/promises';
import { connect, type Server, type Socket } from 'node:net';

/** Connects to a Unix socket. Rejects with the system's error, or the signal's reason. */
export function connectUnix(path: string, signal?: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    checkLength(path);
    const socket = connect({ path });
    const settle = (action: () => void): void => {
      signal?.removeEventListener('abort', abort);
      socket.off('error', fail);
      action();
    };
    const fail = (error: unknown): void => settle(() => reject(error));
    const abort = (): void => {
      socket.destroy();
      fail(signal?.reason);
    };
    signal?.addEventListener('abort', abort, { once: true });
    socket.once('error', fail);
    socket.once('connect', () => settle(() => resolve(socket)));
  });
}

/** Listens on a Unix socket that this user alone can connect to. One that a process left behind, which was killed, is taken over; one that answers is not. */
export async function listenUnix(server: Server, path: string): Promise<void> {
  checkLength(path);
  try {
    await listen(server, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || !(await isLeftBehind(path))) throw error;
    await unlink(path);
    await listen(server, path);
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // The socket is bound before this returns, so that at no time anybody else can connect, and nothing else is made with this mask.
    const before = process.umask(0o177);
    try {
      server.listen({ path }, () => {
        server.off('error', reject);
        resolve();
      });
    } finally {
      process.umask(before);
    }
  });
}

/** Some versions of Node cut what is longer, and use a socket of another name. */
function checkLength(path: string): void {
  if (Buffer.byteLength(path) <= MAX_PATH) return;
  const message = `the path of a socket has at most ${MAX_PATH} bytes, "${path}" has more; choose a shorter one`;
  throw Object.assign(new Error(message), { code: 'ENAMETOOLONG', path });
}

/** Of `sun_path`, with its last byte 0. */
const MAX_PATH = process.platform === 'darwin' ? 103 : 107;

/**
 * Removes the socket that a process left behind at `path`, which was killed: nobody could listen there any more. One that answers stays, and whatever is no socket.
 * Never rejects: who listens then is told what is wrong.
 */
export async function removeLeftBehind(path: string | undefined): Promise<void> {
  if (path !== undefined && (await isLeftBehind(path).catch(() => false)))
    await unlink(path).catch(() => undefined);
}

async function isLeftBehind(path: string): Promise<boolean> {
  if (!(await lstat(path)).isSocket()) return false;
  try {
    (await connectUnix(path)).destroy();
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';
  }
}
