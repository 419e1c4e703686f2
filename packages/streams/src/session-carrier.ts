import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { CarrierWriter } from './carrier-writer.ts';
import { lend } from './lending-socket.ts';
import type { MuxStream } from './mux-stream.ts';
import { handleOf } from './socket-handle.ts';

export interface CarrierEvents {
  /** It takes more. */
  ready(): void;
  /** The chunk is lent until this returns. */
  data(chunk: Uint8Array): void;
  end(): void;
  failed(error: Error): void;
  closed(): void;
}

/** The session's end of its carrier: what is read, what is written, and who waits until it is taken. */
export class SessionCarrier {
  readonly #carrier: Duplex;
  readonly #writer: CarrierWriter;
  /** To be called when the output that is being made was taken. */
  #untaken: (() => void)[] = [];

  constructor(carrier: Duplex, events: CarrierEvents) {
    this.#carrier = carrier;
    this.#writer = new CarrierWriter(carrier, () => events.ready());
    lend(carrier, (chunk) => events.data(chunk), always);
    carrier.on('end', () => events.end());
    carrier.on('error', (error) => events.failed(error));
    carrier.on('close', () => events.closed());
  }

  /** Whether what it brings may change when it brings more. */
  get lends(): boolean {
    return 'lend' in this.#carrier;
  }

  /** Whether it takes output now. */
  get ready(): boolean {
    return this.#writer.ready;
  }

  /** Whether it has not got rid of what it was given last. */
  get blocked(): boolean {
    return this.#writer.blocked;
  }

  /** Goes on reading, or stops. */
  read(wanted: boolean): void {
    if (!wanted) this.#carrier.pause();
    else if (this.#carrier.isPaused()) this.#carrier.resume();
  }

  /** All that was queued for the stream is in the output at hand. */
  drained(stream: MuxStream | undefined): void {
    const whenTaken = stream?.receiveDrain();
    if (whenTaken !== undefined) this.#untaken.push(whenTaken);
  }

  /** What `write` is given meanwhile goes out together. */
  together(writeAll: () => void): void {
    this.#carrier.cork();
    try {
      writeAll();
    } finally {
      this.#carrier.uncork();
    }
  }

  write(output: readonly Uint8Array[]): void {
    const untaken = this.#untaken;
    this.#untaken = [];
    const taken = (): void => {
      for (const whenTaken of untaken) whenTaken();
    };
    this.#writer.write(output, untaken.length > 0 ? taken : undefined);
  }

  /** Whether another process can go on with it: a TCP or Unix socket that has not ended. */
  get movable(): boolean {
    return handleOf(this.#carrier) !== undefined && !this.#carrier.readableEnded && this.#carrier.writable;
  }

  /** Hands out what was read and waits, as `data`. */
  readAll(): void {
    while (this.#carrier.read() !== null);
  }

  /** Closes this process' end without a word to the peer; returns what the carrier has not taken. Only if `movable`. */
  release(): Uint8Array[] {
    const unsent = this.#writer.takeBack(this.#carrier as Socket);
    this.#carrier.destroy();
    return unsent;
  }

  /** Sends what is left, then closes. */
  end(): void {
    this.#writer.end();
  }
}

function always(): boolean {
  return true;
}
