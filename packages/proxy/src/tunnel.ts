import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { lend, type MuxStream, Written } from '@keymux/streams';
import { BLOCK, copyOf, giveBack, isFewOnTheirWay } from './blocks.ts';

/**
 * Joins two duplex streams: bytes, backpressure and half-close in both directions. When one fails or goes away, so
 * does the other.
 */
export function joinStreams(a: Duplex, b: Duplex): void {
  relay(a, b);
  relay(b, a);
}

/** A stream and the connection to its destination, joined, that another process can go on with (spec 13.10). */
export class Tunnel {
  readonly stream: MuxStream;
  readonly socket: Socket;
  readonly #written = new Written();
  readonly #part: () => void;

  constructor(stream: MuxStream, socket: Socket) {
    this.stream = stream;
    this.socket = socket;
    const toStream = relay(socket, stream);
    const toSocket = relay(stream, socket, (chunk, taken) => this.write(chunk, taken));
    this.#part = () => {
      toStream();
      toSocket();
    };
  }

  /** Sends something to the destination. Returns whether it is ready for more. */
  write(chunk: Uint8Array, taken?: Taken): boolean {
    this.#written.add([chunk]);
    return this.socket.write(chunk, (error) => {
      this.#written.shift();
      taken?.(error);
    });
  }

  /** Has the stream take what was read from the destination. */
  settle(): void {
    while (this.socket.read() !== null);
  }

  /** Lets go of both, of which neither side hears; returns what the destination has not taken, in order. */
  release(): Uint8Array[] {
    this.#part();
    const unsent = this.#written.takeBack(this.socket);
    this.socket.destroy();
    return unsent;
  }
}

/** Called when a piece of memory may be used again, or something is wrong. */
type Taken = (error?: Error | null) => void;
type Write = (chunk: Uint8Array, taken?: Taken) => boolean;

/** One direction, and what the end of its source does. Not by `pipe`, which keeps three times as much memory for a tunnel that is idle. Returns what ends it. */
function relay(
  from: Duplex,
  to: Duplex,
  write: Write = (chunk, taken) => to.write(chunk, taken),
): () => void {
  let parted = false;
  const data = (chunk: Uint8Array, lent = false): void => {
    if (parted) return;
    if (!(lent ? writeCopies(chunk, to, write) : write(chunk))) from.pause();
  };
  const drain = (): void => void from.resume();
  const end = (): void => void to.end();
  const close = (): void => {
    const proper = from.readableEnded && from.writableFinished && from.errored === null;
    if (!proper) cut(to, from.errored ?? new Error('the other side of the tunnel closed early'));
  };
  lend(from, data, isFewOnTheirWay);
  to.on('drain', drain);
  from.on('end', end);
  from.on('error', ignore); // it shows in `errored`
  from.on('close', close);
  return () => {
    parted = true;
    from.off('end', end).off('close', close);
    to.off('drain', drain);
  };
}

/** Writes what will change soon. Returns whether there may be more. */
function writeCopies(chunk: Uint8Array, to: Duplex, write: Write): boolean {
  let ready = true;
  to.cork();
  for (let at = 0; at < chunk.length; at += BLOCK) {
    const copy = copyOf(chunk.subarray(at, at + BLOCK));
    ready = write(copy, (error) => giveBack(copy, error));
  }
  to.uncork();
  return ready;
}

function ignore(): void {}

/** Ends a stream so that its peer sees an error, never a normal end: what came may be only a part. */
function cut(stream: Duplex, error: Error): void {
  // A Unix socket has no remote address, and nothing like RST.
  if (stream instanceof Socket && stream.remoteAddress !== undefined) stream.resetAndDestroy();
  else stream.destroy(error);
}
