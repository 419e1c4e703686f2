import {
  GOAWAY,
  type Goaway,
  type KeyGone,
  type KeyNego,
  type KeySwitch,
  type Ping,
  RST,
  SETTING,
  type Settings,
  type StateReader,
  type StateWriter,
  type WindowUpdate,
} from '@keymux/frames';
import { CLEAR, ControlBinding, placeOf } from './control-binding.ts';
import { flowControlError, keyFailure, overload, peerGone, protocolError } from './errors.ts';
import { dropKey, raiseKeyWindow } from './host-keys.ts';
import type { KeyInfo } from './key-port.ts';
import { keepsLevel } from './levels.ts';
import type { Sender } from './sender.ts';
import { removeStream, type SessionState } from './state.ts';
import { sameRecord } from './switch-record.ts';

/** Of KEYMUX_FRONT (spec 10.3). */
const FRONT_VERSION = 1;
/** Largest window, in bytes (spec 2.5). */
const MAX_WINDOW = 0x7fff_ffff;

/** Handles the peer's session frames, and sees that they come where they belong (spec 4.2 point 2, 4.5). */
export class ControlReceiver {
  readonly #state: SessionState;
  readonly #sender: Sender;
  readonly #binding: ControlBinding;
  /** PINGs of ours on their way: ID to when it was sent, in milliseconds. */
  readonly #pings = new Map<number, number>();
  /** The lowest that the peer has named: it may take back nothing (RFC 9113, 6.8). */
  #lastGoodId = Number.POSITIVE_INFINITY;
  /** SETTINGS have come. */
  #settled = false;

  constructor(state: SessionState, sender: Sender) {
    this.#state = state;
    this.#sender = sender;
    this.#binding = new ControlBinding(state.role === 'client' ? 'server' : 'client');
  }

  pingSent(id: number): void {
    this.#pings.set(id, this.#state.now);
  }

  session(frame: Settings | Ping | Goaway | WindowUpdate, key: KeyInfo | undefined): void {
    if (this.#state.fronted && key !== undefined) {
      this.#ofKey(frame, key);
      return;
    }
    this.#admit(key);
    switch (frame.type) {
      case 'settings':
        this.#settings(frame);
        return;
      case 'ping':
        this.#ping(frame.id);
        return;
      case 'goaway':
        this.#goaway(frame);
        return;
      case 'window-update':
        this.#windowUpdate(frame);
    }
  }

  keyNego(frame: KeyNego, bytes: Uint8Array, digestBefore: Uint8Array, key: KeyInfo | undefined): void {
    const { keys, accounts, now, pollKeys } = this.#state;
    if (!frame.retire) this.#admit(key);
    else if (key?.keyId !== frame.keyId) throw keyFailure('RETIRE outside an envelope of its key');
    else if (key.keyId === this.#binding.keyId) throw keyFailure('RETIRE of the key of session frames');
    accounts.spend('negotiations', now);
    try {
      keys?.receive(frame, bytes, digestBefore, now);
    } catch (error) {
      throw keyFailure(`a message of the run of key ${frame.keyId} was refused`, error);
    }
    pollKeys(); // an answer goes out before whatever the next frame causes
  }

  /** The front has lost the host that holds a key, or its host has ended it (spec 10.3). */
  keyGone({ keyId, status }: KeyGone): void {
    const { fronted, role, accounts, now } = this.#state;
    if (!fronted || role !== 'client') throw protocolError('KEY_GONE from a peer that is no front');
    if (!dropKey(this.#state, keyId, status)) accounts.spend('idle', now);
  }

  /** What a host says of its own key alone (spec 10.4). */
  #ofKey(frame: Settings | Ping | Goaway | WindowUpdate, key: KeyInfo): void {
    const { accounts, now, windows } = this.#state;
    if (frame.type === 'window-update') {
      accounts.spend('windowUpdates', now);
      if (!windows.send(key.keyId).grant(frame.delta)) {
        throw flowControlError('the session window of a key exceeds 2^31 - 1');
      }
      this.#sender.windowOpened();
    } else if (frame.type === 'goaway') this.#goawayOfKey(frame, key);
    else throw keyFailure(`${frame.type.toUpperCase()} under a host key`);
  }

  #goawayOfKey({ lastGoodId, status }: Goaway, { keyId }: KeyInfo): void {
    const state = this.#state;
    state.accounts.spend('idle', state.now);
    if (status !== GOAWAY.OK) {
      dropKey(state, keyId, status);
      return;
    }
    const last = Math.min(lastGoodId, state.leavingKeys.get(keyId) ?? Number.POSITIVE_INFINITY);
    state.leavingKeys.set(keyId, last);
    state.emit({ type: 'key-leaving', keyId });
    for (const stream of state.streams.values()) {
      if (!stream.ours || stream.openedUnder !== keyId || stream.id <= last) continue;
      state.emit({ type: 'reset', id: stream.id, status: RST.REFUSED_STREAM, origin: 'remote' });
      removeStream(state, stream);
    }
  }

  /** KEY_SWITCH for stream 0. `digest` is that of all that came outside envelopes before its own. */
  switchTo(frame: KeySwitch, digest: Uint8Array, key: KeyInfo | undefined): void {
    this.#state.accounts.spend('idle', this.#state.now);
    if (key === undefined || key.authority !== '' || key.early) {
      throw keyFailure('session frames switched to a key that is not a connection key');
    }
    const { keys } = this.#state;
    const record = keys && this.#binding.switchRecord(digest, key, keys);
    if (key.keyId === this.#binding.keyId || record === undefined || !sameRecord(frame, record)) {
      throw keyFailure(
        'KEY_SWITCH: session frames were lost, added or changed on the way, or their sender does not hold the key before',
      );
    }
    if (!keepsLevel(keys, this.#binding.keyId, key)) {
      throw keyFailure('session frames switched to a key that proves less');
    }
    this.#binding.moveTo(key.keyId, key.generation);
  }

  save(writer: StateWriter): void {
    const { now } = this.#state;
    this.#binding.save(writer);
    writer.list(this.#pings, ([id, sentAt]) => {
      writer.u32(id);
      writer.f64(now - sentAt);
    });
    writer.f64(this.#lastGoodId);
    writer.flag(this.#settled);
  }

  load(reader: StateReader): void {
    const { now } = this.#state;
    this.#binding.load(reader);
    reader.list(() => this.#pings.set(reader.u32(), now - reader.f64()));
    this.#lastGoodId = reader.f64();
    this.#settled = reader.flag();
  }

  /** Session frames come under the key that the peer has moved them to, and nowhere else. */
  #admit(key: KeyInfo | undefined): void {
    const keyId = key?.keyId ?? CLEAR;
    if (keyId !== this.#binding.keyId) {
      throw keyFailure(
        `a session frame ${placeOf(keyId)}; those of this peer travel ${placeOf(this.#binding.keyId)}`,
      );
    }
    this.#binding.note(key?.generation ?? 0);
  }

  #settings(frame: Settings): void {
    const state = this.#state;
    state.accounts.spend('settings', state.now);
    const entries = new Map<number, number>();
    for (const { id, value } of frame.entries) if (!entries.has(id)) entries.set(id, value);
    this.#learnFront(entries.get(SETTING.KEYMUX_FRONT));
    for (const [id, value] of entries) this.#setting(id, value);
  }

  /** Whether the server is a front is settled by its first SETTINGS (spec 10.3). */
  #learnFront(version: number | undefined): void {
    const state = this.#state;
    if (state.role !== 'client' || state.keys === undefined) return;
    if (this.#settled && version !== undefined && !state.fronted)
      throw protocolError('the server says too late that it is a front');
    if (!this.#settled) {
      if (version !== undefined && version !== FRONT_VERSION)
        throw protocolError(`the server is a front of version ${version}, not ${FRONT_VERSION}`);
      state.fronted = version !== undefined;
      state.windows.settle(state.fronted);
      if (state.fronted) for (const keyId of state.hostKeys) raiseKeyWindow(state, this.#sender, keyId);
    }
    this.#settled = true;
  }

  #setting(id: number, value: number): void {
    const state = this.#state;
    switch (id) {
      case SETTING.MAX_CONCURRENT_STREAMS:
        state.peerMaxStreams = value;
        return;
      case SETTING.INITIAL_WINDOW_SIZE:
        this.#resizeWindows(value);
        return;
      case SETTING.KEYMUX: {
        const depth = value >>> 24;
        if (state.role === 'server') this.#setDepth(depth);
        state.emit({ type: 'announced', algorithms: value & 0xff_ffff, depth });
        return;
      }
      case SETTING.KEYMUX_SWITCH_LIMIT:
        state.switchLimit = Math.min(state.config.switchLimit, value);
    }
  }

  #setDepth(depth: number): void {
    try {
      this.#state.keys?.setDepth(depth);
    } catch (error) {
      throw keyFailure('the depth of the session was changed after a run had begun', error);
    }
  }

  #resizeWindows(value: number): void {
    const state = this.#state;
    if (value > MAX_WINDOW) throw flowControlError('INITIAL_WINDOW_SIZE exceeds 2^31 - 1');
    const delta = value - state.peerStreamWindow;
    state.peerStreamWindow = value;
    for (const stream of state.streams.values()) {
      if (!stream.sendWindow.grant(delta))
        throw flowControlError('INITIAL_WINDOW_SIZE overflows the window of a stream');
      this.#sender.wake(stream);
    }
  }

  #ping(id: number): void {
    const { role, accounts, config, emit, now } = this.#state;
    const ours = (id % 2 === 1) === (role === 'client');
    if (!ours) {
      accounts.spend('pings', now);
      if (this.#sender.pendingPongs >= config.budgets.queuedAnswers)
        throw overload('the peer sends PINGs and does not read the answers');
      this.#sender.pong(id);
      return;
    }
    const sentAt = this.#pings.get(id);
    if (sentAt === undefined) {
      accounts.spend('idle', now);
      return;
    }
    this.#pings.delete(id);
    this.#state.growth?.measured(now - sentAt);
    emit({ type: 'pong', id, elapsed: now - sentAt });
  }

  #goaway(frame: Goaway): void {
    const state = this.#state;
    state.accounts.spend('idle', state.now);
    state.peerGoneAway = true;
    this.#lastGoodId = Math.min(this.#lastGoodId, frame.lastGoodId);
    state.emit({ type: 'goaway', lastGoodId: this.#lastGoodId, status: frame.status });
    if (frame.status !== GOAWAY.OK) throw peerGone(frame.status);
    for (const stream of state.streams.values()) {
      if (!stream.ours || stream.id <= this.#lastGoodId) continue;
      state.emit({ type: 'reset', id: stream.id, status: RST.REFUSED_STREAM, origin: 'remote' });
      removeStream(state, stream);
    }
  }

  #windowUpdate(frame: WindowUpdate): void {
    this.#state.accounts.spend('windowUpdates', this.#state.now);
    if (!this.#state.windows.send(CLEAR).grant(frame.delta)) {
      throw flowControlError('the session window exceeds 2^31 - 1');
    }
  }
}
