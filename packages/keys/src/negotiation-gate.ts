import { FairQueue } from './fair-queue.ts';

/** What the sessions of a server negotiate at most (spec 7.3). Keys that are renegotiated are counted apart from new ones, by the same numbers. */
export interface NegotiationLimits {
  /** Runs in progress that clients began, of all together and of each. */
  readonly runs: number;
  readonly runsPerClient: number;
  /** Tokens a second for such runs, each about a quarter of a millisecond of work, of all together and of each; up to eight seconds' worth at once. */
  readonly keyWork: number;
  readonly keyWorkPerClient: number;
}

export const DEFAULT_NEGOTIATION_LIMITS: NegotiationLimits = {
  runs: 4_096,
  runsPerClient: 256,
  keyWork: 1_024,
  keyWorkPerClient: 64,
};

/** Of what an account gains, what it can hold: an idle client may make up for this many seconds. */
const SECONDS = 8;
/** Tokens of work that begin in one turn of the event loop: about two milliseconds. */
const TOKENS_PER_TURN = 8;

/** The gate as the sessions of one client pass it. */
export interface ClientGate {
  /** Lets a run of the client begin. Undefined if there are too many, or they have been too much work of late. */
  enter(renegotiation: boolean): Pass | undefined;
  /** Waits until a step that costs so much may begin; undefined if that is now. */
  turn(tokens: number): Promise<void> | undefined;
}

/** A run that has passed the gate. */
export interface Pass {
  /** Work that has been done. It may be more than the client had left; then further runs have to wait for more. */
  spend(tokens: number): void;
  /** The run is over. May be called again. */
  leave(): void;
}

/**
 * What all sessions of a server have to pass to negotiate, so that a thousand of them cost no more than one. Long before limits refuse a client, work is spread:
 * a little in each turn of the event loop, and clients in turns.
 */
export class NegotiationGate {
  readonly #established: Share;
  readonly #renewed: Share;
  readonly #turns = new Turns();

  /** `now` is milliseconds of a monotonic clock. */
  constructor(limits: NegotiationLimits, now: () => number = () => performance.now()) {
    this.#established = new Share(limits, now);
    this.#renewed = new Share(limits, now);
  }

  /** Sets other limits, for all sessions. Runs that are in progress go on. */
  reconfigure(limits: NegotiationLimits): void {
    this.#established.limits = limits;
    this.#renewed.limits = limits;
  }

  /** `client` stands for everybody who counts as one (spec 7.4). */
  of(client: string): ClientGate {
    return {
      enter: (renegotiation) => (renegotiation ? this.#renewed : this.#established).enter(client),
      turn: (tokens) => this.#turns.take(client, tokens),
    };
  }
}

/** Tokens that come in at a steady rate. */
class Account {
  readonly #perSecond: () => number;
  readonly #now: () => number;
  #left: number;
  #at: number;

  constructor(perSecond: () => number, now: () => number) {
    this.#perSecond = perSecond;
    this.#now = now;
    this.#left = this.#most;
    this.#at = now();
  }

  get #most(): number {
    return this.#perSecond() * SECONDS;
  }

  get left(): number {
    const now = this.#now();
    const earned = (Math.max(0, now - this.#at) * this.#perSecond()) / 1000;
    this.#at = now;
    this.#left = Math.min(this.#most, this.#left + earned);
    return this.#left;
  }

  get full(): boolean {
    return this.left === this.#most;
  }

  spend(tokens: number): void {
    this.#left = this.left - tokens;
  }
}

interface Client {
  open: number;
  readonly account: Account;
}

/** The runs of one kind, and who began them. */
class Share {
  limits: NegotiationLimits;
  readonly #now: () => number;
  readonly #account: Account;
  /** Those with runs, or whose account is not full; who came last is last. */
  readonly #clients = new Map<string, Client>();
  #open = 0;

  constructor(limits: NegotiationLimits, now: () => number) {
    this.limits = limits;
    this.#now = now;
    this.#account = new Account(() => this.limits.keyWork, now);
  }

  enter(name: string): Pass | undefined {
    this.#forget();
    const { runs, runsPerClient } = this.limits;
    const client = this.#clients.get(name) ?? {
      open: 0,
      account: new Account(() => this.limits.keyWorkPerClient, this.#now),
    };
    const crowded = this.#open >= runs || client.open >= runsPerClient;
    if (crowded || this.#account.left <= 0 || client.account.left <= 0) return undefined;
    this.#clients.delete(name);
    this.#clients.set(name, client);
    this.#open++;
    client.open++;
    let left = false;
    return {
      spend: (tokens) => {
        this.#account.spend(tokens);
        client.account.spend(tokens);
      },
      leave: () => {
        if (left) return;
        left = true;
        this.#open--;
        client.open--;
      },
    };
  }

  /** Of who has nothing open and has used nothing nothing needs to be known. */
  #forget(): void {
    for (const [name, { open, account }] of this.#clients) {
      if (open > 0 || !account.full) return;
      this.#clients.delete(name);
    }
  }
}

/** Spreads work over turns of the event loop, so that between two steps everything else has its own. */
class Turns {
  readonly #waiting = new FairQueue<{ readonly tokens: number; readonly begin: () => void }>();
  #left = TOKENS_PER_TURN;
  #scheduled = false;

  take(client: string, tokens: number): Promise<void> | undefined {
    this.#schedule();
    if (this.#left > 0 && this.#waiting.length === 0) {
      this.#left -= tokens;
      return undefined;
    }
    return new Promise((begin) => this.#waiting.push(client, { tokens, begin }));
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#next());
  }

  #next(): void {
    this.#scheduled = false;
    this.#left = TOKENS_PER_TURN;
    while (this.#left > 0) {
      const step = this.#waiting.shift();
      if (step === undefined) return;
      this.#schedule();
      this.#left -= step.tokens;
      step.begin();
    }
  }
}
