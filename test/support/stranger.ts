import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Scope } from './scope.ts';

/** Between two bytes that trickle, in milliseconds. */
const PACE = 50;

/** A connection that nobody has made sense of: bytes out, bytes in, and how it ended. On Linux all of 127.0.0.0/8 are addresses to come from. */
export class Stranger {
  readonly socket: Socket;
  /** Settles when the connection is over, with how many milliseconds it lasted. */
  readonly closed: Promise<number>;
  readonly #received: Buffer[] = [];
  #over = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    const since = performance.now();
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => this.#received.push(chunk));
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#over = true;
        resolve(performance.now() - since);
      });
    });
  }

  static async connect(scope: Scope, port: number, from = '127.0.0.1'): Promise<Stranger> {
    const socket = connect({ port, host: '127.0.0.1', localAddress: from });
    scope.defer(() => socket.destroy());
    const stranger = new Stranger(socket);
    await once(socket, 'connect');
    return stranger;
  }

  /** Several at once. */
  static async crowd(scope: Scope, port: number, size: number, from: string): Promise<Stranger[]> {
    return Promise.all(Array.from({ length: size }, () => Stranger.connect(scope, port, from)));
  }

  get over(): boolean {
    return this.#over;
  }

  get received(): Buffer {
    return Buffer.concat(this.#received);
  }

  get text(): string {
    return this.received.toString('latin1');
  }

  send(bytes: Uint8Array | string): void {
    if (this.socket.writable) this.socket.write(bytes);
  }

  /** Sends one byte after the other until the connection is over, the last one again and again. Resolves with how long it lasted. */
  async trickle(bytes: Uint8Array | string): Promise<number> {
    const all = Buffer.from(bytes);
    for (let at = 0; !this.#over; at = Math.min(at + 1, all.length - 1)) {
      this.send(all.subarray(at, at + 1));
      await pause(PACE);
    }
    return this.closed;
  }

  /** Waits until what has come contains this. Rejects if the connection ends before. */
  async until(text: string): Promise<void> {
    while (!this.text.includes(text)) {
      if (this.#over) throw new Error(`the connection ended after: ${this.text}`);
      await Promise.race([once(this.socket, 'data').catch(() => 0), this.closed]);
    }
  }

  /** Asks for a WebSocket, with more lines in the head if there are any, and waits for the answer. */
  async openWebSocket(...lines: readonly string[]): Promise<void> {
    this.send(upgradeHead('websocket', 'Sec-WebSocket-Protocol: spdy-3.1', ...lines));
    await this.until('\r\n\r\n');
  }
}

/** A request for another protocol, as a client sends it. */
export function upgradeHead(protocol: string, ...lines: readonly string[]): string {
  return [
    'GET / HTTP/1.1',
    ...(lines.some((line) => /^host:/i.test(line)) ? [] : ['Host: localhost']),
    'Connection: Upgrade',
    `Upgrade: ${protocol}`,
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...lines,
    '\r\n',
  ].join('\r\n');
}

/** A WebSocket frame with masking key 0, or without mask. */
export function webSocketFrame(
  payload: Uint8Array,
  { opcode = 2, fin = true, masked = true, length = payload.length }: FrameOptions = {},
): Buffer {
  const long = length > 65_535;
  const head = Buffer.alloc(2 + (long ? 8 : length > 125 ? 2 : 0));
  head[0] = (fin ? 0x80 : 0) | opcode;
  head[1] = (masked ? 0x80 : 0) | (long ? 127 : length > 125 ? 126 : length);
  if (long) head.writeUIntBE(length, 4, 6);
  else if (length > 125) head.writeUInt16BE(length, 2);
  return Buffer.concat([head, Buffer.alloc(masked ? 4 : 0), payload]);
}

interface FrameOptions {
  /** 1 text, 2 binary, 0 continuation, 9 ping. */
  readonly opcode?: number;
  readonly fin?: boolean;
  readonly masked?: boolean;
  /** What the head says, if it is not the truth. */
  readonly length?: number;
}
