import { type ConnectOpts, Socket, type SocketConstructorOpts } from 'node:net';
import type { Duplex } from 'node:stream';

/** Takes bytes; if they are `lent` they are its own only until it returns. */
export type Borrower = (chunk: Uint8Array, lent?: boolean) => void;

/** A stream that can do without memory for each chunk that it brings. */
export interface Lender extends Duplex {
  /** Hands out what comes from now on, in the place of `data` events. `pause` and `resume` work as ever; what comes while it is paused waits. */
  lend(to: Borrower): void;
}

/** One for all sockets of the process: what is read has been dealt with when the next one reads. */
const RECEIVED = new Uint8Array(256 * 1024);

/** A socket that all of its kind read into the same buffer: reading costs no memory, and no collecting of it, and a quarter of the reads. */
export class LendingSocket extends Socket implements Lender {
  #borrower: Borrower | undefined;

  constructor(options: SocketConstructorOpts) {
    // Documented for `connect`, whose options it gets.
    const all: SocketConstructorOpts & ConnectOpts = {
      ...options,
      onread: {
        buffer: RECEIVED,
        callback: (length, buffer) => this.#received(buffer.subarray(0, length)),
      },
    };
    super(all);
  }

  lend(to: Borrower): void {
    this.#borrower = to;
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
export function lend(from: Duplex | Lender, to: Borrower): void {
  if ('lend' in from) from.lend(to);
  else from.on('data', to);
}

/** Whether what comes now may be handed out at once: nothing that came before waits, and nobody has paused. */
export function isFlowing(stream: Duplex): boolean {
  return stream.readableFlowing === true && stream.readableLength === 0;
}
