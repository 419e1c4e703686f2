import { RST, type StateReader, type StateWriter } from '@keymux/frames';
import { StreamError } from './errors.ts';
import type { Sender } from './sender.ts';
import { type SessionState, streamFinder } from './state.ts';
import type { Stream } from './stream.ts';

/**
 * Ends streams of the peer whose payload waits because the peer opens no window, but only while more waits than the session may hold
 * (spec 7.2, 7.3): who takes nothing for an hour is welcome as long as that costs little. Times are milliseconds.
 *
 * Looks at all streams once in `stallTimeout`, and ends what has not moved since the last look. So a stream has between one and two times
 * that long, and nothing is to be done when payload moves.
 */
export class StalledStreams {
  readonly #state: SessionState;
  readonly #sender: Sender;
  /** When streams were last looked at, and how much had been sent on those that were stalled. */
  #look: { readonly at: number; readonly sent: ReadonlyMap<Stream, number> } | undefined;

  constructor(state: SessionState, sender: Sender) {
    this.#state = state;
    this.#sender = sender;
  }

  /** When `check` has something to do. */
  get deadline(): number {
    if (!this.#tooMuch) return Number.POSITIVE_INFINITY;
    // The time that the session was told last may be long ago; the first look is at that of `check`.
    return this.#look === undefined ? this.#state.now : this.#look.at + this.#state.config.stallTimeout;
  }

  /** Ends the streams that have stalled for too long, the oldest first, until what waits is little enough. Throws SessionError. */
  check(now: number): void {
    if (!this.#tooMuch) this.#look = undefined;
    else if (now >= this.deadline) {
      if (this.#look !== undefined) this.#end(this.#look.sent);
      this.#look = { at: now, sent: new Map(this.#stalled()) };
    }
  }

  save(writer: StateWriter): void {
    const { now } = this.#state;
    writer.optional(this.#look, ({ at, sent }) => {
      writer.f64(now - at);
      const open = [...sent].filter(([stream]) => this.#state.streams.get(stream.id) === stream);
      writer.list(open, ([stream, bytes]) => {
        writer.u32(stream.id);
        writer.u64(bytes);
      });
    });
  }

  load(reader: StateReader): void {
    const { now } = this.#state;
    const streamOf = streamFinder(this.#state, reader);
    this.#look = reader.optional(() => {
      const at = now - reader.f64();
      const sent = new Map<Stream, number>();
      reader.list(() => sent.set(streamOf(reader.u32()), reader.u64()));
      return { at, sent };
    });
  }

  get #tooMuch(): boolean {
    const { waitingPayload, config } = this.#state;
    return config.stallTimeout > 0 && waitingPayload > config.budgets.stalledPayload;
  }

  *#stalled(): Generator<[Stream, number]> {
    for (const stream of this.#state.streams.values())
      if (!stream.ours && this.#isStalled(stream)) yield [stream, stream.out.payload];
  }

  #isStalled(stream: Stream): boolean {
    if (stream.queuedPayload === 0 || !stream.started) return false;
    return stream.sendWindow.left <= 0 || this.#state.windows.send(stream.sendsUnder).left <= 0;
  }

  #end(before: ReadonlyMap<Stream, number>): void {
    const { accounts, now, streams } = this.#state;
    for (const [stream, sent] of before) {
      if (!this.#tooMuch) return;
      if (streams.get(stream.id) !== stream || stream.out.payload !== sent || !this.#isStalled(stream))
        continue;
      accounts.spend('resets', now); // it is the peer who makes us do it
      this.#sender.reset(stream, RST.CANCEL, STALLED());
    }
  }
}

const STALLED = (): StreamError =>
  new StreamError('ERR_KEYMUX_STALLED', 'the peer has opened no window for too long while too much waits');
