import type { StateReader, StateWriter } from '@keymux/frames';
import type { KeyInfo } from '@keymux/session';
import type { MuxStreamOptions } from './stream-options.ts';
import {
  CLEAR,
  DirectionSecurity,
  loadProtection,
  type Protection,
  protection,
  type StreamSecurity,
  saveProtection,
  weaker,
} from './stream-security.ts';

/** Keeps account of how a stream is protected: what went each way, and the peer's head (spec 3.9). */
export class SecurityAccount {
  readonly #payloadOutside: boolean;
  readonly #sent = new DirectionSecurity();
  readonly #received = new DirectionSecurity();
  /** Of the peer's SYN_STREAM or SYN_REPLY. */
  #head: Protection = CLEAR;

  constructor({ ours, key, payloadOutside }: MuxStreamOptions) {
    this.#payloadOutside = payloadOutside;
    if (ours) this.headSent(key);
    else this.headReceived(key);
  }

  /** As of now. */
  get security(): StreamSecurity {
    const [sent, received, receiving] = [this.#sent.together, this.#received.together, this.#received.now];
    const heads = weaker(sent.level, received.level);
    const payload = this.#payloadOutside ? 'none' : heads;
    const { early } = received;
    return { level: weaker(heads, payload), sent, received, receiving, head: this.#head, payload, early };
  }

  /** Whether payload leaves as it is, not sealed. */
  get sendsAsItIs(): boolean {
    return this.#payloadOutside || this.#sent.now.key === undefined;
  }

  /** SYN_STREAM, or SYN_REPLY. */
  headSent(key: KeyInfo | undefined): void {
    this.#sent.switchTo(key);
    this.#sent.note();
  }

  headersSent(): void {
    this.#sent.note();
  }

  payloadSent(): void {
    this.#sent.note(this.#payloadOutside ? CLEAR : this.#sent.now);
  }

  /** What is sent from here on is sealed with `key`. */
  sendUnder(key: KeyInfo): void {
    this.#sent.switchTo(key);
  }

  headReceived(key: KeyInfo | undefined): void {
    this.#received.switchTo(key);
    this.#received.note();
    this.#head = this.#received.now;
  }

  /** Returns how they were protected. */
  headersReceived(key: KeyInfo | undefined): Protection {
    const how = protection(key);
    this.#received.note(how);
    return how;
  }

  payloadReceived(): void {
    this.#received.note(this.#payloadOutside ? CLEAR : this.#received.now);
  }

  receiveUnder(key: KeyInfo): void {
    this.#received.switchTo(key);
  }

  save(writer: StateWriter): void {
    this.#sent.save(writer);
    this.#received.save(writer);
    saveProtection(writer, this.#head);
  }

  load(reader: StateReader): void {
    this.#sent.load(reader);
    this.#received.load(reader);
    this.#head = loadProtection(reader);
  }
}
