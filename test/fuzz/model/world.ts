import type { KeyLogEntry } from '@keymux/keys';
import { cut, pick } from '../checks.ts';
import { End } from './pair.ts';
import type { Play } from './play.ts';

/** What one side has sent on a stream. */
export interface Flow {
  sent: Buffer;
  ended: boolean;
  /** Something was written and `drain` has not come. */
  undrained: boolean;
  /** The key that the receiver has been told of; 0 for none. */
  key: number;
  /** Whether the direction has been sealed from its first frame on. */
  sealed: boolean;
}

export interface Stream {
  readonly id: number;
  readonly opener: End;
  readonly outside: boolean;
  readonly flows: Map<End, Flow>;
  accepted: boolean;
  replied: boolean;
  reset: boolean;
}

/** What `sender` has sent on the stream. */
export function flowOf(stream: Stream, sender: End): Flow {
  return stream.flows.get(sender) as Flow;
}

/** Both sides, the carrier between them, and what is known of their streams and keys. */
export class World {
  readonly client: End;
  readonly server: End;
  readonly streams: Stream[] = [];
  /** Keys that a side can seal with, as it has heard. */
  readonly usable = new Map<End, Set<number>>();
  /** Sides that have heard what the peer can negotiate. */
  readonly announced = new Set<End>();
  /** Whether there is somebody on the way. */
  readonly attacked: boolean;
  /** A session has ended with an error, as it may under attack. */
  failed = false;

  constructor({ keys, window, padding }: Play, attacked: boolean) {
    const size = 65_536 + (Math.abs(window) % 100_000);
    const config = { streamWindow: size, sessionWindow: size, switchLimit: 65_536, maxConcurrentStreams: 8 };
    const keyLog: KeyLogEntry[] = [];
    this.client = new End('client', keys, config, keyLog);
    this.server = new End('server', keys, { ...config, padding: padding ? 'padme' : 'none' }, keyLog);
    this.attacked = attacked;
    for (const end of this.ends) this.usable.set(end, new Set());
  }

  get ends(): readonly [End, End] {
    return [this.client, this.server];
  }

  peerOf(end: End): End {
    return end === this.client ? this.server : this.client;
  }

  /** The peer reads at most `most` bytes of what is on its way, unless it has to wait for a key. Returns how many it has read. */
  deliver(from: End, most: number, cuts: readonly number[]): number {
    const to = this.peerOf(from);
    const bytes = from.flight.subarray(0, Math.min(most, from.flight.length));
    let taken = 0;
    for (const piece of cut(bytes, cuts)) {
      if (!to.session.wantsInput) break;
      taken += piece.length;
      if (!this.attacked) to.ledger.delivered(piece);
      to.session.receive(piece, 0);
    }
    from.flight = from.flight.subarray(taken);
    return taken;
  }

  /** One of the keys that the side can seal with, by any number; 0 is none. */
  keyOf(end: End, index: number): number {
    return pick([0, ...(this.usable.get(end) ?? [])], index) as number;
  }

  /** Streams that the side can send on. */
  writable(end: End): Stream[] {
    return this.streams.filter(
      (stream) =>
        !stream.reset &&
        !flowOf(stream, end).ended &&
        (stream.opener === end || (stream.accepted && stream.replied)),
    );
  }
}
