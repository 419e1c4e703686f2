import type { Duplex } from 'node:stream';
import { ProtocolError } from './errors.ts';

export interface ChannelOptions {
  /** Most bytes of a message that comes, behind its length. */
  readonly most: number;
  /** Whether nothing is read as long as the other end does not read. One end alone may do so, else both could wait for ever. */
  readonly waits: boolean;
  /** `data` is lent: it is zeroed afterwards. What this throws ends the channel. */
  readonly onMessage: (head: unknown, data: Uint8Array) => void;
  /** The channel is over, for whatever reason; called once. */
  readonly onClose: (error: Error) => void;
}

/**
 * Messages over any connection that is reliable and in order (spec 12.2):
 *
 *     length (32) | head length (32) | head | data
 *
 * The head is a JSON object. Secrets travel in the data alone, so that they never become text; every buffer that may have held one is zeroed.
 */
export class Channel {
  readonly #duplex: Duplex;
  readonly #options: ChannelOptions;
  readonly #length = Buffer.alloc(LENGTH);
  /** Bytes of `#length`, or of `#message` if there is one, that have come. */
  #filled = 0;
  #message: Buffer | undefined;
  #closed = false;

  constructor(duplex: Duplex, options: ChannelOptions) {
    this.#duplex = duplex;
    this.#options = options;
    duplex.on('data', (chunk: Buffer) => this.#receive(chunk));
    if (options.waits) duplex.on('drain', () => duplex.resume());
    duplex.on('end', () => this.close(new Error('the other end has closed the connection')));
    duplex.on('error', (error) => this.close(error));
    duplex.on('close', () => this.close(new Error('the connection was closed')));
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sends a message, and zeroes it when it is gone. */
  send(head: object, ...data: readonly Uint8Array[]): void {
    if (this.#closed) return;
    const message = encode(head, data);
    const flows = this.#duplex.write(message, () => message.fill(0));
    if (!flows && this.#options.waits) this.#duplex.pause();
  }

  /** Ends the connection, once what was sent is out. */
  close(error: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#message?.fill(0);
    this.#message = undefined;
    const duplex = this.#duplex;
    if (!duplex.destroyed) {
      const force = setTimeout(() => duplex.destroy(), PATIENCE).unref();
      duplex.once('close', () => clearTimeout(force));
      duplex.end(() => duplex.destroy());
    }
    this.#options.onClose(error);
  }

  #receive(chunk: Buffer): void {
    try {
      for (let at = 0; at < chunk.length && !this.#closed; ) at += this.#take(chunk.subarray(at));
    } catch (error) {
      this.close(error as Error);
    } finally {
      chunk.fill(0);
    }
  }

  /** Takes what belongs to the length, or to the message; returns how many bytes that were. */
  #take(bytes: Buffer): number {
    const target = this.#message ?? this.#length;
    const taken = bytes.copy(target, this.#filled);
    this.#filled += taken;
    if (this.#filled < target.length) return taken;
    this.#filled = 0;
    if (this.#message === undefined) {
      this.#message = Buffer.allocUnsafeSlow(this.#checkedLength());
      return taken;
    }
    const message = this.#message;
    this.#message = undefined;
    try {
      this.#hand(message);
    } finally {
      message.fill(0);
    }
    return taken;
  }

  /** Judged before anything is stored. */
  #checkedLength(): number {
    const length = this.#length.readUInt32BE();
    if (length >= HEAD_LENGTH && length <= this.#options.most) return length;
    throw new ProtocolError(
      `a message of ${length} bytes; it must have ${HEAD_LENGTH} to ${this.#options.most}`,
    );
  }

  #hand(message: Buffer): void {
    const end = HEAD_LENGTH + message.readUInt32BE();
    if (end > message.length) throw new ProtocolError('a head that is longer than its message');
    this.#options.onMessage(parse(message.subarray(HEAD_LENGTH, end)), message.subarray(end));
  }
}

function encode(head: object, data: readonly Uint8Array[]): Buffer {
  const text = Buffer.from(JSON.stringify(head));
  const length = HEAD_LENGTH + text.length + data.reduce((sum, { length }) => sum + length, 0);
  const message = Buffer.allocUnsafeSlow(LENGTH + length);
  message.writeUInt32BE(length);
  message.writeUInt32BE(text.length, LENGTH);
  let at = LENGTH + HEAD_LENGTH + text.copy(message, LENGTH + HEAD_LENGTH);
  for (const part of data) {
    message.set(part, at);
    at += part.length;
  }
  return message;
}

function parse(head: Uint8Array): unknown {
  try {
    return JSON.parse(UTF8.decode(head));
  } catch {
    throw new ProtocolError('a head that is no JSON'); // the cause would quote it
  }
}

const LENGTH = 4;
const HEAD_LENGTH = 4;
/** Milliseconds for what was sent to get out. */
const PATIENCE = 1_000;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
