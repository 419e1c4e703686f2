import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { unwritten } from './socket-handle.ts';

/** How long a carrier may take to send what is left and to close, in milliseconds. */
const LINGER = 5_000;

/** Writes lists of buffers to a carrier in one system call where it can, and tells when it takes more. */
export class CarrierWriter {
  readonly #carrier: Duplex;
  /** What was written and is not known to be taken, oldest first. */
  readonly #written: (readonly Uint8Array[])[] = [];
  #blocked = false;

  constructor(carrier: Duplex, onReady: () => void) {
    this.#carrier = carrier;
    carrier.on('drain', () => {
      this.#blocked = false;
      onReady();
    });
  }

  /** Whether it has not got rid of what it was given last. */
  get blocked(): boolean {
    return this.#blocked;
  }

  get ready(): boolean {
    return !this.#blocked && this.#carrier.writable;
  }

  /** `onTaken` is called when the carrier is done with the buffers. */
  write(buffers: readonly Uint8Array[], onTaken?: () => void): void {
    const last = buffers.length - 1;
    const taken = (): void => {
      this.#written.shift();
      onTaken?.();
    };
    this.#written.push(buffers);
    this.#carrier.cork();
    for (const [i, buffer] of buffers.entries()) {
      this.#blocked = !this.#carrier.write(buffer, i === last ? taken : undefined);
    }
    this.#carrier.uncork();
  }

  /** What the kernel has not taken of what was written to a socket, in order. The socket must be destroyed in the same turn. */
  takeBack(socket: Socket): Uint8Array[] {
    return lastBytes(this.#written.flat(), unwritten(socket));
  }

  /** Sends what is left, then closes; a peer that does not close its side in time is cut off. */
  end(): void {
    const carrier = this.#carrier;
    if (carrier.destroyed) return;
    const cut = setTimeout(() => carrier.destroy(), LINGER).unref();
    carrier.once('close', () => clearTimeout(cut));
    carrier.end();
    carrier.resume();
  }
}

/** The last `count` bytes of what lies in `buffers`. */
function lastBytes(buffers: readonly Uint8Array[], count: number): Uint8Array[] {
  const last: Uint8Array[] = [];
  let left = count;
  for (let i = buffers.length - 1; i >= 0 && left > 0; i--) {
    const buffer = buffers[i] as Uint8Array;
    const part = left < buffer.length ? buffer.subarray(buffer.length - left) : buffer;
    left -= part.length;
    last.unshift(part);
  }
  if (left > 0) throw new Error('a socket has more to write than it was given');
  return last;
}
