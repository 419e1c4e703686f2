import { type ConnectOpts, Socket, type SocketConstructorOpts } from 'node:net';
import type { Duplex } from 'node:stream';

/** Takes bytes; if they are `lent` they are its own only until it returns. */
export type Borrower = (chunk: Uint8Array, lent?: boolean) => void;

/** A stream that can do without memory for each chunk that it brings. */
export interface Lender extends Duplex {
  /**
   * Hands out what comes from now on, to nobody else: listeners of `data` miss it. `pause` and `resume` work as ever; what comes while it is paused waits.
   * A socket is read in pieces of up to 65,536 bytes; one that fills these in pieces of up to 262,144 while `much` says so.
   */
  lend(to: Borrower, much?: () => boolean): void;
}

/** One for all sockets of the process: what is read has been dealt with when the next one reads. */
const MUCH = new Uint8Array(256 * 1024);
/** Who may have to keep all that is read at once is better off with less. */
const LITTLE = MUCH.subarray(0, 64 * 1024);

/** A socket that all of its kind read into the same buffer: reading costs no memory, and no collecting of it. */
export class LendingSocket extends Socket implements Lender {
  #borrower: Borrower | undefined;
  readonly #reading: { last: number; much(): boolean };

  constructor(options: SocketConstructorOpts) {
    const reading = { last: 0, much: () => false };
    // Documented for `connect`, whose options it gets.
    const all: SocketConstructorOpts & ConnectOpts = {
      ...options,
      onread: {
        buffer: () => (reading.last >= LITTLE.length && reading.much() ? MUCH : LITTLE),
        callback: (length, buffer) => {
          reading.last = length;
          return this.#received(buffer.subarray(0, length));
        },
      },
    };
    super(all);
    this.#reading = reading;
  }

  lend(to: Borrower, much?: () => boolean): void {
    this.#borrower = to;
    if (much !== undefined) this.#reading.much = much;
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
export function lend(from: Duplex | Lender, to: Borrower, much?: () => boolean): void {
  if ('lend' in from) from.lend(to, much);
  else from.on('data', to);
}

/** Whether what comes now may be handed out at once: nothing that came before waits, and nobody has paused. */
export function isFlowing(stream: Duplex): boolean {
  return stream.readableFlowing === true && stream.readableLength === 0;
}
