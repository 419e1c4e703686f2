import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * Joins two duplex streams: bytes, backpressure and half-close in both directions. When one fails or goes away, so
 * does the other. Resolves when both are over.
 */
export function joinStreams(a: Duplex, b: Duplex): Promise<void> {
  a.pipe(b);
  b.pipe(a);
  return Promise.all([outlived(a, b), outlived(b, a)]).then(() => undefined);
}

/** Destroys `other` as soon as `stream` is over without having ended properly in both directions. */
function outlived(stream: Duplex, other: Duplex): Promise<void> {
  return new Promise((resolve) => {
    let failure: Error | undefined;
    stream.on('error', (error) => {
      failure = error;
    });
    stream.once('close', () => {
      const proper = stream.readableEnded && stream.writableFinished && failure === undefined;
      if (!proper) cut(other, failure ?? new Error('the other side of the tunnel closed early'));
      resolve();
    });
  });
}

/** Ends a stream so that its peer sees an error, never a normal end: what came may be only a part. */
function cut(stream: Duplex, error: Error): void {
  // A Unix socket has no remote address, and nothing like RST.
  if (stream instanceof Socket && stream.remoteAddress !== undefined) stream.resetAndDestroy();
  else stream.destroy(error);
}
