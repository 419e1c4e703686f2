import type { StateReader, StateWriter } from '@keymux/frames';
import { silent } from './errors.ts';
import { FrameClock } from './frame-clock.ts';
import { KeepAlive } from './keep-alive.ts';
import { OutputClock } from './output-clock.ts';
import type { Sender } from './sender.ts';
import { StalledStreams } from './stalled-streams.ts';
import type { SessionState } from './state.ts';

/**
 * How long the peer may be silent, be at one frame, leave its output untaken, and shut the windows of its streams (spec 2.7, 7.2), and which of
 * these holds when. Times are milliseconds.
 */
export class PeerTimeouts {
  readonly #keepAlive: KeepAlive;
  readonly #frameClock: FrameClock;
  readonly #outputClock: OutputClock;
  readonly #stalledStreams: StalledStreams;

  constructor(state: SessionState, sender: Sender) {
    const { role, config, now } = state;
    this.#keepAlive = new KeepAlive(config.keepAlive, config.keepAliveTimeout, now);
    // A peer without windows is at times not read from, which is not its fault.
    const frameTimeout = config.peerFlowControl === 'none' ? Number.POSITIVE_INFINITY : config.frameTimeout;
    this.#frameClock = new FrameClock(frameTimeout, now, { awaited: role === 'server' });
    // Not reading is all that a peer without windows has to hold us back (spec 2.5).
    const unbounded = config.peerFlowControl !== 'full';
    this.#outputClock = new OutputClock(unbounded ? Number.POSITIVE_INFINITY : config.outputTimeout);
    this.#stalledStreams = new StalledStreams(state, sender);
  }

  /** Input has come. `handled` and `part` as of FrameClock. */
  received(now: number, handled: boolean, part: boolean): void {
    // A frame that trickles in is no sign of life: whoever sends it so slowly only holds our memory (Slowloris).
    if (handled) this.#keepAlive.heard(now);
    this.#frameClock.received(now, { handled, part });
  }

  /** What had come could be handled at last. */
  resumed(now: number, part: boolean): void {
    this.#frameClock.received(now, { handled: true, part });
  }

  /** The carrier has more output than it can take. */
  blocked(now: number): void {
    this.#outputClock.blocked(now);
  }

  /** The carrier has taken all of it: somebody at the other end takes it. */
  ready(now: number): void {
    if (this.#outputClock.running) this.#keepAlive.heard(now);
    this.#outputClock.ready();
  }

  /** Whether the carrier still has output to get rid of. */
  get outputWaits(): boolean {
    return this.#outputClock.running;
  }

  /** Returns whether the peer is to be asked for a sign of life. Throws SessionError `ERR_KEYMUX_TIMEOUT` if it has taken too long. */
  check(now: number, reading: boolean): boolean {
    this.#outputClock.check(now);
    this.#stalledStreams.check(now);
    if (!reading) return false;
    this.#frameClock.check(now);
    if (this.#outputClock.running) return false;
    const verdict = this.#keepAlive.check(now);
    if (verdict === 'give up') throw silent(this.#keepAlive.silence(now));
    return verdict === 'ask';
  }

  /** When `check` has something to do. */
  deadline(reading: boolean): number {
    // While we do not read, the peer's silence says nothing; nor while a PING, or what the peer is to answer, may still be here.
    const silence = this.#outputClock.running ? Number.POSITIVE_INFINITY : this.#keepAlive.deadline;
    const input = reading ? Math.min(silence, this.#frameClock.deadline) : Number.POSITIVE_INFINITY;
    return Math.min(input, this.#outputClock.deadline, this.#stalledStreams.deadline);
  }

  save(writer: StateWriter, now: number): void {
    this.#keepAlive.save(writer, now);
    this.#frameClock.save(writer, now);
    this.#stalledStreams.save(writer);
  }

  load(reader: StateReader, now: number): void {
    this.#keepAlive.load(reader, now);
    this.#frameClock.load(reader, now);
    this.#stalledStreams.load(reader);
  }
}
