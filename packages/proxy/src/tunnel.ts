import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * Joins two duplex streams: bytes, backpressure and half-close in both directions. When one fails or goes away, so
 * does the other.
 */
export function joinStreams(a: Duplex, b: Duplex): void {
  relay(a, b);
  relay(b, a);
}

/** One direction, and what the end of its source does. Not by `pipe`, which keeps three times as much memory for a tunnel that is idle. */
function relay(from: Duplex, to: Duplex): void {
  from.on('data', (chunk: Uint8Array) => {
    if (!to.write(chunk)) from.pause();
  });
  to.on('drain', () => from.resume());
  from.on('end', () => to.end());
  from.on('error', ignore); // it shows in `errored`
  from.on('close', () => {
    const proper = from.readableEnded && from.writableFinished && from.errored === null;
    if (!proper) cut(to, from.errored ?? new Error('the other side of the tunnel closed early'));
  });
}

function ignore(): void {}

/** Ends a stream so that its peer sees an error, never a normal end: what came may be only a part. */
function cut(stream: Duplex, error: Error): void {
  // A Unix socket has no remote address, and nothing like RST.
  if (stream instanceof Socket && stream.remoteAddress !== undefined) stream.resetAndDestroy();
  else stream.destroy(error);
}
