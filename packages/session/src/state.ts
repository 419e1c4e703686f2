import type { HeaderList } from '@keymux/frames';
import type { Accounts } from './budgets.ts';
import type { SessionConfig } from './config.ts';
import type { SessionEvent } from './events.ts';
import { ReceiveWindow, SendWindow } from './flow-window.ts';
import type { KeyPort, RunningHash } from './key-port.ts';
import { Direction, type Stream } from './stream.ts';

export type Role = 'client' | 'server';

/** What the receiving and the sending half of a session share. */
export interface SessionState {
  readonly role: Role;
  readonly config: SessionConfig;
  readonly keys: KeyPort | undefined;
  readonly createHash: (() => RunningHash) | undefined;
  readonly accounts: Accounts;
  readonly streams: Map<number, Stream>;
  readonly emit: (event: SessionEvent) => void;
  /** Initial window of new streams towards the peer, from its SETTINGS. */
  peerStreamWindow: number;
  /** The smaller of both sides' switch limits. */
  switchLimit: number;
  /** Streams the peer has open. */
  peerStreams: number;
  /** Streams we have open, and the most the peer allows. */
  ourStreams: number;
  peerMaxStreams: number;
  /** Highest ID the peer has opened. */
  lastPeerStreamId: number;
  peerGoneAway: boolean;
  /** We have sent GOAWAY and take no more streams. */
  draining: boolean;
  now: number;
}

/** Makes the record of a new stream and enters it. */
export function addStream(
  state: SessionState,
  fields: Pick<Stream, 'id' | 'ours' | 'priority' | 'payloadOutside' | 'openedUnder' | 'syn'>,
): Stream {
  const stream: Stream = {
    ...fields,
    in: new Direction(),
    out: new Direction(),
    sendWindow: new SendWindow(state.peerStreamWindow),
    receiveWindow: new ReceiveWindow(state.config.streamWindow, state.config.streamWindow),
    replied: false,
    outbox: [],
    started: false,
    queued: false,
    next: undefined,
  };
  state.streams.set(stream.id, stream);
  if (stream.ours) state.ourStreams++;
  else state.peerStreams++;
  return stream;
}

/** Binds a direction to a key for good, or until KEY_SWITCH. */
export function bindDirection(
  state: SessionState,
  stream: Stream,
  direction: Direction,
  keyId: number,
): void {
  if (direction.keyId > 0) state.keys?.unbind(direction.keyId, stream.id);
  direction.keyId = keyId;
  if (keyId > 0) state.keys?.bind(keyId, stream.id);
}

/** Forgets a stream and tells the user that it is over. */
export function removeStream(state: SessionState, stream: Stream): void {
  if (!state.streams.delete(stream.id)) return;
  if (stream.ours) state.ourStreams--;
  else state.peerStreams--;
  for (const direction of [stream.in, stream.out]) {
    if (direction.keyId > 0) state.keys?.unbind(direction.keyId, stream.id);
    direction.ended = true;
  }
  stream.outbox.length = 0;
  state.emit({ type: 'closed', id: stream.id });
}

/** Forgets a stream whose directions have both ended properly. */
export function removeIfOver(state: SessionState, stream: Stream): void {
  if (stream.in.ended && stream.out.ended) removeStream(state, stream);
}

/** The first value of a header. */
export function header(headers: HeaderList, name: string): string | undefined {
  return headers.find(([key]) => key === name)?.[1];
}
