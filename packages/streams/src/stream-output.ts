import type { StateReader, StateWriter } from '@keymux/frames';

/** How a Duplex is told that what it gave was dealt with. */
export type Done = (error?: Error | null) => void;

/** Our direction of a stream, between a Duplex and its session: the write or the end that is not on its way yet, one at a time, and how far the end has come. */
export class StreamOutput {
  #done: Done | undefined;
  /** What is written is the writer's memory, and leaves as it is. */
  #lent = false;
  /** It is on its way, in the writer's memory, and the carrier has not taken it. */
  #untaken = false;
  /** The session was told that our direction ends, or FIN went with a head. */
  #endAsked = false;
  /** FIN went with the SYN_STREAM or the SYN_REPLY, or another process has ended our direction. */
  #endSent = false;
  /** Our direction was ended by another process, and all of it is on its way. */
  #allSent = false;
  /** Another process has written what the session has yet to send: who is told when that is on its way. */
  #inherited: (() => void) | undefined;

  /** The session was given a write. `done` is called when it is on its way; if it is `lent`, when the carrier has taken it. */
  begin(done: Done, lent: boolean): void {
    this.#done = done;
    this.#lent = lent;
  }

  /** Forgets what was begun, and returns who waits for it. */
  abandon(): Done | undefined {
    const done = this.#done;
    this.#done = undefined;
    return done;
  }

  /** The head that was sent last has ended our direction. */
  endedByHead(): void {
    this.#endSent = true;
    this.#endAsked = true;
  }

  /** Begins the end. Returns whether the session has to be told. */
  end(done: Done, lent: boolean): boolean {
    this.#endAsked = true;
    if (this.#endSent && this.#allSent) {
      done();
      return false;
    }
    this.begin(done, lent);
    return !this.#endSent;
  }

  /** All that the session had is on its way. If it was lent, what is returned must be called when the carrier has taken it. */
  sent(): (() => void) | undefined {
    if (this.#untaken) return undefined; // headers, or a switch, behind a write that the carrier has not taken
    if (!this.#lent) {
      this.#settle();
      return undefined;
    }
    this.#lent = false;
    this.#untaken = true;
    return () => {
      if (this.#untaken) this.#settle();
    };
  }

  /** The session has forgotten the stream. Returns who is to be told so; if nothing has failed, nobody who waits for the carrier. */
  detach(failed: boolean): Done | undefined {
    return !failed && this.#untaken ? undefined : this.abandon();
  }

  /** Whether what another process has written waits to be sent. */
  get inherited(): boolean {
    return this.#inherited !== undefined;
  }

  /** Whether our direction was ended before the Duplex was asked to. */
  get endSent(): boolean {
    return this.#endSent;
  }

  /** Has the Duplex give the session all that it keeps behind the write at hand. Returns whether the session has yet to send any of what it was given. */
  giveAll(): boolean {
    let waits = this.inherited || (this.#done !== undefined && !this.#untaken);
    this.#untaken = false;
    if (!this.#endAsked) {
      this.abandon()?.();
      waits ||= this.#done !== undefined;
    }
    return waits;
  }

  /** Ends our direction for a Duplex that has been ended and has not come to say so. Returns whether the session has to be told. */
  endNow(): boolean {
    const first = !this.#endAsked;
    this.#endAsked = true;
    return first;
  }

  /** `waits`: the session has yet to send some of it. */
  save(writer: StateWriter, waits: boolean): void {
    writer.flag(this.#endAsked);
    writer.flag(waits);
  }

  /** `onSent` is called if something waits, when it is on its way. */
  load(reader: StateReader, onSent: () => void): void {
    this.#endSent = reader.flag();
    const waits = reader.flag();
    this.#inherited = waits ? onSent : undefined;
    this.#allSent = !waits;
  }

  #settle(): void {
    this.#untaken = false;
    this.abandon()?.();
    const onSent = this.#inherited;
    this.#inherited = undefined;
    onSent?.();
  }
}
