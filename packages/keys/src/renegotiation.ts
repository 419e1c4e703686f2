import { keyFailure, usageError } from './errors.ts';
import { type EstablishedKey, renegotiable } from './established-key.ts';
import type { EventQueue } from './event-queue.ts';
import { isRenegotiation } from './keeper.ts';
import type { NegoFrame } from './nego-frame.ts';
import type { Negotiator } from './negotiator.ts';
import { REJECT_REASON } from './reject.ts';

/** Of the next generation of a key: `made` if the peer has yet to move to it. */
export type RenegotiationState = 'begun' | 'in progress' | 'made';

/** When a key may have a next generation, and what becomes of it if both sides ask, or one of them retires the key (spec 3.14). */
export class Renegotiation {
  readonly #negotiator: Negotiator;
  readonly #events: EventQueue;

  constructor(negotiator: Negotiator, events: EventQueue) {
    this.#negotiator = negotiator;
    this.#events = events;
  }

  /** This side asks. As KeyRegistry's `renegotiate`. */
  begin(keyId: number, key: EstablishedKey | undefined, now: number | undefined): RenegotiationState {
    if (key?.sender === undefined || key.receiveRetired || this.#negotiator.over) {
      throw usageError(`key ${keyId} is not established for sending, or it is retired`);
    }
    if (!renegotiable(key)) {
      throw usageError(`key ${keyId} is of ALG 1, which has no renegotiation; negotiate another key`);
    }
    if (key.generation === LAST_GENERATION) {
      const message = `key ${keyId} has used all its generations; negotiate another key`;
      throw usageError(message, 'ERR_KEYMUX_KEY_EXHAUSTED');
    }
    if (this.#negotiator.run(keyId) !== undefined) return 'in progress';
    if (!key.settled) return key.sender.generation === key.generation ? 'made' : 'in progress';
    this.#negotiator.renegotiate(key, now);
    return 'begun';
  }

  /** The peer asks; perhaps both sides do, or this one has just retired the key. Throws KeyError (session). */
  receive(
    key: EstablishedKey | undefined,
    frame: NegoFrame,
    bytes: Uint8Array,
    digestBefore: Uint8Array,
    now: number,
  ): void {
    const negotiator = this.#negotiator;
    const run = negotiator.run(frame.keyId);
    if (key === undefined) throw keyFailure('key-id', `renegotiation of key ID ${frame.keyId}`);
    if (key.algorithm !== frame.algorithm || key.receiveRetired || key.messages.has(bytes)) {
      throw keyFailure('unexpected');
    }
    const asking = run !== undefined && isRenegotiation(run.context) && run.asking;
    if (run !== undefined && !asking) throw keyFailure('unexpected');
    const wins = run !== undefined && !run.unheardOf && negotiator.isOwn(key.keyId);
    if (wins || key.sendRetired) {
      const ignored = wins ? run : key;
      if (ignored.ignored) throw keyFailure('unexpected');
      ignored.ignored = true;
      key.messages.add(bytes);
      return;
    }
    const gaveUp = negotiator.drop(key.keyId);
    if (!key.settled) throw keyFailure('unexpected');
    if (!renegotiable(key) || key.generation === LAST_GENERATION) {
      negotiator.reject(frame, REJECT_REASON.NO_RENEGOTIATION);
      return;
    }
    const reason = negotiator.acceptRenegotiation(key, frame, bytes, digestBefore, now);
    // Nothing takes the place of this side's own run; who waits for it must hear of that.
    if (reason !== undefined && gaveUp)
      this.#events.push({ type: 'rejected', keyId: key.keyId, reason, algorithms: [] });
  }
}

/** Generations are 8 bits. */
const LAST_GENERATION = 255;
