import { type ControlFrame, encodeControl, type KeyNego } from '@keymux/frames';
import { CLEAR, ControlBinding } from './control-binding.ts';
import type { EnvelopeWriter } from './envelope-writer.ts';
import type { SessionState } from './state.ts';

/** Bytes of a KEY_SWITCH frame with its head (spec 1.5). */
const KEY_SWITCH_BYTES = 56;

/** Writes session frames where they belong (spec 4.2), and moves them to a connection key (4.5). */
export class ControlWriter {
  readonly #state: SessionState;
  readonly #writer: EnvelopeWriter;
  readonly #binding = new ControlBinding();

  constructor(state: SessionState, writer: EnvelopeWriter) {
    this.#state = state;
    this.#writer = writer;
  }

  /** Writes SETTINGS, PING, GOAWAY or WINDOW_UPDATE of the session. */
  session(frame: ControlFrame): void {
    this.#writer.control(this.#binding.keyId, encodeControl(frame));
    this.#binding.note(this.#writer.generation);
  }

  /** Writes a KEY_NEGO frame and tells the keys that it is on its way. */
  keyNego(frame: KeyNego): void {
    const { keys } = this.#state;
    const bytes = encodeControl(frame);
    const keyId = frame.retire ? frame.keyId : this.#binding.keyId;
    const digestBefore = this.#writer.digestBefore(keyId, bytes.length);
    this.#writer.control(keyId, bytes);
    if (!frame.retire) this.#binding.note(this.#writer.generation);
    keys?.sent(frame.keyId, bytes, digestBefore);
    if (frame.retire) this.#writer.endEnvelope(); // it is the last thing that is sealed under this key (spec 3.3)
  }

  /** Moves session frames to a connection key; does nothing if it cannot seal any more. */
  switchTo(keyId: number): void {
    const { keys } = this.#state;
    if (keyId === this.#binding.keyId || keys?.sender(keyId) === undefined) return;
    const record = this.#binding.switchRecord(this.#writer.digestBefore(keyId, KEY_SWITCH_BYTES));
    this.#writer.control(keyId, encodeControl({ type: 'key-switch', streamId: 0, ...record }));
    const previous = this.#binding.keyId;
    this.#binding.moveTo(keyId, this.#writer.generation);
    keys.bind(keyId, 0);
    if (previous !== CLEAR) keys.unbind(previous, 0);
  }
}
