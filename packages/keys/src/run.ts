import { isRenegotiation, type RunContext, type Step } from './keeper.ts';
import { MessageLog } from './message-log.ts';
import type { Pass } from './negotiation-gate.ts';
import type { SessionDigests } from './schedule.ts';

/**
 * Where a run stands:
 *
 *     keeper ----> unsent ----> peer ----> keeper ...        (until the keeper says `done`)
 *        |  no message to send   ^
 *        +-----------------------+
 */
export type Phase =
  /** The keeper works on a step. */
  | 'keeper'
  /** The step's message waits for the session to send it; its secrets take effect then. */
  | 'unsent'
  /** The peer is to speak. */
  | 'peer'
  /** Established, rejected or failed. */
  | 'over';

/** One run, as the session's side sees it: the messages themselves are the keeper's. */
export class Run {
  readonly context: RunContext;
  phase: Phase = 'keeper';
  /** The keeper's name for the run. */
  handle: number | undefined;
  /** The step whose message is unsent. */
  step: Step | undefined;
  /** Of a run that the peer began, where runs have to pass a gate. */
  pass: Pass | undefined;
  /** When the run must be over; undefined until the time is told. */
  deadline: number | undefined;
  /** A first message of the peer was ignored, because this side asked as well (spec 3.14). */
  ignored = false;
  #initiatorDigest: Uint8Array | undefined;
  #responderDigest: Uint8Array | undefined;
  #heard = 0;
  /** Messages of the renegotiations of its key. */
  readonly messages: MessageLog;

  constructor(context: RunContext, messages = new MessageLog()) {
    this.context = context;
    this.messages = messages;
  }

  /** Whether an envelope of the key under `generation`, or without one a KEY_NEGO frame, must wait (spec 3.2). */
  holds(generation?: number): boolean {
    if (this.phase !== 'keeper' && this.phase !== 'unsent') return false;
    if (!isRenegotiation(this.context)) return true;
    if (this.phase === 'unsent' || this.unheardOf) return false;
    return generation === undefined || generation === this.context.generation;
  }

  /** Whether this side has asked, and has not heard an answer. */
  get asking(): boolean {
    return this.context.role === 'initiator' && this.#heard === 0;
  }

  /** Which message of the run the peer has sent last, counted from 0; undefined if none. */
  get heardLast(): number | undefined {
    if (this.#heard === 0) return undefined;
    return 2 * (this.#heard - 1) + (this.context.role === 'initiator' ? 1 : 0);
  }

  /** Whether the peer cannot have heard of the run. */
  get unheardOf(): boolean {
    return this.asking && this.phase === 'keeper';
  }

  heard(frame: Uint8Array, digestBefore: Uint8Array): void {
    this.#heard++;
    this.#remember(frame);
    this.#note(this.context.role === 'initiator' ? 'responder' : 'initiator', digestBefore);
  }

  sent(frame: Uint8Array, digestBefore: Uint8Array): void {
    this.#remember(frame);
    this.#note(this.context.role, digestBefore);
  }

  /** Nothing of it is wanted any more: wipes what it made and has not sent. */
  end(): void {
    this.phase = 'over';
    for (const { secret } of this.step?.secrets ?? []) secret.wipe();
    this.step = undefined;
    this.pass?.leave();
  }

  /** So that a copy can be told. Those of a key's first run say that they are no renegotiation, and are refused for that once there is a key. */
  #remember(frame: Uint8Array): void {
    if (isRenegotiation(this.context)) this.messages.add(frame);
  }

  /** D_I and D_R (spec 3.5); D_R is zero for early data. */
  digests(early: boolean): SessionDigests {
    const none = new Uint8Array(DIGEST_LENGTH);
    return {
      initiator: this.#initiatorDigest ?? none,
      responder: (early ? undefined : this.#responderDigest) ?? none,
    };
  }

  /** Only what came before a side's first message counts. The digest is copied: the session's buffer may live on. */
  #note(sender: 'initiator' | 'responder', digestBefore: Uint8Array): void {
    if (sender === 'initiator') this.#initiatorDigest ??= Uint8Array.from(digestBefore);
    else this.#responderDigest ??= Uint8Array.from(digestBefore);
  }
}

const DIGEST_LENGTH = 32;
