import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Written } from './written.ts';

/** How long a carrier may take to send what is left and to close, in milliseconds. */
const LINGER = 5_000;

/** Writes lists of buffers to a carrier in one system call where it can, and tells when it takes more. */
export class CarrierWriter {
  readonly #carrier: Duplex;
  readonly #written = new Written();
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
    const taken = (error?: Error | null): void => {
      this.#written.shift();
      if (!error) onTaken?.(); // else somebody may still have them, and the session ends
    };
    this.#written.add(buffers);
    if (last > 0) this.#carrier.cork();
    for (let i = 0; i <= last; i++) {
      this.#blocked = !this.#carrier.write(buffers[i], i === last ? taken : undefined);
    }
    if (last > 0) this.#carrier.uncork();
  }

  /** What the kernel has not taken of what was written to a socket, in order. The socket must be destroyed in the same turn. */
  takeBack(socket: Socket): Uint8Array[] {
    return this.#written.takeBack(socket);
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
