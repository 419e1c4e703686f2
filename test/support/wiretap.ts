import { connect, createServer, type Socket } from 'node:net';
import { FrameDecoder } from '@keymux/frames';
import type { Scope } from './scope.ts';
import { listen } from './servers.ts';

export interface Passed {
  readonly direction: 'up' | 'down';
  readonly bytes: Buffer;
}

/** What passed over one TCP connection: from the side that connected, and back. */
export class Capture {
  readonly upstream: Buffer[] = [];
  readonly downstream: Buffer[] = [];
  /** Both directions, in the order in which the bytes came. */
  readonly sequence: Passed[] = [];

  get up(): Buffer {
    return Buffer.concat(this.upstream);
  }

  get down(): Buffer {
    return Buffer.concat(this.downstream);
  }
}

/** A relay between two processes that records every byte and changes none. */
export class Wiretap {
  readonly captures: Capture[] = [];
  readonly port: number;

  private constructor(port: number, captures: Capture[]) {
    this.port = port;
    this.captures = captures;
  }

  static async start(scope: Scope, target: number): Promise<Wiretap> {
    const captures: Capture[] = [];
    const server = createServer({ allowHalfOpen: true }, (client) => {
      const onward = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
      const capture = new Capture();
      captures.push(capture);
      record(client, onward, 'up', capture);
      record(onward, client, 'down', capture);
    });
    return new Wiretap(await listen(scope, server), captures);
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Whether a text stands in the captured bytes of either direction, in one piece. */
  sees(text: string): boolean {
    return this.captures.some(({ up, down }) => up.includes(text) || down.includes(text));
  }

  /** The capture, if there was exactly one connection. */
  get only(): Capture {
    const [capture, ...more] = this.captures;
    if (capture === undefined || more.length > 0)
      throw new Error(`${this.captures.length} connections, not one`);
    return capture;
  }
}

function record(from: Socket, to: Socket, direction: 'up' | 'down', capture: Capture): void {
  const chunks = direction === 'up' ? capture.upstream : capture.downstream;
  from.on('data', (bytes: Buffer) => {
    chunks.push(bytes);
    capture.sequence.push({ direction, bytes });
  });
  from.pipe(to);
  from.on('error', () => to.destroy());
  // A socket that was cut off has no end that the pipe could pass on.
  from.on('close', (failed) => (failed ? to.destroy() : to.end()));
}

/** What anybody can read of one direction of a session. */
export interface Reading {
  /** Types of frames in their order; `sealed:1` for an envelope of key 1, `goaway:19201` with its status. */
  readonly frames: string[];
  /** Key IDs of negotiations in their order, with ALG_ID: `1/2`. */
  readonly negotiated: string[];
  /** Streams whose SYN_STREAM could be read. */
  readonly opened: number[];
  /** DATA outside envelopes, by stream. */
  readonly payload: ReadonlyMap<number, Buffer>;
}

export function readDirection(bytes: Uint8Array): Reading {
  const frames: string[] = [];
  const negotiated: string[] = [];
  const opened: number[] = [];
  const payload = new Map<number, Buffer>();
  const decoder = new FrameDecoder({ place: 'outside', sealed: true });
  decoder.push(bytes);
  for (let item = decoder.next(); item !== undefined; item = decoder.next()) {
    if (item.kind === 'data') {
      if (item.first) frames.push('data');
      const known = payload.get(item.streamId) ?? Buffer.alloc(0);
      payload.set(item.streamId, Buffer.concat([known, item.payload]));
    } else if (item.kind === 'sealed') frames.push(`sealed:${item.keyId}`);
    else {
      const { frame } = item;
      frames.push(frame.type === 'goaway' ? `goaway:${frame.status}` : frame.type);
      if (frame.type === 'syn-stream') opened.push(frame.streamId);
      if (frame.type === 'key-nego') negotiated.push(`${frame.keyId}/${frame.algorithm}`);
    }
  }
  return { frames, negotiated, opened, payload };
}

/** Both directions of a capture. */
export function readCapture(capture: Capture): { up: Reading; down: Reading } {
  return { up: readDirection(capture.up), down: readDirection(capture.down) };
}

/** The session inside the only readable tunnel of a capture. */
export function tunnelOf(capture: Capture): Capture {
  const inner = new Capture();
  const { up, down } = readCapture(capture);
  for (const [reading, chunks] of [
    [up, inner.upstream],
    [down, inner.downstream],
  ] as const) {
    const [payload, ...more] = reading.payload.values();
    if (payload === undefined || more.length > 0)
      throw new Error(`${more.length + 1} readable streams, not one`);
    chunks.push(payload);
  }
  return inner;
}
