import type { Packet } from './capture-file.ts';
import { CarrierReader, type Side } from './carrier-reader.ts';
import type { TraceRecord } from './record.ts';
import { type Segment, segmentOf } from './segment.ts';
import { SessionTrace, type TraceOptions } from './session-trace.ts';
import { TcpStream } from './tcp-stream.ts';

/** A frame and the connection it was on. */
export interface CapturedRecord extends TraceRecord {
  /** Counts the connections of the capture that have sessions, from 1. */
  readonly connection: number;
  /** `address:port` of each side. */
  readonly client: string;
  readonly server: string;
}

/** Connections at a time; more are a scan, not sessions to look at. */
const MAX_CONNECTIONS = 10_000;

/** Finds the sessions in the packets of a capture and yields their frames in the order in which they were complete. */
export async function* traceCapture(
  packets: AsyncIterable<Packet>,
  options: TraceOptions = {},
): AsyncGenerator<CapturedRecord> {
  const connections = new Map<string, Connection>();
  const numbers = { last: 0 };
  for await (const packet of packets) {
    const segment = segmentOf(packet);
    if (segment === undefined) continue;
    const { from, to, syn, ack } = segment;
    if (syn && !ack && connections.size < MAX_CONNECTIONS)
      connections.set(`${from} ${to}`, new Connection(from, to, numbers, options));
    const forward = connections.get(`${from} ${to}`);
    const connection = forward ?? connections.get(`${to} ${from}`);
    if (connection === undefined) continue;
    yield* connection.receive(forward === undefined ? 'server' : 'client', segment);
    // A capture that runs for long sees more connections than it can keep.
    if (connection.over) connections.delete(forward === undefined ? `${to} ${from}` : `${from} ${to}`);
  }
}

class Connection {
  readonly #client: string;
  readonly #server: string;
  readonly #numbers: { last: number };
  readonly #streams = { client: new TcpStream(), server: new TcpStream() };
  readonly #carrier = new CarrierReader();
  readonly #session: SessionTrace;
  #number = 0;
  #broken = false;
  #reset = false;
  readonly #ended = new Set<Side>();

  constructor(client: string, server: string, numbers: { last: number }, options: TraceOptions) {
    this.#client = client;
    this.#server = server;
    this.#numbers = numbers;
    this.#session = new SessionTrace(options);
  }

  /** Whether nothing more can come. */
  get over(): boolean {
    return this.#reset || this.#ended.size === 2;
  }

  *receive(side: Side, segment: Segment): Generator<CapturedRecord> {
    const { syn, fin, reset, sequence, payload, time } = segment;
    this.#reset ||= reset;
    if (fin) this.#ended.add(side);
    if (syn) this.#streams[side].begin(sequence + 1);
    if (this.#broken) return;
    try {
      for (const bytes of this.#streams[side].push(syn ? sequence + 1 : sequence, payload))
        for (const piece of this.#carrier.receive(side, bytes))
          for (const record of this.#session.receive(piece.side, piece.bytes, time))
            yield this.#numbered(record);
    } catch (error) {
      this.#broken = true;
      const { message } = error as Error;
      yield this.#numbered({ time, from: side, type: 'ERROR', bytes: 0, fields: { message } });
    }
  }

  #numbered(record: TraceRecord): CapturedRecord {
    this.#number ||= ++this.#numbers.last;
    return { connection: this.#number, client: this.#client, server: this.#server, ...record };
  }
}
