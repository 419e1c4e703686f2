import type { StateReader, StateWriter } from '@keymux/frames';
import { CLEAR } from './control-binding.ts';
import { Direction, loadBinding, type SwitchRules, saveBinding, UNBOUND } from './direction.ts';
import { Fifo } from './fifo.ts';
import { ReceiveWindow, SendWindow } from './flow-window.ts';
import type { KeyPort, RunningHash } from './key-port.ts';
import type { ResumeHash } from './saved-hash.ts';
import type { QueueLink } from './send-queue.ts';
import { type KeyGeneration, proveRecord, type SwitchRecord } from './switch-record.ts';

/** What waits to be sent on a stream after its SYN_STREAM or SYN_REPLY, in order. */
export type OutboxItem = OutboxData | OutboxHeaders | OutboxSwitch | OutboxEnd;

export interface OutboxData {
  readonly type: 'data';
  /** What of it has not been sent. */
  rest: Uint8Array;
}

interface OutboxHeaders {
  readonly type: 'headers';
  /** The plain header block. */
  readonly block: Uint8Array;
}

interface OutboxSwitch {
  readonly type: 'switch';
  readonly keyId: number;
}

interface OutboxEnd {
  readonly type: 'end';
}

/** What a KEY_SWITCH that answers a stream has to know of its SYN_STREAM (spec 4.5). */
export interface SynRecord {
  /** The whole frame. */
  readonly bytes: Uint8Array;
  /** Of the envelope that it came in; 0 outside. */
  readonly generation: number;
}

/** What of the session a KEY_SWITCH is made from. */
interface SwitchSession {
  readonly role: 'client' | 'server';
  readonly keys: KeyPort | undefined;
  readonly createHash: (() => RunningHash) | undefined;
}

/** What is known of a stream from its start. */
export interface StreamFields {
  readonly id: number;
  /** Whether this side sent the SYN_STREAM. */
  readonly ours: boolean;
  /** 0 (highest) to 7. */
  readonly priority: number;
  /** DATA travels outside envelopes (spec 4.6). */
  readonly payloadOutside: boolean;
  /** Key ID of the SYN_STREAM; CLEAR if it came in the clear. */
  readonly openedUnder: number;
  /** Of a peer's stream, and only if there are keys. */
  readonly syn: SynRecord | undefined;
}

/**
 * One stream.
 *
 *            open (SYN_STREAM)                 in.ended and out.ended
 *   idle --------------------------> open ------------------------------> closed (forgotten)
 *                                     |  RST_STREAM, either way             ^
 *                                     +-------------------------------------+
 */
export class Stream implements QueueLink {
  readonly id: number;
  readonly ours: boolean;
  readonly priority: number;
  readonly payloadOutside: boolean;
  readonly openedUnder: number;
  readonly in = new Direction();
  readonly out = new Direction();
  readonly sendWindow: SendWindow;
  readonly receiveWindow: ReceiveWindow;
  readonly outbox = new Fifo<OutboxItem>();
  /** The peer's headers for it, in bytes as they are counted (spec 7.3). */
  headerBytes = 0;
  /** Of the peer: somebody handles it, who will say when that is over. */
  held = false;
  /** HEADERS of the peer that cost it nothing so far. */
  freeHeaders = 0;
  /** Payload that was handed out and not consumed, in bytes. */
  unconsumed = 0;
  /** Payload bytes in the outbox. */
  queuedPayload = 0;
  /** Key switches in the outbox. */
  queuedSwitches = 0;
  /** Where the last of them leads. */
  queuedKey = UNBOUND;
  /** Of ours once it is sent, and only if there are keys. */
  syn: SynRecord | undefined;
  /** SYN_REPLY was received (ours), or the command to send it was given (theirs). */
  replied = false;
  /** SYN_STREAM (ours) or SYN_REPLY (theirs) is on the wire, so that the outbox may follow. */
  started = false;
  /** The user has ended our direction; what is queued still goes. */
  finished = false;
  /** Neighbours in a send queue. */
  previous: QueueLink | undefined;
  next: QueueLink | undefined;

  /**
   * @param sendWindow what the peer lets us send on a new stream, in bytes
   * @param receiveWindow what we let the peer send
   * @param windows whether the peer knows them
   */
  constructor(fields: StreamFields, sendWindow: number, receiveWindow: number, windows = true) {
    this.id = fields.id;
    this.ours = fields.ours;
    this.priority = fields.priority;
    this.payloadOutside = fields.payloadOutside;
    this.openedUnder = fields.openedUnder;
    this.syn = fields.syn;
    this.sendWindow = new SendWindow(sendWindow, windows);
    this.receiveWindow = new ReceiveWindow(receiveWindow, receiveWindow, windows);
  }

  /** The key that a frame of ours for it travels under now, CLEAR for none. */
  get sendsUnder(): number {
    return this.out.keyId < CLEAR ? this.openedUnder : this.out.keyId;
  }

  /** The key that a frame of the peer for it comes under, without a switch. */
  get receivesUnder(): number {
    return this.in.keyId < CLEAR ? this.openedUnder : this.in.keyId;
  }

  /**
   * Whether a direction can be switched to another key, once `more` bytes of payload have gone (spec 4.5). With payload outside, only
   * the answer can be, before its first frame: what is not hashed cannot be vouched for.
   */
  canSwitch(direction: Direction, rules: SwitchRules, more = 0): boolean {
    if (!this.payloadOutside) return direction.canSwitch(rules, more);
    return direction.keyId === UNBOUND && (direction === this.in) === this.ours;
  }

  /**
   * What a KEY_SWITCH that moves `direction` has to say, with the proof of the key before (spec 4.5). Undefined if this side does not hold
   * that key, or none at all.
   */
  switchRecord(direction: Direction, to: KeyGeneration, session: SwitchSession): SwitchRecord | undefined {
    const { role, keys, createHash } = session;
    if (keys === undefined || createHash === undefined) return undefined;
    const answered = (direction === this.in) === this.ours ? this.syn : undefined;
    const record = direction.switchRecord(this.id, answered?.bytes, createHash);
    const sender = (direction === this.out) === (role === 'client') ? 'client' : 'server';
    return proveRecord(keys, record, { sender, streamId: this.id, to }, this.#keyBefore(direction));
  }

  /** All but its place in a queue. */
  save(writer: StateWriter): void {
    writer.u32(this.id);
    writer.flag(this.ours);
    writer.u8(this.priority);
    writer.flag(this.payloadOutside);
    writer.u8(this.openedUnder);
    writer.optional(this.syn, ({ bytes, generation }) => {
      writer.bytes(bytes);
      writer.u8(generation);
    });
    this.in.save(writer);
    this.out.save(writer);
    this.sendWindow.save(writer);
    this.receiveWindow.save(writer);
    writer.list(this.outbox, (item) => saveItem(writer, item));
    writer.u64(this.headerBytes);
    writer.u8(this.freeHeaders);
    writer.u64(this.unconsumed);
    writer.u64(this.queuedPayload);
    writer.u32(this.queuedSwitches);
    saveBinding(writer, this.queuedKey);
    writer.flag(this.replied);
    writer.flag(this.started);
    writer.flag(this.finished);
  }

  /**
   * @param streamWindow the size of its receive window
   * @param windows whether the peer knows windows
   */
  static load(
    reader: StateReader,
    resume: ResumeHash | undefined,
    streamWindow: number,
    windows: boolean,
  ): Stream {
    const fields = {
      id: reader.u32(),
      ours: reader.flag(),
      priority: reader.u8(7),
      payloadOutside: reader.flag(),
      openedUnder: reader.u8(),
      syn: reader.optional(() => ({ bytes: reader.bytes(), generation: reader.u8() })),
    };
    const stream = new Stream(fields, 0, streamWindow, windows);
    stream.in.load(reader, resume);
    stream.out.load(reader, resume);
    stream.sendWindow.load(reader);
    stream.receiveWindow.load(reader);
    reader.list(() => stream.outbox.push(loadItem(reader)));
    stream.headerBytes = reader.u64();
    stream.freeHeaders = reader.u8();
    stream.unconsumed = reader.u64();
    stream.queuedPayload = reader.u64();
    stream.queuedSwitches = reader.u32();
    stream.queuedKey = loadBinding(reader);
    stream.replied = reader.flag();
    stream.started = reader.flag();
    stream.finished = reader.flag();
    return stream;
  }

  /** Where the last frame of `direction` travelled or, if it is an answer that has not begun, the question; undefined for the clear. */
  #keyBefore(direction: Direction): KeyGeneration | undefined {
    const { keyId, generation } =
      direction.keyId === UNBOUND
        ? { keyId: this.openedUnder, generation: this.syn?.generation ?? 0 }
        : direction;
    return keyId > CLEAR ? { keyId, generation } : undefined;
  }
}

/** As they are saved, in the order of their numbers (spec 13.6). */
const ITEM_TYPES: readonly OutboxItem['type'][] = ['data', 'headers', 'switch', 'end'];

function saveItem(writer: StateWriter, item: OutboxItem): void {
  writer.u8(ITEM_TYPES.indexOf(item.type));
  if (item.type === 'data') writer.bytes(item.rest);
  else if (item.type === 'headers') writer.bytes(item.block);
  else if (item.type === 'switch') writer.u8(item.keyId);
}

function loadItem(reader: StateReader): OutboxItem {
  const type = ITEM_TYPES[reader.u8(ITEM_TYPES.length - 1)] as OutboxItem['type'];
  switch (type) {
    case 'data':
      return { type, rest: reader.bytes() };
    case 'headers':
      return { type, block: reader.bytes() };
    case 'switch':
      return { type, keyId: reader.u8() };
    case 'end':
      return { type };
  }
}
