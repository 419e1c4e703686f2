import type { KeyLogEntry } from '@keymux/keys';
import type { Side } from './carrier-reader.ts';
import { DirectionTrace } from './direction-trace.ts';
import type { TraceRecord } from './record.ts';

export interface TraceOptions {
  /** What opens envelopes; those of other keys stay closed. */
  readonly keyLog?: readonly KeyLogEntry[];
  /** Whether records of DATA have its payload. */
  readonly payload?: boolean;
}

/** Both directions of a session, frame by frame, for who looks on. */
export class SessionTrace {
  readonly #options: TraceOptions;
  /** By stream. */
  readonly #tunnels = new Map<number, TunnelTrace>();
  readonly #directions: Readonly<Record<Side, DirectionTrace>>;

  constructor(options: TraceOptions = {}) {
    const runs = new Set<number>();
    const inside = (from: Side, stream: number, bytes: Uint8Array, time: number) =>
      this.#inside(stream).receive(from, bytes, time);
    this.#options = options;
    this.#directions = {
      client: new DirectionTrace('client', runs, options, inside),
      server: new DirectionTrace('server', runs, options, inside),
    };
  }

  /** Takes bytes of the session that came from `from`; returns the frames that they complete. */
  receive(from: Side, bytes: Uint8Array, time: number): TraceRecord[] {
    return this.#directions[from].receive(bytes, time);
  }

  #inside(stream: number): TunnelTrace {
    const known = this.#tunnels.get(stream);
    if (known !== undefined) return known;
    const tunnel = new TunnelTrace(stream, this.#options);
    this.#tunnels.set(stream, tunnel);
    return tunnel;
  }
}

/** What runs inside a stream, if that is a session (spec 5.4). */
class TunnelTrace {
  readonly #stream: number;
  readonly #options: TraceOptions;
  #session: SessionTrace | undefined;
  #isNone = false;

  constructor(stream: number, options: TraceOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  receive(from: Side, bytes: Uint8Array, time: number): TraceRecord[] {
    if (this.#isNone || bytes.length === 0) return [];
    if (this.#session === undefined) {
      // A session begins with SETTINGS in practice, and nothing else that is tunnelled begins like that.
      this.#isNone = bytes[0] !== 0x80 || (bytes[1] ?? 3) !== 3;
      if (this.#isNone) return [];
      this.#session = new SessionTrace(this.#options);
    }
    const records = this.#session.receive(from, bytes, time);
    return records.map((record) => ({ ...record, tunnel: [this.#stream, ...(record.tunnel ?? [])] }));
  }
}
