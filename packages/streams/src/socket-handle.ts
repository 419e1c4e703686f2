import { Socket } from 'node:net';
import { LendingSocket } from './lending-socket.ts';

/**
 * What lies below a socket of node:net, and what child processes pass to each other. Node documents that handles can be passed, and less of what they
 * have; its cluster module rests on the same.
 */
export interface SocketHandle {
  /** Bytes that it was given, written or not. */
  readonly bytesWritten: number;
  /** Bytes that it was given and the kernel has not taken. */
  readonly writeQueueSize: number;
  close(): void;
}

/** The handle of a socket; undefined once it is destroyed, and for what is no TCP or Unix socket of its own (TLS). */
export function handleOf(carrier: object): SocketHandle | undefined {
  if (!(carrier instanceof Socket) || !OURS.has(carrier.constructor) || carrier.connecting) return undefined;
  return (carrier as unknown as { _handle?: SocketHandle | null })._handle ?? undefined;
}

const OURS: ReadonlySet<unknown> = new Set([Socket, LendingSocket]);

/** A socket that goes on with a handle. It begins to read in a later turn. */
export function socketOf(handle: SocketHandle): Socket {
  const options = { handle, allowHalfOpen: true, readable: true, writable: true };
  return new LendingSocket(options);
}

/**
 * A lending socket in the place of one that a server with `pauseOnConnect` has just accepted; net.Server has no way to make one itself. The
 * server counts the accepted one, which has nothing below it any more, until ours is closed.
 */
export function lendingSocketOf(accepted: Socket): Socket {
  const handle = handleOf(accepted);
  if (handle === undefined) return accepted;
  const socket = socketOf(handle);
  (accepted as unknown as { _handle: SocketHandle | null })._handle = null;
  socket.once('close', () => accepted.destroy());
  return socket;
}

/** How many of the bytes that were written to a socket the kernel has not taken; it can be fewer in the next turn. */
export function unwritten(socket: Socket): number {
  const handle = handleOf(socket);
  return handle === undefined ? 0 : socket.bytesWritten - handle.bytesWritten + handle.writeQueueSize;
}
