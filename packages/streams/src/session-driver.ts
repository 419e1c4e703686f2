import { performance } from 'node:perf_hooks';
import type { Duplex } from 'node:stream';
import { GOAWAY } from '@keymux/frames';
import { type Session, SessionError, type SessionEvent } from '@keymux/session';
import { DeadlineTimer } from './deadline-timer.ts';
import { PeerGoneError } from './errors.ts';
import { MuxStream } from './mux-stream.ts';
import { SessionCarrier } from './session-carrier.ts';

/** Milliseconds of a monotonic clock. */
export type Clock = () => number;

export const monotonic: Clock = () => performance.now();

export interface SessionDriverEvents {
  event(event: SessionEvent): void;
  /** When the keys want to be looked at next, on the driver's clock; called whenever output is made. */
  checkKeys(): number | undefined;
  /** All that could be done was done. */
  idle(): void;
  /** The last call. `error` is undefined if the session ended as agreed. */
  over(error: Error | undefined): void;
}

/** Pumps a session: the carrier's bytes in, its output out, its deadlines, and its events to whoever has them. */
export class SessionDriver {
  readonly #session: Session;
  readonly #carrier: SessionCarrier;
  readonly now: Clock;
  readonly #events: SessionDriverEvents;
  readonly #timer: DeadlineTimer;
  readonly #nested: boolean;
  /** The end of what is waited for with output. */
  #flushQueued: 'tick' | 'turn' | undefined;
  #handlingEvents = false;
  #pumping = false;
  #peerStatus: number = GOAWAY.OK;
  #finished = false;

  constructor(session: Session, carrier: Duplex, now: Clock, events: SessionDriverEvents) {
    this.#session = session;
    this.#nested = carrier instanceof MuxStream;
    this.now = now;
    this.#events = events;
    this.#timer = new DeadlineTimer(now, () => this.step(() => session.handleDeadline(now())));
    this.#carrier = new SessionCarrier(carrier, {
      ready: () => this.#carrierReady(),
      data: (chunk) => this.#receive(chunk),
      end: () => this.step(() => session.carrierEnded(now())),
      failed: (error) => this.#carrierFailed(error),
      closed: () => this.#carrierClosed(),
    });
    this.flush();
  }

  /** Whether what comes in the clear is in memory that the carrier uses again. */
  get lends(): boolean {
    return this.#carrier.lends;
  }

  get finished(): boolean {
    return this.#finished;
  }

  /** Does something with the session, then deals with what came of it. Does nothing once the session is over. */
  step(action: () => void): void {
    if (this.#finished) return;
    action();
    this.#handleEvents();
    this.#resumeReading();
    this.flush();
  }

  /**
   * Sends what the session has to say once all carriers and sockets that are ready have been read, and what follows from that is done: it shares envelopes and
   * system calls. At the end of this tick if it must not wait, and inside another session, as that one waits.
   */
  flush(): void {
    if (this.#flushQueued === 'tick') return;
    if (this.#nested || !this.#session.outputMayWait) {
      this.#flushQueued = 'tick';
      queueMicrotask(() => this.#flushNow());
    } else if (this.#flushQueued === undefined) {
      this.#flushQueued = 'turn';
      setImmediate(() => this.#flushNow());
    }
  }

  /** Unless that has happened for another reason. */
  #flushNow(): void {
    if (this.#flushQueued !== undefined) this.#pump();
  }

  /** All that was queued for the stream is in the output at hand. */
  drained(stream: MuxStream | undefined): void {
    this.#carrier.drained(stream);
  }

  /** If the peer has said why it left, that is the better explanation. */
  explain(error: Error | undefined): Error | undefined {
    return this.#peerStatus === GOAWAY.OK ? error : new PeerGoneError(this.#peerStatus);
  }

  #receive(chunk: Uint8Array): void {
    try {
      this.step(() => this.#session.receive(chunk, this.now()));
    } finally {
      // Somebody who was told of an event has thrown, and the process goes on.
      this.#session.keepEvents();
    }
    if (!this.#session.wantsInput && !this.#finished) this.#carrier.read(false);
  }

  #resumeReading(): void {
    if (this.#session.wantsInput) this.#carrier.read(true);
  }

  /**
   * What is done on an event can cause more of them. They follow in their order, and not on the stack: a peer that opens a thousand
   * streams in one write, each of which is reset when it is seen, must not make it a thousand calls deep.
   */
  #handleEvents(): void {
    if (this.#handlingEvents) return;
    this.#handlingEvents = true;
    try {
      for (let event = this.#session.nextEvent(); event !== undefined; event = this.#session.nextEvent()) {
        if (event.type === 'goaway') this.#peerStatus = event.status;
        this.#events.event(event);
      }
    } finally {
      this.#handlingEvents = false;
    }
  }

  /** Why the session cannot be handed over at this moment, for people; undefined if it can. */
  get handOverObstacle(): string | undefined {
    if (this.#finished) return 'it is over';
    if (this.#handlingEvents || this.#pumping) return 'it is at work';
    if (!this.#carrier.movable) return 'its carrier is no socket that another process could go on with';
    return this.#session.handOverObstacle;
  }

  /** Has the session handle what was read, and hear what its keys have to say. */
  settle(): void {
    this.#carrier.readAll();
    this.step(() => this.#session.keysProgressed(this.now()));
  }

  /** Lets go of session and carrier, without a word to the peer. Returns the state of the session, with what the carrier has not taken. */
  release(name: Uint8Array): Uint8Array {
    this.abandon();
    return this.#session.freeze({ id: name, unsent: this.#carrier.release(), now: this.now() });
  }

  /** Does nothing with session and carrier any more. */
  abandon(): void {
    this.#finished = true;
    this.#timer.clear();
  }

  #pump(): void {
    if (this.#finished || this.#pumping) return;
    this.#flushQueued = undefined;
    this.#pumping = true;
    try {
      this.#pumpAll();
    } finally {
      this.#pumping = false;
    }
    this.#events.idle();
  }

  #pumpAll(): void {
    const keysDeadline = this.#events.checkKeys();
    this.#carrier.together(() => this.#writeOutput());
    this.#handleEvents();
    this.#resumeReading();
    if (this.#carrier.blocked) this.#session.carrierBlocked(this.now());
    if (this.#session.over) {
      const { error } = this.#session;
      const ours = error?.code === 'ERR_KEYMUX_DESTROYED';
      this.#finish(ours ? (error.cause as Error | undefined) : this.explain(error));
    } else this.#timer.set(earlier(this.#session.nextDeadline(), keysDeadline));
  }

  #writeOutput(): void {
    while (this.#carrier.ready && !this.#finished) {
      const output = this.#session.output();
      if (output === undefined) return;
      try {
        this.#handleEvents();
      } finally {
        // Somebody who was told of an event has thrown, and the process goes on.
        this.#carrier.write(output);
      }
    }
  }

  #carrierReady(): void {
    this.#session.carrierReady(this.now());
    this.#pump();
  }

  #carrierFailed(cause: Error): void {
    const message = `the connection failed: ${cause.message}`;
    const error = new SessionError('ERR_KEYMUX_CARRIER', GOAWAY.OK, 'remote', message, { cause });
    this.step(() => this.#session.destroy(error));
  }

  #carrierClosed(): void {
    this.step(() => this.#session.carrierEnded(this.now()));
    if (this.#finished) return;
    this.#pump();
    if (!this.#finished) this.#finish(this.explain(this.#session.error));
  }

  #finish(error: Error | undefined): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#timer.clear();
    this.#carrier.end();
    this.#events.over(error);
  }
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}
