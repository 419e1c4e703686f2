import type { KeyInfo } from '@keymux/session';
import { withSignal } from './with-signal.ts';

interface Waiting {
  readonly early: boolean;
  readonly resolve: (key: KeyInfo) => void;
  readonly reject: (error: Error) => void;
}

/** The negotiations of this side that somebody waits for. */
export class PendingKeys {
  readonly #waiting = new Map<number, Waiting>();

  /** Settles when the key can seal; with `early` also if it can seal early data only. */
  wait(keyId: number, early: boolean, signal: AbortSignal | undefined): Promise<KeyInfo> {
    return withSignal(signal, (resolve, reject) => {
      this.#waiting.set(keyId, { early, resolve, reject });
      return () => this.#waiting.delete(keyId);
    });
  }

  get size(): number {
    return this.#waiting.size;
  }

  canSeal(key: KeyInfo): void {
    const waiting = this.#waiting.get(key.keyId);
    if (waiting === undefined || (key.early && !waiting.early)) return;
    this.#waiting.delete(key.keyId);
    waiting.resolve(key);
  }

  reject(keyId: number, error: Error): void {
    this.#waiting.get(keyId)?.reject(error);
    this.#waiting.delete(keyId);
  }

  rejectAll(error: Error): void {
    for (const keyId of [...this.#waiting.keys()]) this.reject(keyId, error);
  }
}
