import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { PipeError } from './errors.ts';
import type { Packets } from './handshake.ts';

/** The side that is not encrypted: a socket in both places, or standard input and output. */
export interface PlainSide {
  readonly input: Readable;
  readonly output: Writable;
}

/** Bytes of payload so far. */
export interface Traffic {
  sent: number;
  received: number;
}

/**
 * Carries both directions until each has ended. The end of one side's input is passed on as the end of the other's (spec 11.5), each
 * direction by itself. Rejects at the first failure of either; closing the sides is then up to the caller.
 */
export async function relay(
  plain: PlainSide,
  wire: Socket,
  { sealer, opener }: Packets,
  traffic: Traffic,
): Promise<void> {
  const seal = (payload: Buffer): Buffer => {
    traffic.sent += payload.length;
    return sealer.seal(payload);
  };
  const open = (bytes: Buffer): Buffer => {
    const payload = opener.open(bytes);
    traffic.received += payload.length;
    return payload;
  };
  await Promise.all([
    pump(plain.input, wire, seal, () => undefined),
    pump(wire, plain.output, open, () => opener.end()),
  ]);
}

/** Carries one direction until `to` has taken everything and its end. Reads no faster than `to` is read. */
function pump(
  from: Readable,
  to: Writable,
  change: (bytes: Buffer) => Buffer,
  atEnd: () => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let over = false;
    const fail = (error: unknown): void => {
      over = true;
      reject(error);
    };
    from.on('data', (bytes: Buffer) => {
      if (over) return; // what follows bytes that were not authentic
      try {
        const changed = change(bytes);
        if (changed.length > 0 && !to.write(changed)) from.pause();
      } catch (error) {
        fail(error);
      }
    });
    to.on('drain', () => from.resume());
    from.on('end', () => {
      if (over) return;
      try {
        atEnd();
        to.end();
      } catch (error) {
        fail(error);
      }
    });
    to.on('finish', resolve);
    from.on('error', fail);
    to.on('error', fail);
    from.on('close', () => {
      if (!from.readableEnded) fail(from.errored ?? cut());
    });
    to.on('close', () => {
      if (!to.writableFinished) fail(to.errored ?? cut());
    });
    if (from.destroyed || to.destroyed) fail(from.errored ?? to.errored ?? cut());
    else from.resume();
  });
}

function cut(): PipeError {
  return new PipeError('ERR_KEYMUX_CARRIER_ENDED', 'a side of the connection was closed in the middle');
}
