import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import {
  type ControlFrame,
  decodeHeaderBlock,
  encodeControl,
  FrameDecoder,
  HeaderDecompressor,
  type Item,
  type KeyNego,
  SETTING,
} from '@keymux/frames';
import type { Scope } from './scope.ts';
import { listen } from './servers.ts';

/** The beginning of a session that announces every algorithm. */
export const ANNOUNCEMENT = encodeControl({
  type: 'settings',
  clear: false,
  entries: [{ id: SETTING.KEYMUX, value: 0x7e, flags: 0 }],
});

/** A peer that says exactly what it is told to. */
export class Attacker {
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder({ place: 'outside', sealed: true });
  readonly #decompressor = new HeaderDecompressor();
  readonly #items: Item[] = [];
  readonly #replies = new Map<number, string>();
  /** Every byte that came. */
  readonly received: Buffer[] = [];
  /** Settles when the connection is over. */
  readonly closed: Promise<void>;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.once('close', () => resolve());
    });
    socket.on('data', (chunk: Buffer) => {
      this.received.push(chunk);
      this.#decoder.push(Uint8Array.from(chunk));
      for (let item = this.#decoder.next(); item !== undefined; item = this.#decoder.next()) {
        this.#items.push(item);
        if (item.kind === 'control') this.#note(item.frame);
      }
    });
  }

  /** Connects to a server, from an address of loopback: Linux has them all, other systems 127.0.0.1. */
  static async connect(scope: Scope, port: number, from = '127.0.0.1'): Promise<Attacker> {
    const socket = connect({ port, host: '127.0.0.1', localAddress: from });
    scope.defer(() => socket.destroy());
    await once(socket, 'connect');
    return new Attacker(socket);
  }

  /** Waits for clients; `meet` gets each. Returns the port. */
  static listen(scope: Scope, meet: (attacker: Attacker) => unknown): Promise<number> {
    return listen(
      scope,
      createServer((socket) => void meet(new Attacker(socket))),
    );
  }

  send(...bytes: readonly Uint8Array[]): void {
    if (this.#socket.writable) this.#socket.write(Buffer.concat(bytes));
  }

  /** Sends as fast as the peer reads, and stops when it has closed. Resolves when all is written, or the connection is over. */
  async pour(chunks: Iterable<Uint8Array>): Promise<void> {
    for (const chunk of chunks) {
      if (!this.#socket.writable) return;
      if (!this.#socket.write(chunk))
        await Promise.race([once(this.#socket, 'drain').catch(() => 0), this.closed]);
      await setImmediate(); // else nobody hears that it has closed
    }
  }

  /** Reads no more. What the kernel takes for it still comes as far as its socket. */
  deafen(): void {
    this.#socket.pause();
  }

  end(): void {
    this.#socket.end();
  }

  /** The data of KEY_NEGO frames so far. */
  get messages(): Buffer[] {
    return this.#frames('key-nego').map(({ data }) => Buffer.from(data));
  }

  /** The `nth` KEY_NEGO frame that has come. */
  negotiation(nth: number): { frame: KeyNego; bytes: Uint8Array } {
    const found = this.#items.filter((one) => one.kind === 'control' && one.frame.type === 'key-nego')[nth];
    if (found?.kind !== 'control' || found.frame.type !== 'key-nego') throw new Error('no such message');
    return { frame: found.frame, bytes: found.bytes };
  }

  /** The streams that the peer has opened so far. */
  get opened(): number[] {
    return this.#frames('syn-stream').map(({ streamId }) => streamId);
  }

  /** How many PINGs, answers and others, have come so far. */
  get pongs(): number {
    return this.#frames('ping').length;
  }

  /** GOAWAY statuses so far. */
  get goaways(): number[] {
    return this.#frames('goaway').map(({ status }) => status);
  }

  /** The `nth` KEY_NEGO frame, when it has come; rejects if the peer leaves without. */
  async message(nth: number): Promise<{ frame: Buffer; data: Buffer }> {
    for (;;) {
      const item = this.#items.filter((one) => one.kind === 'control' && one.frame.type === 'key-nego')[nth];
      if (item?.kind === 'control' && item.frame.type === 'key-nego') {
        return { frame: Buffer.from(item.bytes), data: Buffer.from(item.frame.data) };
      }
      await Promise.race([once(this.#socket, 'data'), this.closed]);
      if (this.#socket.closed) throw new Error('the peer left without a message');
    }
  }

  /** Waits until what has come is as described; rejects if the peer leaves before. */
  async until(description: (attacker: this) => boolean): Promise<void> {
    while (!description(this)) {
      if (this.#socket.closed) throw new Error('the peer left before');
      await Promise.race([once(this.#socket, 'data'), this.closed]);
    }
  }

  #note(frame: ControlFrame): void {
    if (frame.type !== 'syn-reply' && frame.type !== 'headers') return;
    const headers = new Map(decodeHeaderBlock(this.#decompressor.decompress(frame.block)));
    if (frame.type === 'syn-reply') this.#replies.set(frame.streamId, headers.get(':status') ?? '');
  }

  /** Resets of streams so far: stream and status. */
  get resets(): Map<number, number> {
    return new Map(this.#frames('rst-stream').map(({ streamId, status }) => [streamId, status]));
  }

  /** Answers so far: stream and `:status`. */
  get replies(): Map<number, string> {
    return this.#replies;
  }

  #frames<T extends 'key-nego' | 'goaway' | 'rst-stream' | 'syn-stream' | 'ping'>(type: T) {
    type Found = Extract<Extract<Item, { kind: 'control' }>['frame'], { type: T }>;
    return this.#items.flatMap((item) =>
      item.kind === 'control' && item.frame.type === type ? [item.frame as Found] : [],
    );
  }
}
