import type { StateReader, StateWriter } from '@keymux/frames';
import { CLEAR } from './control-binding.ts';
import { ReceiveWindow, SendWindow } from './flow-window.ts';

/** A session window before its first WINDOW_UPDATE, in bytes (SPDY/3.1, spec 2.5). */
const INITIAL = 65_536;

/**
 * The session windows (spec 2.5): one for everything, or, in a session with a front, one for each key besides (10.4), since the hosts that
 * hold the keys know nothing of each other. `keyId` is what payload travels under, CLEAR for none.
 */
export class SessionWindows {
  readonly #size: number;
  readonly #sendShared: SendWindow;
  readonly #receiveShared: ReceiveWindow;
  readonly #sendOf = new Map<number, SendWindow>();
  readonly #receiveOf = new Map<number, ReceiveWindow>();
  #perKey: boolean;
  /** Payload sent under each key while the peer's SETTINGS, which say whether it is a front, were not here. */
  #spentBefore: Map<number, number> | undefined;

  /**
   * @param size what our receive windows are kept at, in bytes
   * @param options.known false towards a peer that knows no session window
   */
  constructor(size: number, { perKey, known }: { readonly perKey: boolean; readonly known: boolean }) {
    this.#size = size;
    this.#perKey = perKey;
    this.#sendShared = new SendWindow(INITIAL, known);
    this.#receiveShared = new ReceiveWindow(INITIAL, size, known);
    this.#spentBefore = perKey ? undefined : new Map();
  }

  send(keyId: number): SendWindow {
    if (keyId === CLEAR || !this.#perKey) return this.#sendShared;
    const known = this.#sendOf.get(keyId);
    if (known !== undefined) return known;
    const window = new SendWindow(INITIAL);
    window.spend(this.#spentBefore?.get(keyId) ?? 0);
    this.#sendOf.set(keyId, window);
    return window;
  }

  receive(keyId: number): ReceiveWindow {
    if (keyId === CLEAR || !this.#perKey) return this.#receiveShared;
    const known = this.#receiveOf.get(keyId);
    if (known !== undefined) return known;
    const window = new ReceiveWindow(INITIAL, this.#size);
    this.#receiveOf.set(keyId, window);
    return window;
  }

  spend(keyId: number, bytes: number): void {
    this.send(keyId).spend(bytes);
    if (this.#spentBefore !== undefined && keyId !== CLEAR)
      this.#spentBefore.set(keyId, (this.#spentBefore.get(keyId) ?? 0) + bytes);
  }

  /** The peer's first SETTINGS are here: from now on it is known whether it is a front. */
  settle(perKey: boolean): void {
    if (this.#spentBefore === undefined) return;
    if (perKey) {
      this.#perKey = true;
      for (const [keyId, bytes] of this.#spentBefore) {
        this.send(keyId);
        this.#sendShared.grant(bytes);
      }
    }
    this.#spentBefore = undefined;
  }

  save(writer: StateWriter): void {
    writer.flag(this.#perKey);
    this.#sendShared.save(writer);
    this.#receiveShared.save(writer);
    for (const windows of [this.#sendOf, this.#receiveOf]) {
      writer.list<[number, SendWindow | ReceiveWindow]>(windows, ([keyId, window]) => {
        writer.u8(keyId);
        window.save(writer);
      });
    }
    writer.optional(this.#spentBefore, (spent) =>
      writer.list(spent, ([keyId, bytes]) => {
        writer.u8(keyId);
        writer.u64(bytes);
      }),
    );
  }

  load(reader: StateReader): void {
    this.#perKey = reader.flag();
    this.#sendShared.load(reader);
    this.#receiveShared.load(reader);
    this.#spentBefore = undefined;
    reader.list(() => this.send(reader.u8()).load(reader));
    reader.list(() => this.receive(reader.u8()).load(reader));
    this.#spentBefore = reader.optional(() => {
      const spent = new Map<number, number>();
      reader.list(() => spent.set(reader.u8(), reader.u64()));
      return spent;
    });
  }

  /** Forgets the windows of a key that is gone. */
  forget(keyId: number): void {
    this.#sendOf.delete(keyId);
    this.#receiveOf.delete(keyId);
  }
}
