/** How far the timestamp of a first message may be from the responder's clock, in milliseconds (spec 3.7). */
export const REPLAY_WINDOW = 30_000;

export type Admission = 'fresh' | 'clock' | 'replay' | 'full';

/**
 * Remembers the first messages that were accepted, for as long as their timestamps would be accepted again (spec 3.7). Only messages
 * whose tag was right may be shown to it, so nobody but a holder of the key can fill it; when a label's part is full, it refuses
 * rather than forget.
 */
export class ReplayCache {
  readonly #labels = new Map<string, LabelCache>();
  readonly #capacity: number;
  readonly #since: number;
  /** Labels whose keys came later, and when. */
  readonly #begun = new Map<string, number>();

  /** `capacity` is per label. `since` is when the cache was made; what was accepted before that it does not know. */
  constructor(capacity = 262_144, since = Number.NEGATIVE_INFINITY) {
    this.#capacity = capacity;
    this.#since = since;
  }

  /** What was accepted with these labels before `now` is not known either: their keys have only come, perhaps from elsewhere. */
  begin(labels: Iterable<string>, now: number): void {
    for (const label of labels) this.#begun.set(label, now);
  }

  /** Whether a message with this label and timestamp cannot have been accepted before the cache knew of it. */
  remembers(label: string, timestamp: number): boolean {
    return timestamp > (this.#begun.get(label) ?? this.#since) + REPLAY_WINDOW;
  }

  /** Judges a message, and remembers it if it is fresh. Times are milliseconds since 1970. */
  admit(label: string, nonce: Uint8Array, timestamp: number, now: number): Admission {
    if (Math.abs(timestamp - now) > REPLAY_WINDOW) return 'clock';
    let cache = this.#labels.get(label);
    if (cache === undefined) {
      cache = new LabelCache(this.#capacity);
      this.#labels.set(label, cache);
    }
    return cache.admit(Buffer.from(nonce).toString('latin1'), timestamp, now);
  }
}

class LabelCache {
  readonly #capacity: number;
  readonly #seen = new Set<string>();
  /** Nonces by the second of their timestamp: what expires together is dropped together. At most 62 seconds are alive. */
  readonly #seconds = new Map<number, string[]>();
  /** Latest timestamp that may have been forgotten. Only a clock that was set back lets one return into the window. */
  #forgotten = Number.NEGATIVE_INFINITY;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  admit(nonce: string, timestamp: number, now: number): Admission {
    this.#expire(now);
    if (timestamp <= this.#forgotten) return 'clock';
    if (this.#seen.has(nonce)) return 'replay';
    if (this.#seen.size >= this.#capacity) return 'full';
    this.#seen.add(nonce);
    const second = Math.floor(timestamp / 1000);
    const nonces = this.#seconds.get(second);
    if (nonces === undefined) this.#seconds.set(second, [nonce]);
    else nonces.push(nonce);
    return 'fresh';
  }

  #expire(now: number): void {
    for (const [second, nonces] of this.#seconds) {
      const latest = second * 1000 + 999;
      if (now - latest <= REPLAY_WINDOW) continue;
      for (const nonce of nonces) this.#seen.delete(nonce);
      this.#seconds.delete(second);
      this.#forgotten = Math.max(this.#forgotten, latest);
    }
  }
}
