import type { StateReader, StateWriter } from '@keymux/frames';
import { CLEAR } from './control-binding.ts';
import type { RunningHash } from './key-port.ts';
import { loadHash, type ResumeHash, saveHash } from './saved-hash.ts';
import { type SwitchRecord, switchDigest } from './switch-record.ts';

/** A direction that has not carried a frame yet. */
export const UNBOUND = -1;

/** What of the session decides whether a direction can be switched. */
export interface SwitchRules {
  readonly createHash: (() => RunningHash) | undefined;
  /** Bytes of clear payload. */
  readonly switchLimit: number;
}

/**
 * One direction of a stream: what it is bound to (spec 4.4), and the record that KEY_SWITCH is checked against (4.5).
 *
 *     UNBOUND -- first frame --> CLEAR or a key -- KEY_SWITCH --> another key
 *
 * The side that sends and the side that receives call the same methods for each frame, so their records agree
 * unless somebody has changed something on the way.
 */
export class Direction {
  /** Key ID of the envelopes its frames travel in; CLEAR, or UNBOUND before its first frame. */
  keyId = UNBOUND;
  /** Of the envelope that its last frame came in, KEY_SWITCH included; 0 for the clear. */
  generation = 0;
  /** FIN, STREAM_END or a reset has been sent or received. */
  ended = false;
  /** How often KEY_SWITCH has moved it. */
  switches = 0;
  /** Payload bytes so far. */
  payload = 0;
  /** Frames so far, clear or sealed. */
  #frames = 0;
  #clearPayload = 0;
  /** False for good once there was too much clear payload: the hash is gone then. */
  #switchable = true;
  /** Over all its frames outside envelopes; kept after a switch, for the next one. */
  #clearHash: RunningHash | undefined;

  /** Takes note of a control frame in an envelope of `generation`, 0 outside. */
  noteFrame(bytes: Uint8Array, generation: number, rules: SwitchRules): void {
    this.#frames++;
    this.generation = generation;
    if (this.keyId === CLEAR) this.#hash(bytes, rules);
  }

  /** Takes note of the head of a DATA frame with `length` bytes of payload. */
  noteDataHead(head: Uint8Array, length: number, generation: number, rules: SwitchRules): void {
    this.#frames++;
    this.payload += length;
    if (this.keyId !== CLEAR) {
      this.generation = generation;
      return;
    }
    this.#clearPayload += length;
    if (this.#clearPayload > rules.switchLimit) this.#giveUpSwitching();
    else this.#hash(head, rules);
  }

  /** Takes note of a DATA frame whose payload travels outside although the stream is sealed (spec 4.6). */
  noteDataOutside(length: number): void {
    this.#frames++;
    this.payload += length;
  }

  /** Takes note of payload, after its head. */
  notePayload(payload: Uint8Array, rules: SwitchRules): void {
    if (this.keyId === CLEAR) this.#hash(payload, rules);
  }

  /** Whether it can be switched once `more` bytes of payload have gone where it is bound to now. */
  canSwitch(rules: SwitchRules, more: number): boolean {
    const clear = this.keyId > CLEAR ? 0 : more;
    return this.#switchable && this.#clearPayload + clear <= rules.switchLimit;
  }

  /** What KEY_SWITCH has to say now, with the plain digest. */
  switchRecord(
    streamId: number,
    answeredSyn: Uint8Array | undefined,
    createHash: () => RunningHash,
  ): SwitchRecord {
    return {
      previousKeyId: Math.max(this.keyId, CLEAR),
      previousGeneration: this.generation,
      count: this.#frames,
      digest: switchDigest(createHash, streamId, this.#clearHash, answeredSyn),
    };
  }

  /** KEY_SWITCH has moved it, in an envelope of `generation`. It is not counted as a frame itself. */
  switched(generation: number): void {
    this.switches++;
    this.generation = generation;
  }

  save(writer: StateWriter): void {
    saveBinding(writer, this.keyId);
    writer.u8(this.generation);
    writer.flag(this.ended);
    writer.u64(this.payload);
    writer.u64(this.#frames);
    writer.u32(this.switches);
    writer.u64(this.#clearPayload);
    writer.flag(this.#switchable);
    writer.optional(this.#clearHash, (hash) => saveHash(writer, hash));
  }

  load(reader: StateReader, resume: ResumeHash | undefined): void {
    this.keyId = loadBinding(reader);
    this.generation = reader.u8();
    this.ended = reader.flag();
    this.payload = reader.u64();
    this.#frames = reader.u64();
    this.switches = reader.u32();
    this.#clearPayload = reader.u64();
    this.#switchable = reader.flag();
    this.#clearHash = reader.optional(() => loadHash(reader, resume));
  }

  #giveUpSwitching(): void {
    this.#switchable = false;
    this.#clearHash = undefined;
  }

  #hash(bytes: Uint8Array, { createHash }: SwitchRules): void {
    if (createHash === undefined || !this.#switchable) return;
    this.#clearHash ??= createHash();
    this.#clearHash.update(bytes);
  }
}

/** Writes a key ID, CLEAR or UNBOUND. */
export function saveBinding(writer: StateWriter, keyId: number): void {
  writer.optional(keyId === UNBOUND ? undefined : keyId, (bound) => writer.u8(bound));
}

export function loadBinding(reader: StateReader): number {
  return reader.optional(() => reader.u8()) ?? UNBOUND;
}
