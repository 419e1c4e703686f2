import { type Goaway, RST, type StateReader, type StateWriter } from '@keymux/frames';
import type { SessionError } from './errors.ts';
import type { Sender } from './sender.ts';
import { removeStream, type SessionState } from './state.ts';

/**
 * How this side leaves the session: it says GOAWAY and gives open streams time to end (spec 2.4); or the session has failed, and it ends them at
 * once and says why (7.1); or another process goes on with it (13). Times are milliseconds.
 */
export class Departure {
  readonly #state: SessionState;
  readonly #sender: Sender;
  /** What our GOAWAY named. */
  #lastGoodId: number | undefined;
  #drainBy: number | undefined;
  /** The time for draining is up. */
  #drained = false;
  #farewellSaid = false;

  constructor(state: SessionState, sender: Sender) {
    this.#state = state;
    this.#sender = sender;
  }

  /** Takes no more streams, and lets the open ones end for `within` milliseconds. Called again, it can only shorten that. */
  goAway(status: number, now: number, within: number): void {
    const drainBy = now + within;
    if (this.#state.draining) {
      if (this.#drainBy !== undefined) this.#drainBy = Math.min(this.#drainBy, drainBy);
      return;
    }
    this.#state.now = now;
    this.#state.draining = true;
    this.#drainBy = drainBy;
    this.#lastGoodId = this.#state.lastPeerStreamId;
    const goaway = this.#goaway(status);
    // The front passes nothing on that is not sealed, and could not be believed if it did (spec 10.4).
    if (this.#state.link) for (const keyId of this.#state.hostKeys) this.#sender.ofKey(keyId, goaway);
    this.#sender.session(goaway);
  }

  /** Ends the streams that are open when their time is up. */
  check(now: number): void {
    if (this.#drainBy === undefined || now < this.#drainBy) return;
    for (const stream of this.#state.streams.values()) this.#sender.reset(stream, RST.CANCEL);
    this.#drainBy = undefined;
    this.#drained = true;
  }

  /** When `check` has something to do. */
  get deadline(): number {
    return this.#drainBy ?? Number.POSITIVE_INFINITY;
  }

  /** Whether `check` has ended streams, so that nothing is waited for any more. */
  get drained(): boolean {
    return this.#drained;
  }

  /** The session has failed: tells the user of each stream, and of the error. */
  fail(error: SessionError): void {
    this.#lastGoodId ??= this.#state.lastPeerStreamId;
    this.#state.draining = true;
    for (const stream of this.#state.streams.values()) {
      this.#state.emit({ type: 'reset', id: stream.id, status: RST.INTERNAL_ERROR, origin: 'local' });
      removeStream(this.#state, stream);
    }
    this.#state.emit({ type: 'error', error });
  }

  /** The last output of a session that has failed, once. Its keys are closed. */
  farewell(status: number): Uint8Array[] | undefined {
    const output = this.#farewellSaid ? undefined : this.#sender.farewell(this.#goaway(status));
    this.#farewellSaid = true;
    this.#state.keys?.close();
    return output;
  }

  /** The peer does not listen any more: there is no farewell. */
  sayNothing(): void {
    this.#farewellSaid = true;
  }

  /** The session goes on in another process, of which the peer hears nothing. Its streams are forgotten here, and its keys closed. */
  handOver(): void {
    this.sayNothing();
    this.#state.draining = true;
    this.#state.streams.clear();
    this.#state.keys?.close();
  }

  save(writer: StateWriter, now: number): void {
    writer.optional(this.#lastGoodId, (id) => writer.u32(id));
    writer.optional(this.#drainBy, (at) => writer.f64(at - now));
    writer.flag(this.#drained);
  }

  load(reader: StateReader, now: number): void {
    this.#lastGoodId = reader.optional(() => reader.u32());
    this.#drainBy = reader.optional(() => now + reader.f64());
    this.#drained = reader.flag();
  }

  #goaway(status: number): Goaway {
    return { type: 'goaway', lastGoodId: this.#lastGoodId ?? 0, status };
  }
}
