import { type HeaderList, MAX_STREAM_ID, type StateReader, type StateWriter } from '@keymux/frames';
import { CLEAR } from './control-binding.ts';
import { UsageError } from './errors.ts';
import { encodeHeaders } from './header-encoding.ts';
import type { SendKey } from './key-port.ts';
import { keepsLevel } from './levels.ts';
import type { Sender } from './sender.ts';
import { addStream, bindDirection, type SessionState } from './state.ts';
import type { Stream } from './stream.ts';
import { enlarge } from './window-growth.ts';

export interface OpenOptions {
  /** The stream has no payload: our direction ends with its headers. */
  readonly fin?: boolean;
  /** 0 (highest) to 7; 3 by default. */
  readonly priority?: number;
  /** The stream that this one belongs to. */
  readonly associatedId?: number;
  /** The peer is not to answer. */
  readonly unidirectional?: boolean;
  /** The key to seal the stream with; 0, the default, sends it in the clear. */
  readonly keyId?: number;
  /** DATA travels outside envelopes because what runs inside protects itself (spec 4.6). */
  readonly payloadOutside?: boolean;
}

export interface ReplyOptions {
  /** The answer has no payload. */
  readonly fin?: boolean;
  /** Seals the answer with another key than the stream was opened with. */
  readonly keyId?: number | undefined;
}

/** What the user may ask for streams. Everything is checked before anything is changed; all refusals are UsageErrors. */
export class StreamCommands {
  readonly #state: SessionState;
  readonly #sender: Sender;
  #nextId: number;

  /** @param firstId the ID of the first stream we open */
  constructor(state: SessionState, sender: Sender, firstId: number) {
    this.#state = state;
    this.#sender = sender;
    this.#nextId = firstId;
  }

  /** Why no stream can be opened now. */
  get obstacle(): UsageError | undefined {
    const { peerGoneAway, draining, ourStreams, peerMaxStreams, link } = this.#state;
    if (link) return new UsageError('ERR_KEYMUX_FRONT', 'behind a front only the client opens streams');
    if (peerGoneAway || draining) {
      return new UsageError(
        'ERR_KEYMUX_GOING_AWAY',
        'the session takes no new streams; open another session',
      );
    }
    if (this.#nextId > MAX_STREAM_ID) {
      return new UsageError('ERR_KEYMUX_IDS_USED_UP', 'all stream IDs are used up; open another session');
    }
    if (ourStreams < peerMaxStreams) return undefined;
    return new UsageError(
      'ERR_KEYMUX_TOO_MANY_STREAMS',
      `the peer allows ${peerMaxStreams} streams at a time`,
    );
  }

  open(headers: HeaderList, options: OpenOptions): number {
    const { obstacle } = this;
    if (obstacle !== undefined) throw obstacle;
    const { keyId = CLEAR, payloadOutside = false, fin = false, unidirectional = false } = options;
    const { priority = 3, associatedId = 0 } = options;
    requireRange('priority', priority, 0, 7);
    requireRange('associatedId', associatedId, 0, MAX_STREAM_ID);
    this.#requireSender(keyId);
    if (payloadOutside && (keyId === CLEAR || fin)) {
      throw new UsageError('ERR_KEYMUX_NO_KEY', 'payloadOutside needs a key for the stream, and a payload');
    }
    this.#refuseBehindFront(keyId, payloadOutside);
    const block = encodeHeaders(headers);

    const id = this.#nextId;
    this.#nextId += 2;
    const syn = undefined; // there is none before it is sent
    const stream = addStream(this.#state, {
      id,
      ours: true,
      priority,
      payloadOutside,
      openedUnder: keyId,
      syn,
    });
    bindDirection(this.#state, stream, stream.out, keyId);
    stream.in.ended = unidirectional;
    stream.finished = fin;
    this.#sender.open(stream, { type: 'syn-stream', block, fin, keyId, unidirectional, associatedId });
    enlarge(this.#state, this.#sender, stream);
    return id;
  }

  reply(id: number, headers: HeaderList, options: ReplyOptions): void {
    const stream = this.#live(id);
    const keyId = options.keyId ?? stream.openedUnder;
    const fin = options.fin ?? false;
    if (stream.ours || stream.replied) {
      const fault = stream.ours ? 'is our own' : 'was answered already';
      throw new UsageError('ERR_KEYMUX_REPLIED', `stream ${id} ${fault}`);
    }
    if (fin && (stream.finished || stream.outbox.length > 0 || stream.payloadOutside)) {
      throw new UsageError(
        'ERR_KEYMUX_FIN',
        `the answer to stream ${id} cannot be its end: more is queued, or it ends otherwise`,
      );
    }
    if (keyId === CLEAR && stream.openedUnder !== CLEAR) {
      throw new UsageError('ERR_KEYMUX_NO_KEY', `stream ${id} came sealed; its answer cannot be clear`);
    }
    // The key of the request needs no check: its run is over before anything under it is heard.
    if (keyId !== stream.openedUnder) this.#refuseLower(stream.openedUnder, this.#requireSender(keyId));
    const block = encodeHeaders(headers);

    stream.replied = true;
    stream.finished ||= fin;
    this.#sender.open(stream, {
      type: 'syn-reply',
      block,
      fin,
      keyId,
      unidirectional: false,
      associatedId: 0,
    });
    enlarge(this.#state, this.#sender, stream);
  }

  headers(id: number, headers: HeaderList): void {
    const stream = this.#writable(id);
    this.#sender.enqueue(stream, { type: 'headers', block: encodeHeaders(headers) });
  }

  send(id: number, bytes: Uint8Array): void {
    const stream = this.#writable(id);
    if (bytes.length > 0) this.#sender.enqueue(stream, { type: 'data', rest: bytes });
  }

  end(id: number): void {
    const stream = this.#writable(id);
    stream.finished = true;
    this.#sender.enqueue(stream, { type: 'end' });
  }

  switchKey(id: number, keyId: number): void {
    const stream = this.#writable(id);
    const key = this.#requireSender(keyId);
    if (key === undefined || stream.payloadOutside) {
      throw new UsageError('ERR_KEYMUX_SWITCH', `stream ${id} cannot be switched to key ${keyId}`);
    }
    if (stream.ours && key.info.early) {
      throw new UsageError(
        'ERR_KEYMUX_SWITCH',
        `key ${keyId} is early: what it seals can be a replay; wait for its next generation`,
      );
    }
    this.#refuseLower(stream.queuedSwitches > 0 ? stream.queuedKey : stream.sendsUnder, key);
    if (stream.queuedSwitches === 0 && !stream.canSwitch(stream.out, this.#state, stream.queuedPayload)) {
      throw new UsageError(
        'ERR_KEYMUX_SWITCH',
        `stream ${id} carries more than ${this.#state.switchLimit} bytes in the clear; open a new one`,
      );
    }
    stream.queuedKey = keyId;
    this.#sender.enqueue(stream, { type: 'switch', keyId });
  }

  retireKey(keyId: number): void {
    this.#requireSender(keyId);
    if (this.#sender.controlKeyId === keyId) {
      const message = `our session frames travel under key ${keyId}; negotiate another connection key first`;
      throw new UsageError('ERR_KEYMUX_KEY_NEEDED', message);
    }
    this.#state.closingKeys.add(keyId);
  }

  reset(id: number, status: number): void {
    requireRange('status', status, 1, 0xffff_ffff);
    const stream = this.#state.streams.get(id);
    if (stream !== undefined) this.#sender.reset(stream, status);
  }

  /** Returns whether the peer is told that it may send more. */
  consume(id: number, bytes: number): boolean {
    const { growth, now, streams } = this.#state;
    const stream = streams.get(id);
    if (stream === undefined) {
      growth?.consumed(id, bytes);
      return false;
    }
    const { receiveWindow } = stream;
    requireRange('bytes', bytes, 0, receiveWindow.held);
    stream.unconsumed -= bytes;
    this.#state.unconsumed -= bytes;
    if (!receiveWindow.consume(bytes) || stream.in.ended) return false;
    growth?.drained(receiveWindow, now);
    const delta = receiveWindow.tell();
    if (delta > 0) this.#sender.windowUpdate(stream, delta);
    return true;
  }

  save(writer: StateWriter): void {
    writer.u32(this.#nextId);
  }

  load(reader: StateReader): void {
    this.#nextId = reader.u32();
  }

  /** The stream, if our direction of it has not ended on the wire. */
  #live(id: number): Stream {
    const stream = this.#state.streams.get(id);
    if (stream !== undefined && !stream.out.ended) return stream;
    throw new UsageError('ERR_KEYMUX_STREAM_CLOSED', `stream ${id} is over, or our side of it has ended`);
  }

  /** The stream, if our direction of it has not been ended by the user either. */
  #writable(id: number): Stream {
    const stream = this.#live(id);
    if (!stream.finished) return stream;
    throw new UsageError('ERR_KEYMUX_STREAM_CLOSED', `our side of stream ${id} was ended`);
  }

  /** What was sealed with a key that proves this much must not go on under one that proves less; the peer would end the session. */
  #refuseLower(from: number, key: SendKey | undefined): void {
    if (key === undefined || keepsLevel(this.#state.keys, from, key.info)) return;
    throw new UsageError('ERR_KEYMUX_SWITCH', `key ${key.keyId} proves less than key ${from} does`);
  }

  /** What a session with a front cannot carry (spec 10.4). */
  #refuseBehindFront(keyId: number, payloadOutside: boolean): void {
    const { fronted, leavingKeys } = this.#state;
    if (fronted && payloadOutside) {
      throw new UsageError(
        'ERR_KEYMUX_FRONT',
        'the server is a front: it cannot tell whose payload outside envelopes is',
      );
    }
    if (leavingKeys.has(keyId)) {
      throw new UsageError(
        'ERR_KEYMUX_GOING_AWAY',
        `the host takes no new streams under key ${keyId}; negotiate another key`,
      );
    }
  }

  /** The key, which must be able to seal; undefined for the clear. */
  #requireSender(keyId: number): SendKey | undefined {
    if (keyId === CLEAR) return undefined;
    const { keys, closingKeys } = this.#state;
    const key = keys?.sender(keyId);
    if (key !== undefined && !closingKeys.has(keyId)) return key;
    if (key !== undefined) throw new UsageError('ERR_KEYMUX_NO_KEY', `key ${keyId} is being retired`);
    throw new UsageError('ERR_KEYMUX_NO_KEY', `key ${keyId} is not established for sending`);
  }
}

function requireRange(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new UsageError(
    'ERR_KEYMUX_ARGUMENT',
    `${name} is ${value}; it must be a whole number from ${min} to ${max}`,
  );
}
