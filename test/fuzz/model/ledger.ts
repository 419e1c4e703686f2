import { FrameDecoder, type Item, SETTING } from '@keymux/frames';
import { type KeyLogEntry, openLogged, type ReceiveKey } from '@keymux/keys';
import type { Role } from '@keymux/session';
import { must } from '../checks.ts';

const MOST = 2 ** 31 - 1;

/**
 * What one side may still send, as somebody who reads everything works it out: from what has been delivered to the side, and what it has put out itself. It
 * reads envelopes by a key log and shares nothing with the engine's own windows.
 */
export class Ledger {
  readonly #sent: Reader;
  readonly #delivered: Reader;
  #initial = 65_536;
  #session = 65_536;
  readonly #streams = new Map<number, number>();

  /** @param keyLog what opens envelopes; it grows while keys are made */
  constructor(side: Role, keyLog: readonly KeyLogEntry[]) {
    this.#sent = new Reader(side, keyLog);
    this.#delivered = new Reader(side === 'client' ? 'server' : 'client', keyLog);
  }

  /** The session window. */
  get session(): number {
    return this.#session;
  }

  /** The side has put out bytes. Throws Fault if it was not allowed to. */
  sent(bytes: Uint8Array): void {
    for (const item of this.#sent.read(bytes)) {
      if (item.kind !== 'data' || !item.first || item.length === 0) continue;
      this.#session -= item.length;
      must(this.#session >= 0, `the session window is exceeded by ${-this.#session}`);
      const left = this.#add(item.streamId, -item.length);
      must(left >= 0, `the window of stream ${item.streamId} is exceeded by ${-left}`);
    }
  }

  /** The side has been given bytes. Throws Fault if its peer opens a window too far. */
  delivered(bytes: Uint8Array): void {
    for (const item of this.#delivered.read(bytes)) {
      if (item.kind !== 'control') continue;
      const { frame } = item;
      if (frame.type === 'settings') {
        const entry = frame.entries.find(({ id }) => id === SETTING.INITIAL_WINDOW_SIZE);
        if (entry !== undefined) this.#initial = entry.value;
      } else if (frame.type === 'window-update') {
        const left = this.#grant(frame.streamId, frame.delta);
        must(left <= MOST, `a window of ${left}`);
      }
    }
  }

  #grant(streamId: number, delta: number): number {
    if (streamId !== 0) return this.#add(streamId, delta);
    this.#session += delta;
    return this.#session;
  }

  /** Windows are kept without the initial size, which may change for all. */
  #add(streamId: number, change: number): number {
    const left = (this.#streams.get(streamId) ?? 0) + change;
    this.#streams.set(streamId, left);
    return this.#initial + left;
  }
}

/** The frames of one direction, those in envelopes too. */
class Reader {
  readonly #from: Role;
  readonly #keyLog: readonly KeyLogEntry[];
  readonly #outside = new FrameDecoder({ place: 'outside', sealed: true });
  readonly #keys = new Map<string, ReceiveKey>();

  constructor(from: Role, keyLog: readonly KeyLogEntry[]) {
    this.#from = from;
    this.#keyLog = keyLog;
  }

  *read(bytes: Uint8Array): Generator<Item> {
    this.#outside.push(Uint8Array.from(bytes));
    for (let item = this.#outside.next(); item !== undefined; item = this.#outside.next()) {
      if (item.kind !== 'sealed') {
        yield item;
        continue;
      }
      const inside = new FrameDecoder({ place: 'inside' });
      const key = this.#keyOf(item.keyId, item.generation);
      inside.push(key.open(item.head, item.body));
      for (let inner = inside.next(); inner !== undefined; inner = inside.next()) yield inner;
      must(!inside.midFrame, 'an envelope ends inside a frame');
    }
  }

  #keyOf(keyId: number, generation: number): ReceiveKey {
    const name = `${keyId} ${generation}`;
    const known = this.#keys.get(name);
    if (known !== undefined) return known;
    const entry = this.#keyLog.find(
      (logged) => logged.keyId === keyId && logged.generation === generation && logged.from === this.#from,
    );
    must(entry !== undefined, `an envelope under key ${name}, which was never made`);
    const key = openLogged(entry);
    this.#keys.set(name, key);
    return key;
  }
}
