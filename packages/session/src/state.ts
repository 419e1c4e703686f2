import type { StateReader, StateWriter } from '@keymux/frames';
import type { Accounts } from './budgets.ts';
import type { SessionConfig } from './config.ts';
import { CLEAR } from './control-binding.ts';
import { type Direction, UNBOUND } from './direction.ts';
import type { SessionEvent } from './events.ts';
import type { KeyPort, RunningHash } from './key-port.ts';
import type { ResumeHash } from './saved-hash.ts';
import { leaveQueue } from './send-queue.ts';
import type { SessionWindows } from './session-windows.ts';
import { Stream, type StreamFields } from './stream.ts';
import type { WindowGrowth } from './window-growth.ts';

export type Role = 'client' | 'server';

/** What the receiving and the sending half of a session share. */
export interface SessionState {
  readonly role: Role;
  readonly config: SessionConfig;
  readonly keys: KeyPort | undefined;
  readonly createHash: (() => RunningHash) | undefined;
  readonly accounts: Accounts;
  readonly streams: Map<number, Stream>;
  readonly windows: SessionWindows;
  /** Undefined if the windows of streams stay as they are. */
  readonly growth: WindowGrowth | undefined;
  /** The carrier is the link of a front, and this side one of the hosts behind it (spec 10.5). */
  readonly link: boolean;
  /** There is a front between the sides, so each key has windows and an end of its own (spec 10.4). */
  fronted: boolean;
  /** Host keys that this side can seal with. */
  readonly hostKeys: Set<number>;
  /** Keys under which the peer takes no more streams, with the last that it has taken. */
  readonly leavingKeys: Map<number, number>;
  readonly emit: (event: SessionEvent) => void;
  /** Deals with what the keys report. Wherever they may have moved, before the next frame is handled or sent. */
  readonly pollKeys: () => void;
  /** Initial window of new streams towards the peer, from its SETTINGS, in bytes. */
  peerStreamWindow: number;
  /** The smaller of both sides' switch limits, in bytes of clear payload (spec 4.5). */
  switchLimit: number;
  /** The peer's streams that are open, or over and still held (spec 2.4). */
  peerStreams: number;
  /** Those of them that are over: ID to the bytes of their headers. */
  readonly heldStreams: Map<number, number>;
  /** Bytes of the headers of all streams, those that are held included (spec 7.3). */
  headerBytes: number;
  /** Payload that waits to be sent on the peer's streams, in bytes. */
  waitingPayload: number;
  /** Streams we have open, and the most the peer allows. */
  ourStreams: number;
  peerMaxStreams: number;
  /** Highest ID the peer has opened. */
  lastPeerStreamId: number;
  /** Keys under which no stream is opened any more, and nothing switched to: they are retired when nothing needs them. */
  readonly closingKeys: Set<number>;
  /** Keys that we have retired (spec 3.3). */
  readonly retiredKeys: Set<number>;
  /** The peer takes no more streams: it said so, or the carrier has ended. */
  peerGoneAway: boolean;
  /** We have sent GOAWAY and take no more streams. */
  draining: boolean;
  /** Received payload of open streams that the user has not consumed, in bytes. */
  unconsumed: number;
  /** The last time we were told, in milliseconds. */
  now: number;
}

/** Makes the record of a new stream and enters it. */
export function addStream(state: SessionState, fields: StreamFields): Stream {
  const { streamWindow, peerFlowControl } = state.config;
  const stream = new Stream(fields, state.peerStreamWindow, streamWindow, peerFlowControl !== 'none');
  enterStream(state, stream);
  return stream;
}

/** Binds a direction to a key for good, or until KEY_SWITCH. */
export function bindDirection(
  state: SessionState,
  stream: Stream,
  direction: Direction,
  keyId: number,
): void {
  const before = direction.keyId === UNBOUND ? stream.openedUnder : direction.keyId;
  direction.keyId = keyId;
  if (keyId > CLEAR) state.keys?.bind(keyId, stream.id);
  if (before !== keyId) unbindUnused(state, stream, before);
}

/** Whether a frame for a stream that is open may still have to travel under the key, in either direction. */
export function needsKey(state: SessionState, keyId: number): boolean {
  for (const stream of state.streams.values()) if (streamNeedsKey(stream, keyId)) return true;
  return false;
}

function streamNeedsKey(stream: Stream, keyId: number): boolean {
  const bound = [stream.in.keyId, stream.out.keyId];
  const answer = bound.includes(UNBOUND) ? stream.openedUnder : UNBOUND;
  const queued = stream.queuedSwitches > 0 ? stream.queuedKey : UNBOUND;
  return [...bound, answer, queued].includes(keyId);
}

/** Forgets a stream and tells the user that it is over. */
export function removeStream(state: SessionState, stream: Stream): void {
  if (!state.streams.delete(stream.id)) return;
  state.unconsumed -= stream.unconsumed;
  state.growth?.ended(stream.id, stream.receiveWindow);
  if (stream.ours) state.ourStreams--;
  else state.waitingPayload -= stream.queuedPayload;
  // Whose answer is complete is handled. Of others that is not known, and they could be made without end (CVE-2023-44487).
  if (stream.held && !(stream.finished && stream.out.ended)) {
    state.heldStreams.set(stream.id, stream.headerBytes);
  } else {
    state.headerBytes -= stream.headerBytes;
    if (!stream.ours) state.peerStreams--;
  }
  leaveQueue(stream);
  stream.outbox.clear();
  const bound = [stream.receivesUnder, stream.sendsUnder];
  for (const direction of [stream.in, stream.out]) {
    direction.ended = true;
    direction.keyId = CLEAR;
  }
  for (const keyId of bound) unbindUnused(state, stream, keyId);
  state.emit({ type: 'closed', id: stream.id });
}

/** Lets go of a stream that was held: it no longer counts once it is over (spec 2.4). */
export function letGo(state: SessionState, id: number): void {
  const stream = state.streams.get(id);
  if (stream !== undefined) stream.held = false;
  const headerBytes = state.heldStreams.get(id);
  if (headerBytes === undefined) return;
  state.heldStreams.delete(id);
  state.headerBytes -= headerBytes;
  state.peerStreams--;
}

/** Forgets a stream whose directions have both ended properly. */
export function removeIfOver(state: SessionState, stream: Stream): void {
  if (stream.in.ended && stream.out.ended) removeStream(state, stream);
}

/**
 * A key knows the streams bound to it, not their directions: it is let go when neither uses it. An answer that has not begun uses the key of its
 * question: it would go out under it, and has to prove it if it goes out under another one (spec 4.5).
 */
function unbindUnused(state: SessionState, stream: Stream, keyId: number): void {
  if (keyId <= CLEAR || stream.receivesUnder === keyId || stream.sendsUnder === keyId) return;
  state.keys?.unbind(keyId, stream.id);
}

/** Writes what is not in the configuration, nor in the keys. */
export function saveState(writer: StateWriter, state: SessionState): void {
  state.accounts.save(writer, state.now);
  state.windows.save(writer);
  writer.flag(state.fronted);
  writer.list(state.hostKeys, (keyId) => writer.u8(keyId));
  writer.list(state.leavingKeys, ([keyId, lastGoodId]) => {
    writer.u8(keyId);
    writer.u32(lastGoodId);
  });
  writer.u32(state.peerStreamWindow);
  writer.u32(state.switchLimit);
  writer.f64(state.peerMaxStreams);
  writer.u32(state.lastPeerStreamId);
  writer.list(state.closingKeys, (keyId) => writer.u8(keyId));
  writer.list(state.retiredKeys, (keyId) => writer.u8(keyId));
  writer.flag(state.peerGoneAway);
  writer.flag(state.draining);
  writer.list(state.streams.values(), (stream) => stream.save(writer));
}

/** Sums over the streams are made again. Those that are over and held are not among them: who handles them stays with the giver. */
export function loadState(reader: StateReader, state: SessionState, resume: ResumeHash | undefined): void {
  const { streamWindow, peerFlowControl } = state.config;
  state.accounts.load(reader, state.now);
  state.windows.load(reader);
  state.fronted = reader.flag();
  reader.list(() => state.hostKeys.add(reader.u8()));
  reader.list(() => state.leavingKeys.set(reader.u8(), reader.u32()));
  state.peerStreamWindow = reader.u32();
  state.switchLimit = reader.u32();
  state.peerMaxStreams = reader.f64();
  state.lastPeerStreamId = reader.u32();
  reader.list(() => state.closingKeys.add(reader.u8()));
  reader.list(() => state.retiredKeys.add(reader.u8()));
  state.peerGoneAway = reader.flag();
  state.draining = reader.flag();
  reader.list(() => {
    const stream = Stream.load(reader, resume, streamWindow, peerFlowControl !== 'none');
    if (state.streams.has(stream.id)) throw reader.malformed('a stream is there twice');
    enterStream(state, stream);
    state.growth?.adopt(stream.receiveWindow);
    state.unconsumed += stream.unconsumed;
    state.headerBytes += stream.headerBytes;
    if (!stream.ours) state.waitingPayload += stream.queuedPayload;
  });
}

/** Finds the streams that something saved speaks of. */
export function streamFinder(state: SessionState, reader: StateReader): (id: number) => Stream {
  return (id) => {
    const stream = state.streams.get(id);
    if (stream === undefined) throw reader.malformed('something waits for a stream that is not open');
    return stream;
  };
}

function enterStream(state: SessionState, stream: Stream): void {
  state.streams.set(stream.id, stream);
  if (stream.ours) state.ourStreams++;
  else state.peerStreams++;
}
