import type { KeyInfo } from '@keymux/session';
import { withSignal } from './with-signal.ts';

interface Waiting {
  readonly keyId: number;
  readonly early: boolean;
  readonly resolve: (key: KeyInfo) => void;
  readonly reject: (error: Error) => void;
}

/** Those who wait for a key, or for a new generation of one. */
export class PendingKeys {
  readonly #waiting = new Set<Waiting>();
  /** Why runs were turned down, for who asks later; a session has few key IDs. */
  readonly #rejected = new Map<number, Error>();

  /** Settles when the key can seal; with `early` also if it can seal early data only. */
  wait(keyId: number, early: boolean, signal: AbortSignal | undefined): Promise<KeyInfo> {
    const rejected = this.#rejected.get(keyId);
    if (rejected !== undefined) return Promise.reject(rejected);
    return withSignal(signal, (resolve, reject) => {
      const waiting = { keyId, early, resolve, reject };
      this.#waiting.add(waiting);
      return () => this.#waiting.delete(waiting);
    });
  }

  get size(): number {
    return this.#waiting.size;
  }

  canSeal(key: KeyInfo): void {
    for (const waiting of this.#of(key.keyId)) {
      if (key.early && !waiting.early) continue;
      this.#waiting.delete(waiting);
      waiting.resolve(key);
    }
  }

  /** There will be no such key, for whoever waits and whoever asks later. */
  reject(keyId: number, error: Error): void {
    this.#rejected.set(keyId, error);
    this.rejectWaiting(keyId, error);
  }

  /** Who asks later may get it. */
  rejectWaiting(keyId: number, error: Error): void {
    for (const waiting of this.#of(keyId)) {
      this.#waiting.delete(waiting);
      waiting.reject(error);
    }
  }

  rejectAll(error: Error): void {
    for (const { keyId } of [...this.#waiting]) this.reject(keyId, error);
  }

  #of(keyId: number): Waiting[] {
    return [...this.#waiting].filter((waiting) => waiting.keyId === keyId);
  }
}
