import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

export interface BackoffOptions {
  /** First wait, in milliseconds; doubles with every failure. */
  readonly least?: number;
  /** Longest wait, in milliseconds. */
  readonly most?: number;
  /** Makes no more values, and cuts a wait short, once it is aborted. */
  readonly signal?: AbortSignal;
  readonly sleep?: (ms: number) => Promise<void>;
}

/**
 * Keeps one value, such as a session, and makes a new one when it cannot be used any more. Calls that come while one is being made share
 * it. After a failure the next attempt waits, longer each time, with half of the wait left to chance so that many clients do not return at once.
 */
export class Reconnector<T> {
  readonly #make: () => Promise<T>;
  readonly #usable: (value: T) => boolean;
  readonly #options: Required<Omit<BackoffOptions, 'signal'>>;
  readonly #signal: AbortSignal | undefined;
  #current: Promise<T> | undefined;
  #value: T | undefined;
  #failures = 0;

  constructor(make: () => Promise<T>, usable: (value: T) => boolean, options: BackoffOptions = {}) {
    this.#make = make;
    this.#usable = usable;
    const { signal, ...backoff } = options;
    this.#signal = signal;
    this.#options = {
      least: 250,
      most: 30_000,
      sleep: (ms) => sleep(ms, undefined, { signal }),
      ...backoff,
    };
  }

  /** The value, made anew if need be. Rejects with what making it failed with. */
  get(): Promise<T> {
    if (this.#value !== undefined && this.#usable(this.#value)) return Promise.resolve(this.#value);
    this.#current ??= this.#renew().finally(() => {
      this.#current = undefined;
    });
    return this.#current;
  }

  async #renew(): Promise<T> {
    if (this.#failures > 0) await this.#options.sleep(this.#wait());
    this.#signal?.throwIfAborted();
    try {
      this.#value = await this.#make();
      this.#failures = 0;
      return this.#value;
    } catch (error) {
      this.#failures++;
      throw error;
    }
  }

  #wait(): number {
    const { least, most } = this.#options;
    const full = Math.min(most, least * 2 ** (this.#failures - 1));
    return full / 2 + randomInt(Math.max(1, Math.ceil(full / 2)));
  }
}
