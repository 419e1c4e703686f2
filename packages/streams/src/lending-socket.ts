import { type ConnectOpts, Socket, type SocketConstructorOpts } from 'node:net';
import type { Duplex } from 'node:stream';

/** Takes bytes; if they are `lent` they are its own only until it returns. */
export type Borrower = (chunk: Uint8Array, lent?: boolean) => void;

/** A stream that can do without memory for each chunk that it brings. */
export interface Lender extends Duplex {
  /**
   * Hands out what comes from now on, to nobody else: listeners of `data` miss it. `pause` and `resume` work as ever; what comes while it is paused waits.
   * A socket is read in pieces of `atOnce` bytes, 65,536 by default and MOST_AT_ONCE at most.
   */
  lend(to: Borrower, atOnce?: number): void;
}

/** Most that a socket is read at once, in bytes. Who may have to keep all of it is better off with less. */
export const MOST_AT_ONCE = 256 * 1024;
/** One for all sockets of the process: what is read has been dealt with when the next one reads. */
const RECEIVED = new Uint8Array(MOST_AT_ONCE);
const USUAL = RECEIVED.subarray(0, 64 * 1024);

/** A socket that all of its kind read into the same buffer: reading costs no memory, and no collecting of it. */
export class LendingSocket extends Socket implements Lender {
  #borrower: Borrower | undefined;
  readonly #reading: { buffer: Uint8Array };

  constructor(options: SocketConstructorOpts) {
    const reading = { buffer: USUAL };
    // Documented for `connect`, whose options it gets.
    const all: SocketConstructorOpts & ConnectOpts = {
      ...options,
      onread: {
        buffer: () => reading.buffer,
        callback: (length, buffer) => this.#received(buffer.subarray(0, length)),
      },
    };
    super(all);
    this.#reading = reading;
  }

  lend(to: Borrower, atOnce = USUAL.length): void {
    this.#borrower = to;
    this.#reading.buffer = RECEIVED.subarray(0, atOnce);
    this.on('data', to);
  }

  /** Returns whether there may be more. */
  #received(chunk: Uint8Array): boolean {
    if (this.#borrower === undefined || !isFlowing(this)) return this.push(Buffer.from(chunk));
    this.#borrower(chunk, true);
    return true; // who wants no more has paused
  }
}

/** Has a borrower take what a stream brings, from memory that is lent if the stream can do that. */
export function lend(from: Duplex | Lender, to: Borrower, atOnce?: number): void {
  if ('lend' in from) from.lend(to, atOnce);
  else from.on('data', to);
}

/** Whether what comes now may be handed out at once: nothing that came before waits, and nobody has paused. */
export function isFlowing(stream: Duplex): boolean {
  return stream.readableFlowing === true && stream.readableLength === 0;
}
