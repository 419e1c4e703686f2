import type { StateReader, StateWriter } from '@keymux/frames';
import { overload } from './errors.ts';

/** A token bucket: `burst` tokens at first, `perSecond` more every second up to `burst`. */
export interface Budget {
  readonly burst: number;
  readonly perSecond: number;
}

/**
 * What one peer may make us do beside moving payload. Overdraft ends the session (spec 7.3, rule R5). The defaults
 * are several times what busy honest peers need, and far below what hurts.
 */
export interface Budgets {
  /** PING frames; each costs us an answer (CVE-2019-9512). */
  readonly pings: Budget;
  /** SETTINGS frames (CVE-2019-9515). */
  readonly settings: Budget;
  /** Streams the peer opened and reset itself, or made us reset (CVE-2023-44487, CVE-2025-8671). */
  readonly resets: Budget;
  /** DATA frames without payload and FIN, HEADERS, unknown frames, frames for streams that are gone, envelopes with nothing inside. */
  readonly idle: Budget;
  /** WINDOW_UPDATE frames: 64 KB of payload needs one or two. */
  readonly windowUpdates: Budget;
  /** KEY_NEGO frames; a run needs two to four, some of them a modular exponentiation (CVE-2002-20001). */
  readonly negotiations: Budget;
  /** DATA frames that the peer's window cuts to less than 1 KiB (CVE-2019-9511). Payload that is sent earns tokens. */
  readonly dribbles: Budget;
  /** PING answers that wait because the peer does not read. */
  readonly queuedAnswers: number;
  /**
   * Frames of any kind but DATA and headers behind it that wait because the peer does not read (CVE-2019-9517). Those that open and reset
   * streams of our own are not among them: there may be as many as the peer allows streams.
   */
  readonly queuedFrames: number;
  /**
   * Headers of streams that are not over, in bytes: names, values and 32 for each (CVE-2026-49975). Compressed they cost the peer next to
   * nothing. A kilobyte is much for one request, so this is enough for 4,096 of them.
   */
  readonly heldHeaders: number;
  /**
   * Payload for the peer's streams that waits for longer than `stallTimeout` because the peer opens no window, in bytes. It is as much as
   * 64 downloads hold that somebody has paused.
   */
  readonly stalledPayload: number;
}

export const DEFAULT_BUDGETS: Budgets = {
  pings: { burst: 100, perSecond: 10 },
  settings: { burst: 20, perSecond: 1 },
  resets: { burst: 500, perSecond: 100 },
  idle: { burst: 1000, perSecond: 100 },
  windowUpdates: { burst: 20_000, perSecond: 10_000 },
  negotiations: { burst: 64, perSecond: 8 },
  dribbles: { burst: 1000, perSecond: 100 },
  queuedAnswers: 8,
  queuedFrames: 8192,
  heldHeaders: 4 * 1024 * 1024,
  stalledPayload: 4 * 1024 * 1024,
};

/** Those that are accounts; the others are bounds. */
export type BudgetName = {
  [K in keyof Budgets]: Budgets[K] extends Budget ? K : never;
}[keyof Budgets];

/** The running account of one session. */
export class Accounts {
  readonly #budgets: Budgets;
  readonly #tokens = new Map<BudgetName, { left: number; at: number }>();

  constructor(budgets: Budgets) {
    this.#budgets = budgets;
  }

  /** What has been spent. What may be is for the configuration of the next owner. */
  save(writer: StateWriter, now: number): void {
    writer.list(this.#tokens, ([name, { left, at }]) => {
      writer.text(name);
      writer.f64(left);
      writer.f64(now - at);
    });
  }

  load(reader: StateReader, now: number): void {
    reader.list(() => {
      const name = reader.text();
      if (!Object.hasOwn(this.#budgets, name)) throw reader.malformed('a budget that is not known');
      this.#tokens.set(name as BudgetName, { left: reader.f64(), at: now - reader.f64() });
    });
  }

  /** Takes one token. Throws SessionError `ERR_KEYMUX_EXCESSIVE_LOAD` when there is none. */
  spend(name: BudgetName, now: number): void {
    const { burst, perSecond } = this.#budgets[name];
    const account = this.#tokens.get(name);
    if (account === undefined) {
      this.#tokens.set(name, { left: burst - 1, at: now });
      return;
    }
    const earned = ((now - account.at) * perSecond) / 1000;
    account.left = Math.min(burst, account.left + Math.max(0, earned)) - 1;
    account.at = now;
    if (account.left < 0)
      throw overload(`the peer exceeded the budget "${name}" (${burst}, then ${perSecond} a second)`);
  }

  /** Gives tokens, or parts of one, for something useful; no more than `burst` are kept. */
  earn(name: BudgetName, tokens: number): void {
    const account = this.#tokens.get(name);
    if (account !== undefined) account.left = Math.min(this.#budgets[name].burst, account.left + tokens);
  }
}
