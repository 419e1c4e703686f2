import type { HeaderList } from '@keymux/frames';
import type { ReceiveWindow, SendWindow } from './flow-window.ts';
import type { RunningHash } from './key-port.ts';

/** A direction that has not carried a frame yet. */
export const UNBOUND = -1;
/** A direction whose frames travel outside envelopes. */
export const CLEAR = 0;

/** One direction of a stream: what it is bound to, and the record that KEY_SWITCH is checked against (spec 4.4, 4.5). */
export class Direction {
  /** Key ID of the envelopes its frames travel in; CLEAR, or UNBOUND before its first frame. */
  keyId = UNBOUND;
  generation = 0;
  /** Frames so far, clear or sealed. */
  frames = 0;
  /** Payload bytes so far. */
  payload = 0;
  /** Clear payload bytes so far. */
  clearPayload = 0;
  ended = false;
  /** Over all clear frames of this direction, while it can still be switched. */
  clearHash: RunningHash | undefined;

  /** Takes note of bytes of a clear frame. */
  hash(bytes: Uint8Array, createHash: (() => RunningHash) | undefined): void {
    if (createHash === undefined) return;
    this.clearHash ??= createHash();
    this.clearHash.update(bytes);
  }
}

/** What waits to be sent on a stream after its SYN_STREAM or SYN_REPLY, in order. */
export type OutboxItem =
  | { readonly type: 'data'; readonly bytes: Uint8Array }
  | { readonly type: 'headers'; readonly headers: HeaderList }
  | { readonly type: 'switch'; readonly keyId: number }
  | { readonly type: 'end' };

/**
 * One stream.
 *
 *            open (SYN_STREAM)                 in.ended and out.ended
 *   idle --------------------------> open ------------------------------> closed (forgotten)
 *                                     |  RST_STREAM, either way             ^
 *                                     +-------------------------------------+
 */
export interface Stream {
  readonly id: number;
  /** Whether this side sent the SYN_STREAM. */
  readonly ours: boolean;
  readonly priority: number;
  readonly payloadOutside: boolean;
  readonly in: Direction;
  readonly out: Direction;
  readonly sendWindow: SendWindow;
  readonly receiveWindow: ReceiveWindow;
  /** Whether SYN_REPLY was sent (theirs) or received (ours). */
  replied: boolean;
  /** Key ID of the SYN_STREAM; CLEAR if it came in the clear. */
  openedUnder: number;
  /** The SYN_STREAM frame itself, while a KEY_SWITCH that answers it may still come. */
  syn: Uint8Array | undefined;
  readonly outbox: OutboxItem[];
  /** Whether SYN_STREAM (ours) or SYN_REPLY (theirs) is on the wire, so that the outbox may follow. */
  started: boolean;
  /** Position in the send queue. */
  queued: boolean;
  next: Stream | undefined;
}
