import { asKeyError, type KeyError, keyFailure, usageError } from './errors.ts';
import type { EventQueue } from './event-queue.ts';
import type { PeerName } from './identity/known-hosts.ts';
import {
  isRenegotiation,
  type Keeper,
  type Offer,
  type RunContext,
  type RunSecret,
  type Step,
} from './keeper.ts';
import { keeperStep } from './keeper-step.ts';
import { KeyIds } from './key-ids.ts';
import type { MessageLog } from './message-log.ts';
import type { NegoFrame } from './nego-frame.ts';
import type { ClientGate, Pass } from './negotiation-gate.ts';
import { checkOffer } from './offer.ts';
import { Outbox } from './outbox.ts';
import { decodeReject, encodeReject, REJECT_REASON } from './reject.ts';
import { Run } from './run.ts';
import { Runs } from './runs.ts';
import type { StateSink, StateSource } from './state-port.ts';

export interface NegotiateOptions {
  readonly algorithm: number;
  readonly label: string;
  readonly authority: string;
  /** Bit set of the ALG_IDs that would be accepted; by default the run's own. */
  readonly offer?: number;
  /** The name by which the user asked for the peer of this key; by default that of the session. */
  readonly peerName?: PeerName | undefined;
  /** The time, if the caller knows it; otherwise the run's clock starts with the next `handleDeadline`. */
  readonly now?: number;
}

export interface NegotiatorOptions {
  readonly side: 'client' | 'server';
  readonly keeper: Keeper;
  readonly depth: number;
  readonly peerName: PeerName | undefined;
  readonly peerAddress: string | undefined;
  readonly maxPeerRuns: number;
  readonly gate: ClientGate | undefined;
  /** Milliseconds. */
  readonly runTimeout: number;
  readonly events: EventQueue;
  /** Whether the secret may be that of the run's key. Throws KeyError (session) if not. */
  readonly check: (run: Run, secret: RunSecret) => void;
  /** A run has made a secret. */
  readonly install: (run: Run, secret: RunSecret) => void;
  /** The run of a new key was rejected: what it may have made is void. */
  readonly revoke: (keyId: number) => void;
}

/** What a renegotiation has to know of its key. */
export interface Renegotiable {
  readonly keyId: number;
  readonly algorithm: number;
  readonly label: string;
  readonly authority: string;
  readonly peerName: PeerName | undefined;
  /** The newest generation. */
  readonly generation: number;
  readonly messages: MessageLog;
}

/**
 * The runs of one session: gives them IDs, brings the peer's messages to the keeper and the keeper's to the session, in turn and in time
 * (spec 3.1 to 3.3). Knows nothing of what the messages say.
 */
export class Negotiator {
  readonly #options: NegotiatorOptions;
  readonly #ids: KeyIds;
  readonly #runs: Runs;
  readonly #outbox: Outbox;
  #depth: number;
  #over = false;

  constructor(options: NegotiatorOptions) {
    this.#options = options;
    this.#ids = new KeyIds(options.side);
    this.#runs = new Runs(options.runTimeout);
    this.#outbox = new Outbox(options.events);
    this.#depth = options.depth;
  }

  /** A failure was reported, or the session closed: nothing begins or goes on any more. */
  get over(): boolean {
    return this.#over;
  }

  /** It enters every transcript, so it is settled by the first run. */
  setDepth(depth: number): void {
    if (depth === this.#depth) return;
    if (this.#ids.used) this.fail(0, keyFailure('unexpected', 'the client changed its nesting depth'));
    else this.#depth = depth;
  }

  /** Begins a run; returns its key ID. Throws KeyError (usage). */
  negotiate({
    algorithm,
    label,
    authority,
    offer = 2 ** algorithm,
    peerName,
    now,
  }: NegotiateOptions): number {
    if (this.#over) throw usageError('the session is over');
    const asked: Offer = { offer, label, authority };
    checkOffer(asked, algorithm);
    const keyId = this.#ids.take();
    if (keyId === undefined) {
      throw usageError(
        'this session has used all its key IDs; open another session to negotiate more keys',
        'ERR_KEYMUX_IDS_EXHAUSTED',
      );
    }
    const run = this.#addRun({ role: 'initiator', keyId, generation: 0, algorithm }, peerName);
    this.#begin(run, asked, now);
    return keyId;
  }

  /** Begins the run of a key's next generation (spec 3.14). */
  renegotiate(key: Renegotiable, now: number | undefined): void {
    const { algorithm, label, authority } = key;
    this.#begin(this.#addRenegotiation(key, 'initiator'), { offer: 2 ** algorithm, label, authority }, now);
  }

  run(keyId: number): Run | undefined {
    return this.#runs.get(keyId);
  }

  isOwn(keyId: number): boolean {
    return this.#ids.isOwn(keyId);
  }

  /** The first frame of an ID: the peer begins a run. Throws KeyError (session). */
  accept(frame: NegoFrame, bytes: Uint8Array, digestBefore: Uint8Array, now: number): void {
    const { keyId, algorithm } = frame;
    if (frame.reject || frame.retire || !this.#ids.takePeers(keyId)) {
      throw keyFailure('key-id', `key ID ${keyId}`);
    }
    const admission = this.#admit(false);
    if (admission.refused !== undefined) this.reject(frame, admission.refused);
    else {
      const run = this.#addRun({ role: 'responder', keyId, generation: 0, algorithm });
      run.pass = admission.pass;
      this.#respond(run, bytes, digestBefore, now);
    }
  }

  /** The first message of a renegotiation that the peer begins. Returns the reason if it is turned down. */
  acceptRenegotiation(
    key: Renegotiable,
    frame: NegoFrame,
    bytes: Uint8Array,
    digestBefore: Uint8Array,
    now: number,
  ): number | undefined {
    const { refused, pass } = this.#admit(true);
    if (refused !== undefined) this.reject(frame, refused);
    else {
      const run = this.#addRenegotiation(key, 'responder');
      run.pass = pass;
      this.#respond(run, bytes, digestBefore, now);
    }
    return refused;
  }

  /** The next message of a run. Throws KeyError (session). */
  continue(run: Run, frame: NegoFrame, bytes: Uint8Array, digestBefore: Uint8Array): void {
    const { handle } = run;
    const awaited = run.phase === 'peer' && handle !== undefined;
    if (!awaited || frame.retire || frame.algorithm !== run.context.algorithm) throw keyFailure('unexpected');
    if (frame.reject) {
      this.#rejected(run, frame);
      return;
    }
    run.heard(bytes, digestBefore);
    this.#ask(run, () => this.#options.keeper.receive(handle, bytes));
  }

  /** Asks the session to turn a first frame down. */
  reject({ keyId, algorithm }: NegoFrame, reason: number): void {
    this.#outbox.put(undefined, {
      keyId,
      algorithm,
      fin: true,
      reject: true,
      retire: false,
      data: encodeReject(reason),
    });
  }

  /** The next message that the session was asked to send is on the wire: what its step made takes effect. */
  sent(bytes: Uint8Array, digestBefore: Uint8Array): void {
    const run = this.#outbox.takeSent();
    if (run === undefined) return;
    run.sent(bytes, digestBefore);
    const { step } = run;
    run.step = undefined;
    if (step !== undefined) this.#finish(run, step);
  }

  nextDeadline(): number | undefined {
    return this.#runs.nextDeadline();
  }

  handleDeadline(now: number): void {
    const run = this.#runs.overdue(now);
    if (run !== undefined) this.fail(run.context.keyId, keyFailure('timeout'));
  }

  /** The one end of everything that a peer can do wrong. */
  fail(keyId: number, error: KeyError): void {
    if (this.#over) return;
    this.close();
    this.#options.events.push({ type: 'failed', keyId, error });
  }

  /** Gives up a run, because the peer's takes its place, or because the key or its holder is gone; false if there is none. */
  drop(keyId: number): boolean {
    const run = this.#runs.get(keyId);
    if (run !== undefined) this.#endRun(run);
    return run !== undefined;
  }

  /** Why the session cannot be handed over now; undefined if it can. Runs are not: the keeper of the giver has half of each (spec 13.1). */
  get handOverObstacle(): string | undefined {
    if (this.#over) return 'its negotiations have failed';
    if (this.#runs.size > 0) return 'a negotiation is in progress';
    // Of a run that was given up: its frame goes out all the same, and is not known as ours where it was not written down.
    return this.#outbox.hasMessages ? 'a message of a negotiation has to be sent' : undefined;
  }

  save(writer: StateSink): void {
    writer.u8(this.#depth);
    this.#ids.save(writer);
    this.#outbox.save(writer);
  }

  load(reader: StateSource): void {
    this.#depth = reader.u8();
    this.#ids.load(reader);
    this.#outbox.load(reader);
  }

  close(): void {
    this.#over = true;
    for (const run of [...this.#runs]) this.#endRun(run);
  }

  #addRun(
    { role, keyId, generation, algorithm }: Pick<RunContext, 'role' | 'keyId' | 'generation' | 'algorithm'>,
    peerName = this.#options.peerName,
    messages?: MessageLog,
  ): Run {
    const { side, peerAddress } = this.#options;
    const initiator = (role === 'initiator') === (side === 'client') ? 'client' : 'server';
    const depth = this.#depth;
    const run = new Run(
      { role, initiator, depth, keyId, generation, algorithm, peerName, peerAddress },
      messages,
    );
    this.#runs.add(run);
    return run;
  }

  #addRenegotiation(key: Renegotiable, role: RunContext['role']): Run {
    const { keyId, algorithm, generation, peerName, messages } = key;
    return this.#addRun({ role, keyId, generation: generation + 1, algorithm }, peerName, messages);
  }

  #begin(run: Run, offer: Offer, now: number | undefined): void {
    if (now !== undefined) this.#runs.startClock(run, now);
    this.#ask(run, () => this.#options.keeper.start(run.context, offer));
  }

  #respond(run: Run, bytes: Uint8Array, digestBefore: Uint8Array, now: number): void {
    this.#runs.startClock(run, now);
    run.heard(bytes, digestBefore);
    this.#ask(run, () => this.#options.keeper.accept(run.context, bytes));
  }

  /** Whether the peer may begin a run: in this session, and with all that this server does for it and for others. */
  #admit(renegotiation: boolean): { readonly refused?: number; readonly pass?: Pass | undefined } {
    const { gate, maxPeerRuns } = this.#options;
    if (this.#runs.ofPeer >= maxPeerRuns) return { refused: REJECT_REASON.TOO_MANY_RUNS };
    if (gate === undefined) return {};
    const pass = gate.enter(renegotiation);
    return pass === undefined ? { refused: REJECT_REASON.NOT_NOW } : { pass };
  }

  /** A REJECT, which only a responder may send, and only instead of its first message (spec 3.3). */
  #rejected(run: Run, frame: NegoFrame): void {
    const { keyId } = run.context;
    if (!run.asking) throw keyFailure('unexpected');
    const { reason, algorithms } = decodeReject(frame.data);
    this.#endRun(run);
    if (!isRenegotiation(run.context)) this.#options.revoke(keyId);
    this.#options.events.push({ type: 'rejected', keyId, reason, algorithms });
  }

  /** Puts a step into the keeper's hands. Whatever comes of it, even an exception, comes later and as an event. */
  #ask(run: Run, question: () => Promise<Step>): void {
    run.phase = 'keeper';
    void keeperStep(run, this.#options.gate, question).then(
      (step) => {
        if (step !== undefined) this.#answered(run, step);
      },
      (error: unknown) => this.#refused(run, error),
    );
  }

  #answered(run: Run, step: Step): void {
    if (run.phase === 'over') {
      for (const { secret } of step.secrets) secret.wipe();
      this.#abandon(step.run);
      return;
    }
    run.handle = step.run;
    try {
      for (const secret of step.secrets) this.#options.check(run, secret);
    } catch (error) {
      for (const { secret } of step.secrets) secret.wipe();
      this.fail(run.context.keyId, asKeyError(error));
      return;
    }
    if (step.send === undefined) {
      this.#finish(run, step);
      this.#options.events.notify(); // the key ID is not busy any more, even if there is nothing to tell
      return;
    }
    const { data, fin, reject = false } = step.send;
    const renegotiate = isRenegotiation(run.context) && run.asking;
    if (reject) {
      this.#endRun(run);
    } else {
      run.phase = 'unsent';
      run.step = step;
    }
    const { keyId, algorithm } = run.context;
    this.#outbox.put(reject ? undefined : run, {
      keyId,
      algorithm,
      fin,
      reject,
      retire: false,
      renegotiate,
      data,
    });
  }

  #refused(run: Run, reason: unknown): void {
    if (run.phase === 'over') return;
    const error = asKeyError(reason);
    const { keyId, role } = run.context;
    if (error.scope === 'session') {
      this.fail(keyId, error);
    } else if (role === 'initiator' && run.handle === undefined) {
      // What this side asked for was impossible; the peer has not heard of it.
      this.#endRun(run);
      this.#options.events.push({ type: 'failed', keyId, error });
    } else {
      this.fail(keyId, keyFailure('keeper', error.message, error));
    }
  }

  #finish(run: Run, step: Step): void {
    run.phase = step.done ? 'over' : 'peer';
    if (step.done) {
      this.#runs.delete(run);
      run.pass?.leave();
    }
    for (const secret of step.secrets) this.#options.install(run, secret);
  }

  #endRun(run: Run): void {
    run.end();
    if (run.handle !== undefined) this.#abandon(run.handle);
    this.#runs.delete(run);
  }

  #abandon(handle: number): void {
    try {
      this.#options.keeper.abandon(handle);
    } catch {
      // A keeper that is gone has forgotten the run as well.
    }
  }
}
