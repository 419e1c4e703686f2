import type { StateReader, StateWriter } from '@keymux/frames';
import type { KeyPort } from './key-port.ts';
import { type KeyGeneration, proveRecord, type SwitchRecord } from './switch-record.ts';

/** A direction of a stream, or session frames, that travel outside envelopes. */
export const CLEAR = 0;

/** Where frames travel under this key ID, for messages. */
export function placeOf(keyId: number): string {
  return keyId === CLEAR ? 'in the clear' : `under key ${keyId}`;
}

/** What the session frames of one side travel under, and what its next KEY_SWITCH must say (spec 4.2, 4.5). */
export class ControlBinding {
  /** Connection key, or CLEAR. */
  keyId = CLEAR;
  readonly #sender: 'client' | 'server';
  /** Of the envelope that the last session frame came in, KEY_SWITCH included. */
  #generation = 0;
  /** Session frames so far: SETTINGS, PING, GOAWAY, WINDOW_UPDATE of stream 0, KEY_NEGO except RETIRE. */
  #frames = 0;

  constructor(sender: 'client' | 'server') {
    this.#sender = sender;
  }

  /** Takes note of a session frame in an envelope of `generation`, 0 outside. */
  note(generation: number): void {
    this.#frames++;
    this.#generation = generation;
  }

  /**
   * @param digest the session digest of this side before the envelope of the KEY_SWITCH
   * @returns undefined if the key before is not held here
   */
  switchRecord(digest: Uint8Array, to: KeyGeneration, keys: KeyPort): SwitchRecord | undefined {
    const record = {
      previousKeyId: this.keyId,
      previousGeneration: this.#generation,
      count: this.#frames,
      digest,
    };
    const previous = { keyId: this.keyId, generation: this.#generation };
    const move = { sender: this.#sender, streamId: 0, to };
    return proveRecord(keys, record, move, this.keyId === CLEAR ? undefined : previous);
  }

  save(writer: StateWriter): void {
    writer.u8(this.keyId);
    writer.u8(this.#generation);
    writer.u64(this.#frames);
  }

  load(reader: StateReader): void {
    this.keyId = reader.u8();
    this.#generation = reader.u8();
    this.#frames = reader.u64();
  }

  moveTo(keyId: number, generation: number): void {
    this.keyId = keyId;
    this.#generation = generation;
  }
}
