import type { Socket } from 'node:net';
import type { MuxSession } from './mux-session.ts';

/**
 * A session with what belongs to it, as whoever passes it to another process sees it (spec 13.9). Sockets go ahead, while everything goes on; then, in one turn,
 * `handOver`.
 */
export interface Movable {
  /** Who can take it: what `handOver` gives is for the same kind of server. */
  readonly kind: string;
  /** All sockets that have to go along, as of now. */
  readonly sockets: readonly Socket[];
  /** Resolves when nothing stands in the way, which may be again a turn later. Rejects if the session ends, or with the signal's reason. */
  ready(signal: AbortSignal): Promise<void>;
  /**
   * Gives it up: what is returned is its state, which the taker needs and nobody else may see. `placeOf` says as which one a socket went ahead.
   * Throws UsageError `ERR_KEYMUX_HAND_OVER` if something stands in the way; then all goes on.
   */
  handOver(name: Uint8Array, placeOf: (socket: Socket) => number): Uint8Array;
  /** It is not handed over after all. */
  stay(): void;
}

/** What has come from another process. */
export interface Moved {
  /** Wiped by whoever reads it. */
  readonly state: Uint8Array;
  /** The socket that went ahead as this one; each can be asked for once, and those that nobody asks for are closed. Throws if there is none. */
  socket(place: number): Socket;
}

/** A session alone, for a taker whose SessionServer goes on with it: its streams, as far as they were told of, are over for all but the taker. */
export class MovableSession implements Movable {
  readonly kind = 'session';
  readonly #session: MuxSession;

  constructor(session: MuxSession) {
    this.#session = session;
  }

  get sockets(): readonly Socket[] {
    return [this.#session.carrier as Socket];
  }

  ready(signal: AbortSignal): Promise<void> {
    return this.#session.movable(signal);
  }

  handOver(name: Uint8Array): Uint8Array {
    return this.#session.handOver(name);
  }

  stay(): void {
    this.#session.tellStreams();
  }
}
