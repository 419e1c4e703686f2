import {
  type ControlFrame,
  encodeControl,
  type KeyNego,
  type StateReader,
  type StateWriter,
} from '@keymux/frames';
import { CLEAR, ControlBinding } from './control-binding.ts';
import type { EnvelopeWriter } from './envelope-writer.ts';
import { cannotProve, protocolError } from './errors.ts';
import { Fifo } from './fifo.ts';
import { needsKey, type SessionState } from './state.ts';
import { KEY_SWITCH_BYTES } from './switch-record.ts';

/** Writes session frames where they belong (spec 4.2), and moves them to a connection key (4.5). */
export class ControlWriter {
  readonly #state: SessionState;
  readonly #writer: EnvelopeWriter;
  readonly #binding: ControlBinding;
  /** KEY_NEGO frames on the link of a front that are not known to be on the carrier, in their order. */
  readonly #onLink = new Fifo<{ readonly keyId: number; readonly bytes: Uint8Array }>();

  constructor(state: SessionState, writer: EnvelopeWriter) {
    this.#state = state;
    this.#writer = writer;
    this.#binding = new ControlBinding(state.role);
  }

  /** The key that session frames travel under, CLEAR for none. */
  get keyId(): number {
    return this.#binding.keyId;
  }

  /** Writes SETTINGS, PING, GOAWAY or WINDOW_UPDATE of the session. */
  session(frame: ControlFrame): void {
    this.#writer.control(this.#binding.keyId, encodeControl(frame));
    this.#binding.note(this.#writer.generation);
  }

  /** Writes a KEY_NEGO frame and tells the keys that it is on its way. */
  keyNego(frame: KeyNego): void {
    const bytes = encodeControl(frame);
    const { keyId } = this.#binding;
    const digestBefore = this.#writer.digestBefore(keyId, bytes.length);
    this.#writer.control(keyId, bytes);
    this.#binding.note(this.#writer.generation);
    // It may make a new generation of the key that it travels under: what follows is sealed with that.
    this.#writer.endEnvelope();
    if (this.#state.link) this.#onLink.push({ keyId: frame.keyId, bytes });
    else this.#state.keys?.sent(frame.keyId, bytes, digestBefore);
  }

  /** Retires a key for sending, if nothing of ours needs it any more (spec 3.3). */
  retire(keyId: number): void {
    const { keys, retiredKeys } = this.#state;
    if (keys === undefined || !keys.canRetire(keyId) || needsKey(this.#state, keyId)) return;
    const bytes = encodeControl({ type: 'key-nego', ...keys.retire(keyId) });
    const digestBefore = this.#writer.digestBefore(keyId, bytes.length);
    this.#writer.control(keyId, bytes);
    keys.sent(keyId, bytes, digestBefore);
    this.#writer.endEnvelope(); // it is the last thing that is sealed under this key
    retiredKeys.add(keyId);
  }

  /** The front has put a KEY_NEGO frame on the carrier, and says what stood there before (spec 10.5). Throws SessionError. */
  negoOnCarrier(keyId: number, digestBefore: Uint8Array): void {
    const sent = this.#onLink.shift();
    if (sent?.keyId !== keyId) throw protocolError(`FRONT_SENT for key ${keyId}, which is not the next`);
    this.#state.keys?.sent(keyId, sent.bytes, digestBefore);
    this.#state.pollKeys();
  }

  /** Not on the link of a front. */
  save(writer: StateWriter): void {
    this.#binding.save(writer);
  }

  load(reader: StateReader): void {
    this.#binding.load(reader);
  }

  /** Moves session frames to a connection key; does nothing if it cannot seal any more. */
  switchTo(keyId: number): void {
    const { keys } = this.#state;
    if (keyId === this.#binding.keyId || keys?.sender(keyId) === undefined) return;
    const previous = this.#binding.keyId;
    const digest = this.#writer.digestBefore(keyId, KEY_SWITCH_BYTES);
    const record = this.#binding.switchRecord(digest, { keyId, generation: this.#writer.generation }, keys);
    if (record === undefined) throw cannotProve(previous);
    this.#writer.control(keyId, encodeControl({ type: 'key-switch', streamId: 0, ...record }));
    this.#binding.moveTo(keyId, this.#writer.generation);
    keys.bind(keyId, 0);
    if (previous !== CLEAR) keys.unbind(previous, 0);
  }
}
