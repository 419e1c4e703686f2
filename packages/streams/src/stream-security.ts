import type { KeyInfo, Level } from '@keymux/session';

/** How something is protected. */
export interface Protection {
  readonly level: Level;
  /** The key it is sealed under; undefined in the clear. */
  readonly key: KeyInfo | undefined;
}

/** The protection of a stream (spec 3.9). */
export interface StreamSecurity {
  /** The weakest of what was sent and received, payload included. */
  readonly level: Level;
  /** The weakest of what this side has sent, heads and sealed payload. */
  readonly sent: Protection;
  /** The weakest of what has come so far: what came in the clear gains nothing from a later key. */
  readonly received: Protection;
  /** What comes now. */
  readonly receiving: Protection;
  /** Level of the payload: `none` if it travels outside envelopes, whatever protects itself inside (spec 4.6). */
  readonly payload: Level;
  /** What was received may be a replay (spec 3.7). */
  readonly early: boolean;
}

const STRENGTH: Record<Level, number> = { none: 0, passive: 1, authenticated: 2 };
const CLEAR: Protection = { level: 'none', key: undefined };

/** The weaker of two levels. */
export function weaker(a: Level, b: Level): Level {
  return satisfies(a, b) ? b : a;
}

/** Whether a level satisfies a required one. */
export function satisfies(level: Level, required: Level): boolean {
  return STRENGTH[level] >= STRENGTH[required];
}

export function protection(key: KeyInfo | undefined): Protection {
  return key === undefined ? CLEAR : { level: key.level, key };
}

/** Keeps account of how one direction of a stream is protected. */
export class DirectionSecurity {
  #now: Protection = CLEAR;
  #weakest: Protection | undefined;

  /** The protection of what travels from here on. */
  get now(): Protection {
    return this.#now;
  }

  /** The weakest of what has travelled; clear while nothing has. */
  get weakest(): Protection {
    return this.#weakest ?? CLEAR;
  }

  switchTo(key: KeyInfo | undefined): void {
    this.#now = protection(key);
  }

  /** Something travels. */
  note(): void {
    if (this.#weakest === this.#now) return;
    if (this.#weakest === undefined || satisfies(this.#weakest.level, this.#now.level))
      this.#weakest = this.#now;
  }
}
