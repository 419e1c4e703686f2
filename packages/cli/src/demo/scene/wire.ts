import { SessionTrace, type TraceRecord } from '@keymux/trace';
import { colourOf, factsOf } from '../../wire/frame-lines.ts';
import { atCanary, ofNoise } from '../excerpt.ts';
import { describeHeaders } from '../hop.ts';
import { findIn, type Secrets } from '../memory.ts';
import type { Line } from '../table.ts';
import { Wiretap } from '../wiretap.ts';
import type { View } from './view.ts';

type Side = 'client' | 'server';

/** The wire of the scene: a wiretap that shows each frame before it passes it on, and keeps what it has got. */
export class Wire {
  readonly #view: View;
  readonly #canaries: readonly string[];
  #tap: Wiretap | undefined;
  #traces: Record<Side, FrameReader> | undefined;
  #connections = 0;
  /** Since the act began. */
  #heard: Record<Side, Buffer[]> = { client: [], server: [] };
  #frames: TraceRecord[] = [];

  constructor(view: View, canaries: readonly string[]) {
    this.#view = view;
    this.#canaries = canaries;
  }

  /** Listens in front of `port`, on a new port of loopback that this resolves with. */
  async tapInto(port: number): Promise<number> {
    this.close();
    this.#tap = await Wiretap.listen(port, (side, bytes, connection) => this.#look(side, bytes, connection));
    this.#connections = 0;
    return this.#tap.port;
  }

  /** Forgets what it has got, for the next act. */
  begin(): void {
    this.#heard = { client: [], server: [] };
    this.#frames = [];
  }

  /** TCP connections since it taps into this port. */
  get connections(): number {
    return this.#connections;
  }

  get frames(): readonly TraceRecord[] {
    return this.#frames;
  }

  /** Bytes on the wire since the act began. */
  get bytes(): number {
    return [...this.#heard.client, ...this.#heard.server].reduce((sum, { length }) => sum + length, 0);
  }

  /** Which of the secrets stand in the bytes of either direction since the act began. */
  find(secrets: Secrets): string[] {
    const [up, down] = [Buffer.concat(this.#heard.client), Buffer.concat(this.#heard.server)];
    const found = new Set([...findIn(up, secrets), ...findIn(down, secrets)]);
    return [...secrets.keys()].filter((name) => found.has(name));
  }

  /** Resolves when no connection is left, and all that passed was shown. */
  async ended(): Promise<void> {
    await this.#tap?.ended();
  }

  close(): void {
    this.#tap?.close();
  }

  async #look(side: Side, bytes: Buffer, connection: number): Promise<void> {
    if (connection !== this.#connections) {
      this.#connections = connection;
      const trace = new SessionTrace();
      this.#traces = { client: new FrameReader(trace, 'client'), server: new FrameReader(trace, 'server') };
    }
    this.#heard[side].push(bytes);
    for (const frame of this.#traces?.[side].receive(bytes) ?? []) {
      this.#frames.push(frame.record);
      await this.#view.show('wire', describe(frame, this.#canaries));
    }
  }
}

interface Frame {
  readonly record: TraceRecord;
  /** As it stood on the wire. */
  readonly bytes: Buffer;
}

/** One direction of a connection, without tunnels, whose frames would stand inside of others. */
class FrameReader {
  readonly #trace: SessionTrace;
  readonly #side: Side;
  #rest = Buffer.alloc(0);

  constructor(trace: SessionTrace, side: Side) {
    this.#trace = trace;
    this.#side = side;
  }

  receive(bytes: Buffer): Frame[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    return this.#trace.receive(this.#side, bytes, Date.now()).map((record) => {
      const own = this.#rest.subarray(0, record.bytes);
      this.#rest = this.#rest.subarray(record.bytes);
      return { record, bytes: own };
    });
  }
}

/** A frame as `keymux tap` prints it, shorter, and a piece of its bytes. */
function describe({ record, bytes }: Frame, canaries: readonly string[]): Line[] {
  const { from, type, stream, flags = [], headers } = record;
  const style = colourOf(record);
  const name = stream === undefined ? type : `${type} ${stream}`;
  const facts = record.nego || type === 'SEALED' ? factsOf(record) : [`${record.bytes} bytes`, ...flags];
  const head = [`${from === 'client' ? '>' : '<'} ${name}`, ...facts].filter(Boolean).join('  ');
  const lines: Line[] = [{ text: head, style }];
  if (headers !== undefined) lines.push({ text: `${INDENT}${describeHeaders(headers)}`, style });
  const excerpt = atCanary(bytes, canaries) ?? (type === 'SEALED' ? ofNoise(bytes) : undefined);
  if (excerpt === undefined) return lines;
  const text = INDENT + excerpt.text;
  const { secret } = excerpt;
  if (secret === undefined) return [...lines, { text, style: 'dim', raw: 1 }];
  return [...lines, { text, mark: { ...secret, at: secret.at + INDENT.length }, raw: 1 }];
}

const INDENT = '    ';
