import { ALGORITHM, algorithmName } from './algorithm-ids.ts';
import { ALGORITHMS } from './algorithms.ts';
import { loadMlKem, randomBytes } from './crypto.ts';
import { type KeyError, keyFailure, usageError } from './errors.ts';
import type { Algorithm, Awaiting, Environment, Turn } from './handshake.ts';
import { Holdings, type KeeperHoldings } from './holdings.ts';
import { LocalSigner } from './identity/local-signer.ts';
import {
  isRenegotiation,
  type KeptKey,
  type KeyHolder,
  type Offer,
  RENEGOTIATION_TIMEOUT,
  type Role,
  type RunContext,
  type Step,
} from './keeper.ts';
import { decodeNego, NEGO_HEAD, type NegoFrame } from './nego-frame.ts';
import { checkOffer } from './offer.ts';
import { PreSharedKey } from './pre-shared-key.ts';
import { encodeReject, REJECT_REASON } from './reject.ts';
import { ReplayCache } from './replay-cache.ts';
import { type Authorities, type KeeperTools, RunEnvironment } from './run-environment.ts';

export interface LocalKeeperOptions extends KeeperHoldings {
  /** Milliseconds since 1970; `Date.now` by default. */
  readonly clock?: () => number;
  /** Source of random bytes, for test vectors only. */
  readonly random?: (length: number) => Uint8Array;
  /** Runs in progress over all sessions; 8,192 by default: twice what a server lets clients begin. */
  readonly maxRuns?: number;
  /** Milliseconds after which a run that was never abandoned is forgotten; 10,000 by default (spec 3.2). */
  readonly runTimeout?: number;
  /** First messages to remember for a label (spec 3.7); 262,144 by default. */
  readonly replayCapacity?: number;
  /**
   * Since when this keeper knows all first messages that were accepted with its keys, in milliseconds since 1970. By default since it was made: for as long as
   * an earlier process may have accepted the same message, early data is marked so and sessions refuse it. 0 says that there was none.
   */
  readonly replaysKnownSince?: number;
}

const EVERYTHING: Authorities = { has: () => true };

/** A run between two messages. */
interface Run {
  readonly algorithm: Algorithm;
  /** Index of the awaited message in `algorithm.messages`. */
  readonly awaited: number;
  readonly awaiting: Awaiting;
  readonly environment: RunEnvironment;
  readonly deadline: number;
}

/** A keeper in this process. Group 14 is computed in threads; all else takes less than a millisecond or two. */
export class LocalKeeper implements KeyHolder {
  #holdings: Holdings;
  readonly #clock: () => number;
  readonly #tools: KeeperTools;
  readonly #maxRuns: number;
  readonly #runTimeout: number;
  readonly #replays: ReplayCache;
  readonly #runs = new Map<number, Run>();
  /** Runs whose next step is being computed. */
  readonly #working = new Set<number>();
  /** Runs whose first step is. */
  #starting = 0;
  #lastRun = 0;

  constructor(options: LocalKeeperOptions) {
    this.#holdings = new Holdings(options);
    this.#clock = options.clock ?? Date.now;
    this.#maxRuns = options.maxRuns ?? 8192;
    this.#runTimeout = options.runTimeout ?? 10_000;
    this.#replays = new ReplayCache(options.replayCapacity, options.replaysKnownSince ?? this.#clock());
    const { random } = options;
    this.#tools = {
      random: random ?? randomBytes,
      givenRandom: random,
      mlKem: () => loadMlKem(random),
      clock: this.#clock,
      replays: this.#replays,
      ownNonces: new Set(),
      nobodysKey: new PreSharedKey(randomBytes(32)),
      nobody: new LocalSigner(undefined, ''),
    };
    this.#prepare();
  }

  get algorithms(): readonly number[] {
    return this.#holdings.algorithms;
  }

  get kept(): readonly KeptKey[] {
    return this.#holdings.kept;
  }

  /**
   * Takes other keys and identities in the place of all that it has. Runs in progress go on with what they were begun with, and what is known of
   * replays stays; of a key that comes in it begins now. Throws KeyError (usage), and then has what it had.
   */
  replace(holdings: KeeperHoldings): void {
    const next = new Holdings(holdings);
    const had = new Set(this.#holdings.labels);
    this.#replays.begin(
      next.labels.filter((label) => !had.has(label)),
      this.#clock(),
    );
    this.#holdings = next;
    this.#prepare();
  }

  /**
   * The same keeper for somebody who may use it for these authorities alone, or for those that a function says yes to each time: for all others it
   * has nothing, and says so in the same way and at the same cost as if that were true. Runs, and what is known of replays, are shared.
   */
  limitedTo(authorities: Iterable<string> | ((authority: string) => boolean)): KeyHolder {
    const allowed = typeof authorities === 'function' ? { has: authorities } : new Set(authorities);
    const kept = (): readonly KeptKey[] => this.kept.filter(({ authority }) => allowed.has(authority));
    const algorithms = (): readonly number[] => this.algorithms;
    return {
      get algorithms() {
        return algorithms();
      },
      get kept() {
        return kept();
      },
      start: (context, offer) => this.#start(context, offer, allowed),
      accept: (context, first) => this.#accept(context, first, allowed),
      receive: (run, frame) => this.receive(run, frame),
      abandon: (run) => this.abandon(run),
    };
  }

  async start(context: RunContext, offer: Offer): Promise<Step> {
    return this.#start(context, offer, EVERYTHING);
  }

  async accept(context: RunContext, first: Uint8Array): Promise<Step> {
    return this.#accept(context, first, EVERYTHING);
  }

  async #start(context: RunContext, offer: Offer, allowed: Authorities): Promise<Step> {
    checkContext(context, 'initiator');
    checkOffer(offer, context.algorithm);
    const algorithm = ALGORITHMS.get(context.algorithm);
    if (algorithm === undefined || !this.#allows(context.algorithm)) {
      throw usageError(
        `${algorithmName(context.algorithm)} is not among the algorithms allowed on this side`,
      );
    }
    if (this.#full()) throw usageError('too many negotiations at once; try again', 'ERR_KEYMUX_KEEPER_BUSY');
    return this.#begin(context, algorithm, allowed, (environment) =>
      algorithm.startInitiator(environment, offer),
    );
  }

  async #accept(context: RunContext, first: Uint8Array, allowed: Authorities): Promise<Step> {
    checkContext(context, 'responder');
    const { data, fin } = checkedFrame(context, first, isRenegotiation(context));
    const algorithm = ALGORITHMS.get(context.algorithm);
    if (algorithm === undefined) return this.#reject(REJECT_REASON.UNKNOWN_ALGORITHM);
    if (!this.#allows(context.algorithm)) return this.#reject(REJECT_REASON.NOT_ALLOWED);
    if (this.#full()) return this.#reject(REJECT_REASON.TOO_MANY_RUNS);
    checkFin(algorithm, 0, fin);
    return this.#begin(context, algorithm, allowed, (environment) =>
      algorithm.startResponder(environment, { frame: first, data }),
    );
  }

  async receive(id: number, frame: Uint8Array): Promise<Step> {
    const run = this.#runs.get(id);
    if (run === undefined || this.#working.has(id)) throw givenUp();
    this.#working.add(id);
    try {
      const { data, fin } = checkedFrame(run.environment.context, frame, false);
      checkFin(run.algorithm, run.awaited, fin);
      const turn = await run.awaiting.receive({ frame, data });
      if (this.#runs.get(id) !== run) {
        discard(turn);
        throw givenUp();
      }
      return this.#step(id, turn, { ...run, awaited: run.awaited + 2 });
    } finally {
      this.#working.delete(id);
      run.awaiting.wipe();
      if (this.#runs.get(id) === run) this.#forget(id, run);
    }
  }

  abandon(id: number): void {
    const run = this.#runs.get(id);
    if (run === undefined) return;
    if (!this.#working.has(id)) run.awaiting.wipe(); // else `receive` does, once it is done with it
    run.environment.giveUp();
    this.#forget(id, run);
  }

  /** So that the first handshake does not wait for it. If it fails, that handshake will say so. */
  #prepare(): void {
    if (this.#allows(ALGORITHM.HYBRID)) this.#tools.mlKem().catch(() => undefined);
  }

  #allows(algorithm: number): boolean {
    return this.algorithms.includes(algorithm);
  }

  async #begin(
    context: RunContext,
    algorithm: Algorithm,
    allowed: Authorities,
    start: (environment: Environment) => Turn | Promise<Turn>,
  ): Promise<Step> {
    const environment = new RunEnvironment(context, this.#tools, this.#holdings, allowed);
    const turn = await this.#firstStep(environment, start);
    const awaited = context.role === 'initiator' ? 1 : 2;
    const timeout = isRenegotiation(context) ? RENEGOTIATION_TIMEOUT : this.#runTimeout;
    const deadline = this.#clock() + timeout;
    return this.#step(++this.#lastRun, turn, { algorithm, awaited, environment, deadline });
  }

  async #firstStep(
    environment: RunEnvironment,
    start: (environment: Environment) => Turn | Promise<Turn>,
  ): Promise<Turn> {
    this.#starting++;
    try {
      return await start(environment);
    } catch (error) {
      environment.end();
      throw error;
    } finally {
      this.#starting--;
    }
  }

  #step(id: number, { frame, secrets, next }: Turn, run: Omit<Run, 'awaiting'>): Step {
    if (next !== undefined) this.#runs.set(id, { ...run, awaiting: next });
    const done = next === undefined;
    if (frame === undefined) return { run: id, secrets, done };
    const { fin } = decodeNego(frame);
    return { run: id, send: { data: frame.subarray(NEGO_HEAD), fin }, secrets, done };
  }

  #reject(reason: number): Step {
    const data = encodeReject(reason, this.algorithms);
    return { run: ++this.#lastRun, send: { data, fin: true, reject: true }, secrets: [], done: true };
  }

  #forget(id: number, run: Run): void {
    this.#runs.delete(id);
    run.environment.end();
  }

  /** Whether no further run may begin, after runs that nobody went on with were given up. */
  #full(): boolean {
    const now = this.#clock();
    for (const [id, run] of this.#runs) {
      if (run.deadline >= now) break; // oldest first
      this.abandon(id);
    }
    return this.#runs.size + this.#starting >= this.#maxRuns;
  }
}

function givenUp(): KeyError {
  return keyFailure('keeper', 'it does not know this run, or has given it up');
}

function discard({ secrets, next }: Turn): void {
  for (const { secret } of secrets) secret.wipe();
  next?.wipe();
}

/** A keeper believes nothing that it can check (rule R9). */
function checkContext(context: RunContext, role: Role): void {
  const { keyId, depth, generation, algorithm } = context;
  const odd = keyId % 2 === 1;
  const valid =
    context.role === role &&
    isByte(keyId) &&
    keyId > 0 &&
    isByte(depth) &&
    isByte(algorithm) &&
    isByte(generation) &&
    // A key that exists may be renegotiated by either side, but not one of ALG 1 (spec 3.14).
    (isRenegotiation(context) ? algorithm !== ALGORITHM.PSK : odd === (context.initiator === 'client'));
  if (!valid) throw usageError('a run with this context cannot exist');
}

/** `renegotiate` is whether the frame has to say that it begins a renegotiation. */
function checkedFrame(context: RunContext, bytes: Uint8Array, renegotiate: boolean): NegoFrame {
  const { keyId, algorithm } = context;
  const frame = decodeNego(bytes);
  const right =
    frame.keyId === keyId &&
    frame.algorithm === algorithm &&
    frame.renegotiate === renegotiate &&
    !frame.reject &&
    !frame.retire;
  if (!right) throw keyFailure('unexpected');
  return frame;
}

/** The run's own list of messages says which has FIN (spec 3.2). */
function checkFin(algorithm: Algorithm, index: number, fin: boolean): void {
  if (algorithm.messages[index]?.fin !== fin) throw keyFailure('unexpected');
}

function isByte(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 255;
}
